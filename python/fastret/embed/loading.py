"""How a name becomes an encoder: the configuration says which class embeds the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from .encoder import Encoder
from .prompts import resolve_prompt
from .sources import Source, find_source

INPUTS = {
    "dual": frozenset({"text", "image", "pair"}),
    "multimodal": frozenset({"text", "image", "pair"}),
    "text": frozenset({"text"}),
}
"""What the encoders of a `model_kind` take."""


def load_encoder(
    name_or_path: str | Path,
    *,
    pooling: str | None = None,
    prompt: str | None = None,
    dtype: str | torch.dtype = "auto",
    device: str = "auto",
    revision: str | None = None,
) -> Encoder:
    """Load a dual encoder, a multimodal language model, a text encoder or a causal language model.

    name_or_path: a folder, a model of the Hugging Face hub, a .gguf file, `FOLDER#FILE.gguf`, or one of the models
        that come as Python packages ("minilm", "smollm2").
    pooling: "last", "mean", "eos" (the last token, after an end-of-sequence token is appended) or "cls". None: as a
        sentence-transformers folder prescribes, else "last" for causal and multimodal models and "mean" for encoders.
    prompt: a preset ("summary", "e5v"), a template with `{}` for the content, or an instruction to put after it.
        None: "summary" for multimodal language models, nothing for the others; "" is nothing for all.
    dtype: of the computation. "auto": the checkpoint's (float16 becomes float32 on a CPU). Where it is shorter than
        float32 weights, the model runs in mixed precision.
    device: "auto" is the first accelerator, else the CPU.

    Raises ValueError or OSError, in one sentence that says what was tried and what would work.
    """
    prompts = resolve_prompt(prompt)
    source = find_source(name_or_path, revision)
    config = _read_config(source)
    kind = _kind(config, source)
    if kind == "dual":
        from .dual import DualEncoder

        return DualEncoder(source, config, pooling=pooling, prompt=prompts, dtype=dtype, device=device)
    if kind == "multimodal":
        from .mllm import MultimodalEncoder

        given = None if prompt is None else prompts
        return MultimodalEncoder(source, config, pooling=pooling, prompt=given, dtype=dtype, device=device)
    from .text import TextEncoder

    return TextEncoder(source, config, pooling=pooling, prompt=prompts, dtype=dtype, device=device)


def model_kind(name_or_path: str | Path, *, revision: str | None = None) -> str:
    """ "dual", "multimodal" or "text", by the configuration: no weights are read. Raises as `load_encoder` does."""
    source = find_source(name_or_path, revision)
    return _kind(_read_config(source), source)


def _read_config(source: Source) -> Any:
    from transformers import AutoConfig

    from .backbone import explained, quiet

    with explained(source), quiet():
        return AutoConfig.from_pretrained(source.path, **source.arguments, **source.gguf_arguments)


def _kind(config: Any, source: Source) -> str:
    """Which class embeds this configuration."""
    from transformers import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING, MODEL_MAPPING

    if source.gguf_file:
        return "text"
    if type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        return "multimodal"
    model_class = MODEL_MAPPING.get(type(config), None)
    if hasattr(model_class, "get_text_features") and hasattr(model_class, "get_image_features"):
        return "dual"
    if model_class is not None and hasattr(config, "vocab_size") and not config.is_encoder_decoder:
        return "text"
    raise ValueError(
        f"load_encoder: {source.name} has the unsupported architecture {config.model_type!r}; supported are dual "
        "encoders (CLIP, SigLIP), image-text-to-text models (LLaVA, Qwen-VL, SmolVLM, Idefics3, Gemma3, InternVL), "
        "text encoders (BERT-like) and causal language models"
    )
