"""Embeddings of the demo's collections, kept on disk between runs, and looked up by id."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from fastret.evaluate import Collection
from fastret.evaluate.cached_embeddings import CollectionEmbedder

if TYPE_CHECKING:
    from PIL.Image import Image

    from fastret.embed import Encoder

BATCH = 64  # the texts are short: in smaller batches, reading the weights takes longer than using them


def default_cache() -> Path:
    """`$XDG_CACHE_HOME/fastret`, or `~/.cache/fastret` where that is not set (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "fastret"


def text_collection(ids: Sequence[str], texts: Sequence[str]) -> Collection:
    return Collection(ids, texts, [None] * len(ids))


def image_collection(ids: Sequence[str], images: Sequence[Image]) -> Collection:
    return Collection(ids, [None] * len(ids), images)


@dataclass(frozen=True)
class Features:
    """Embeddings [N, D], row i under the id `kind/item` that `ids[i]` is."""

    ids: Sequence[str]
    embeddings: Tensor

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {id_: row for row, id_ in enumerate(self.ids)}

    def of(self, kind: str, items: Sequence[str]) -> Tensor:  # [len(items), D]
        return self.embeddings[[self._rows[f"{kind}/{item}"] for item in items]]


def embed_features(encoder: Encoder, collection: Collection, cache: Path, progress: bool | None) -> Features:
    """The collection's embeddings: from `cache` if an earlier run left them there, else made and left there.

    They are found again by the encoder's description and the collection's content; see `fastret.embed.store`.
    """
    embed = CollectionEmbedder(encoder, cache, batch_size=BATCH, progress=progress)
    return Features(collection.ids, embed(collection, encoder.name))
