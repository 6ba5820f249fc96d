"""Dual encoders: the CLIP and SigLIP families, one tower for images and one for texts in a shared space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from .backbone import load_backbone
from .batching import Progress, check_texts, encode_batches
from .control_tokens import ControlTokenGuard
from .images import ImageInput, check_images, open_images
from .prompts import PRESETS, Prompt
from .sources import Source


class DualEncoder:
    """Projected features of an image tower and a text tower.

    A pair is embedded as the sum of its two L2-normalised features, the "score fusion" of UniIR (Wei et al., 2024,
    arXiv:2311.17136), so that its inner product with a vector is the sum of the two cosines with it.
    """

    inputs = frozenset({"text", "image", "pair"})

    def __init__(
        self, source: Source, config: Any, *, pooling: str | None, prompt: Prompt, dtype: str | torch.dtype, device: str
    ) -> None:
        from transformers import AutoModel

        from .processors import load_image_processor, load_tokenizer
        from .text import token_limit

        if pooling is not None:
            raise ValueError(
                f"load_encoder: {source.name} is a dual encoder, which pools by itself; leave out pooling={pooling!r}"
            )
        if prompt.name in PRESETS:
            raise ValueError(
                f"load_encoder: {source.name} is a dual encoder, which follows no instruction; leave out "
                f"prompt={prompt.name!r}, or give a template for its texts such as 'a photo of {{}}'"
            )
        self.name = source.name
        self.prompt = prompt
        self.image_processor = load_image_processor(source)
        self.tokenizer = load_tokenizer(source)
        self._guarded = ControlTokenGuard(self.tokenizer)
        # SigLIP was trained on padded texts without a mask; its pooled token is the last of the padding.
        self._pads_to_the_end = config.model_type.startswith("siglip")
        self.max_tokens = token_limit(self.tokenizer, config.text_config)
        self.backbone = load_backbone(source, config, AutoModel, dtype=dtype, device=device)
        self.dim = self._encode_texts(["a"]).shape[1]
        self._facts = {"model": source.name, "family": config.model_type, "revision": source.resolved_revision(config)}

    def encode_texts(self, texts: Sequence[str], *, batch_size: int = 32, progress: Progress = None) -> Tensor:
        """[N, dim] float32 on the CPU, not normalised. Texts beyond the tower's length are cut at the end."""
        texts = check_texts(texts)
        sizes = [len(text) for text in texts]
        return encode_batches(
            texts, self._encode_texts, dim=self.dim, sizes=sizes, batch_size=batch_size, progress=progress
        )

    def encode_images(self, images: Sequence[ImageInput], *, batch_size: int = 32, progress: Progress = None) -> Tensor:
        """[N, dim] float32 on the CPU, not normalised. Images are decoded batch by batch."""
        images = check_images(images)
        sizes = [0] * len(images)
        return encode_batches(
            images, self._encode_images, dim=self.dim, sizes=sizes, batch_size=batch_size, progress=progress
        )

    def encode_pairs(
        self, images: Sequence[ImageInput], texts: Sequence[str], *, batch_size: int = 32, progress: Progress = None
    ) -> Tensor:
        """[N, dim] float32 on the CPU: for each pair the sum of the L2-normalised image and text features."""
        images, texts = check_images(images), check_texts(texts)
        check_pairs(images, texts)
        image_features = self.encode_images(images, batch_size=batch_size, progress=progress)
        text_features = self.encode_texts(texts, batch_size=batch_size, progress=False)
        return normalize(image_features, dim=-1) + normalize(text_features, dim=-1)

    def describe(self) -> dict[str, str]:
        """What the embeddings depend on: model, family, revision, pooling, prompt, dtype."""
        dtype = str(self.backbone.dtype).removeprefix("torch.")
        return self._facts | {"pooling": "model", "prompt": self.prompt.name, "dtype": dtype}

    def _encode_texts(self, texts: list[str]) -> Tensor:
        tokens = self.tokenizer(
            [self.prompt.text.replace("{}", self._guarded(text)) for text in texts],
            padding="max_length" if self._pads_to_the_end else True,
            truncation=True,
            max_length=self.max_tokens,
            return_tensors="pt",
        )
        names = ("input_ids",) if self._pads_to_the_end else ("input_ids", "attention_mask")
        with self.backbone.inference():
            return _features(
                self.backbone.model.get_text_features(**self.backbone.place({n: tokens[n] for n in names}))
            )

    def _encode_images(self, images: list[ImageInput]) -> Tensor:
        pixels = self.image_processor(images=open_images(images), return_tensors="pt")
        with self.backbone.inference():
            return _features(self.backbone.model.get_image_features(**self.backbone.place(pixels)))


def check_pairs(images: Sequence[object], texts: Sequence[object]) -> None:
    """Raise ValueError where there are not as many images as texts."""
    if len(images) != len(texts):
        raise ValueError(f"encode_pairs: images and texts must be as many, got {len(images)} and {len(texts)}")


def _features(output: Any) -> Tensor:
    # transformers 5 wraps the projected features; earlier versions return them.
    features = output if isinstance(output, Tensor) else output.pooler_output
    return features.float()
