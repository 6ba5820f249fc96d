"""What an encoder is, and how a name becomes one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from .batching import Progress
from .prompts import resolve_prompt
from .sources import Source, find_source

if TYPE_CHECKING:
    from .images import ImageInput


@runtime_checkable
class Encoder(Protocol):
    """Turns texts, images, or images with a text each into vectors of one space.

    The encode methods return [N, dim] float32 on the CPU, row i for input i, as the model gives it (not normalised);
    rows do not depend on batch_size or on the order of the inputs beyond rounding. They raise ValueError for a kind
    of input that is not in `inputs`, for an empty text and for an image that does not decode.
    `progress`: None shows a bar where stderr is a terminal, True always, False never; a callable is told how many
    inputs each batch has finished.
    """

    name: str
    dim: int
    inputs: frozenset[str]
    """Which of "text", "image" and "pair" the encoder takes."""

    def encode_texts(self, texts: Sequence[str], *, batch_size: int = 32, progress: Progress = None) -> Tensor:
        """Embeddings [N, dim] of N texts; a text beyond the model's length is cut at its end.

        Raises ValueError for an empty text and TypeError for what is no string, each with its position.
        """
        ...

    def encode_images(self, images: Sequence[ImageInput], *, batch_size: int = 32, progress: Progress = None) -> Tensor:
        """Embeddings [N, dim] of N images: PIL images, paths or the bytes of files, decoded batch by batch.

        Raises ValueError or FileNotFoundError, naming the image, where it does not decode, is missing, or has a shape
        that the model does not take; TypeError, with its position, for what is no image.
        """
        ...

    def encode_pairs(
        self, images: Sequence[ImageInput], texts: Sequence[str], *, batch_size: int = 32, progress: Progress = None
    ) -> Tensor:
        """Embeddings [N, dim] of N images with a text each: one vector for both.

        Raises as `encode_texts` and `encode_images` do, and ValueError unless there are as many of either.
        """
        ...

    def describe(self) -> dict[str, str]:
        """What the embeddings depend on: model, family, revision, pooling, prompt, dtype."""
        ...


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


INPUTS = {
    "dual": frozenset({"text", "image", "pair"}),
    "multimodal": frozenset({"text", "image", "pair"}),
    "text": frozenset({"text"}),
}
"""What the encoders of a `model_kind` take."""


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
