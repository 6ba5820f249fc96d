"""Rows that carry a text, an image or both, each encoded through the method for what it carries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .batching import Progress
from .encoder import Encoder

if TYPE_CHECKING:
    from .images import ImageInput


def kind_of(text: str | None, image: ImageInput | None) -> str:
    """ "text", "image", "pair", or "" for a row with neither."""
    if text is None:
        return "" if image is None else "image"
    return "text" if image is None else "pair"


def encode_rows(
    encoder: Encoder,
    texts: Sequence[str | None],
    images: Sequence[ImageInput | None],
    *,
    batch_size: int,
    progress: Progress,
) -> Tensor:
    """[N, dim] float32, row i for texts[i] and images[i]; the kinds must be among the encoder's inputs."""
    kinds = [kind_of(text, image) for text, image in zip(texts, images, strict=True)]
    embeddings = torch.empty(len(kinds), encoder.dim, dtype=torch.float32)
    arguments: dict[str, Any] = {"batch_size": batch_size, "progress": progress}
    for kind in ("text", "image", "pair"):
        rows = [row for row, its_kind in enumerate(kinds) if its_kind == kind]
        if not rows:
            continue
        its_texts = [text for text in (texts[row] for row in rows) if text is not None]
        its_images = [image for image in (images[row] for row in rows) if image is not None]
        if kind == "text":
            embeddings[rows] = encoder.encode_texts(its_texts, **arguments)
        elif kind == "image":
            embeddings[rows] = encoder.encode_images(its_images, **arguments)
        else:
            embeddings[rows] = encoder.encode_pairs(its_images, its_texts, **arguments)
    return embeddings
