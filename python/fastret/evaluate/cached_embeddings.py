"""Embeddings of collections, made once per model: within a study in memory, between studies on disk."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from .dataset import Collection
from .encoding import check_inputs, embed_collection

if TYPE_CHECKING:
    from fastret.embed import Encoder


class CollectionEmbedder:
    """Embeds collections with one encoder; equal ones, such as the images of t2i and of i2t, only once."""

    def __init__(
        self,
        encoder: Encoder,
        cache: str | os.PathLike[str] | None = None,
        *,
        batch_size: int = 32,
        progress: bool | None = None,
    ) -> None:
        self.encoder, self._batch_size, self._progress = encoder, batch_size, progress
        self._cache = None if cache is None else Path(cache)
        self._embedded: dict[str, Tensor] = {}

    def __call__(self, collection: Collection, description: str) -> Tensor:
        """Embeddings [N, dim] float32, with a progress bar where there is work.

        Raises ValueError as `embed_collection` does; OSError or ValueError, naming the file, for a broken cache.
        """
        key = fingerprint(collection)
        if key not in self._embedded:
            self._embedded[key] = (
                embed_collection(
                    self.encoder,
                    collection,
                    batch_size=self._batch_size,
                    progress=self._progress,
                    description=description,
                )
                if self._cache is None
                else self._stored(collection, key, self._cache, description)
            )
        return self._embedded[key]

    def _stored(self, collection: Collection, key: str, cache: Path, description: str) -> Tensor:
        """Embeddings of a store of this model and collection, which an earlier run finished, began or did not."""
        from fastret.embed.store import write_store

        check_inputs(self.encoder.name, self.encoder.inputs, collection)
        model = json.dumps([self.encoder.name, self.encoder.describe()], sort_keys=True)
        name = hashlib.sha256(f"{model} {key}".encode()).hexdigest()[:24]
        return write_store(
            cache / name,
            self.encoder,
            collection.ids,
            texts=collection.texts,
            images=collection.images,
            batch_size=self._batch_size,
            progress=self._progress,
            description=description,
        ).embeddings


def fingerprint(collection: Collection) -> str:
    """A hash of ids, texts and the content of images."""
    from fastret.embed.fingerprint import inputs_sha256

    inputs = inputs_sha256(collection.texts, collection.images)
    return hashlib.sha256(json.dumps([list(collection.ids), inputs]).encode()).hexdigest()
