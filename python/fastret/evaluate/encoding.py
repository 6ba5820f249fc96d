"""Embedding a collection whose items are texts, images or both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor
from tqdm import tqdm

from fastret.embed.mixed_rows import encode_rows

from .dataset import Collection

if TYPE_CHECKING:
    from fastret.embed import Encoder

_NOUNS = {"text": "texts", "image": "images", "pair": "images with texts"}


def check_inputs(name: str, inputs: frozenset[str], collection: Collection) -> None:
    """Raises ValueError where an item is of a kind that the model of that name does not take, or has no content."""
    for id_, kind in zip(collection.ids, collection.kinds(), strict=True):
        if not kind:
            raise ValueError(f"embed_collection: items must have a text or an image, got none for {id_!r}")
        if kind not in inputs:
            takes = " and ".join(noun for one, noun in _NOUNS.items() if one in inputs) or "nothing"
            raise ValueError(
                f"embed_collection: the task needs a model that takes {_NOUNS[kind]} (item {id_!r}), "
                f"got {name}, which takes {takes}"
            )


def embed_collection(
    encoder: Encoder,
    collection: Collection,
    *,
    batch_size: int = 32,
    progress: bool | None = None,
    description: str = "embedding",
) -> Tensor:
    """Embeddings [N, dim] float32 of the items in order, each through the method for what it carries.

    `progress`: None shows a bar where stderr is a terminal, True always, False never.
    Raises ValueError as `check_inputs` does, before any work.
    """
    check_inputs(encoder.name, encoder.inputs, collection)
    disable = None if progress is None else not progress
    with tqdm(total=len(collection), desc=description, unit="item", disable=disable) as bar:
        return encode_rows(encoder, collection.texts, collection.images, batch_size=batch_size, progress=bar.update)
