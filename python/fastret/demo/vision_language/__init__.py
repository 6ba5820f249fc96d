"""A small real vision-language model: EfficientNet-lite0's feature map, a two-layer projector and SmolLM2-135M.

It is a LLaVA model as transformers knows it (`LlavaForConditionalGeneration` with its `LlavaProcessor`), so that
`generate`, the Trainer and `fastret.embed.load_encoder` take it as they take any other. Only the vision tower is new
to transformers; importing this package makes it known there. `python -m fastret.demo.vision_language.train` trains
the projector, and adapters of the language model where they are asked for.
"""

from __future__ import annotations

from .model import build_model, load_model, save_model
from .processor import build_processor

__all__ = ["build_model", "build_processor", "load_model", "save_model"]
