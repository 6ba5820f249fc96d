"""Where embeddings come from: arrays, stores on disk, an index, or a model that makes them now."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor

from ..embed.fingerprint import inputs_sha256
from ..embed.mixed_rows import encode_rows
from ..embed.store import EmbeddingStore, open_store, write_store
from ..index import FlatIndex
from ..ops.arrays import Array, to_tensor
from .options import OP, Similarity
from .pairs import Cell, texts_and_images

if TYPE_CHECKING:
    from ..embed import Encoder

Embeddings: TypeAlias = "Array | EmbeddingStore | FlatIndex | str | Path"
"""[n, D] as an array, as an open store or the folder of one; or, of a corpus, an index with ids 0 ... n - 1."""

_CHUNK_ROWS = 65536  # of a corpus, taken into the index at a time


class Rows:
    """[n, D] in shards, taken row by row: mapped shards are read where they are touched."""

    def __init__(self, shards: Sequence[Tensor]) -> None:
        self.shards = shards
        self._ends = torch.tensor([len(shard) for shard in shards]).cumsum(0)

    @classmethod
    def of(cls, name: str, source: Any) -> Rows:
        """Raises TypeError or ValueError for what is no [n, D] of floating-point numbers."""
        if isinstance(source, (str, Path)):
            source = open_store(source)
        if isinstance(source, EmbeddingStore):
            return cls(source.shards or [source.embeddings])
        tensor = to_tensor(OP, name, source).detach()
        if tensor.dim() != 2:
            raise ValueError(f"{OP}: {name} must be [n, D], got {list(tensor.shape)}")
        return cls([tensor])

    @property
    def dim(self) -> int:
        return self.shards[0].shape[1]

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def take(self, positions: Tensor) -> Tensor:
        """[m, D]: copies of the rows at positions [m]."""
        of_shard = torch.searchsorted(self._ends, positions, right=True)
        taken = self.shards[0].new_empty(len(positions), self.shards[0].shape[1])
        for number in set(of_shard.tolist()):
            here = of_shard == number
            shard = self.shards[number]
            taken[here] = shard[positions[here] - (self._ends[number] - len(shard))]
        return taken

    def sha256(self) -> str:
        digest = hashlib.sha256()
        for shard in self.shards:
            digest.update(f"{shard.dtype} {list(shard.shape)}".encode())
            digest.update(shard.cpu().contiguous().view(torch.uint8).numpy().data)
        return digest.hexdigest()


def embedded(
    encoder: Encoder,
    cells: Sequence[Cell],
    prompt: str,
    folder: Path | None,
    *,
    batch_size: int,
    progress: bool | None,
    description: str,
) -> Rows:
    """Embeddings of every cell; in a store below `folder`, where an earlier run may have begun or finished them."""
    texts, images = texts_and_images(cells, prompt)
    if folder is None:
        return Rows([encode_rows(encoder, texts, images, batch_size=batch_size, progress=progress)])
    named = json.dumps([encoder.name, encoder.describe(), inputs_sha256(texts, images)], sort_keys=True)
    store = write_store(
        folder / hashlib.sha256(named.encode()).hexdigest()[:24],
        encoder,
        [str(number) for number in range(len(cells))],
        texts=texts,
        images=images,
        batch_size=batch_size,
        progress=progress,
        description=description,
    )
    return Rows(store.shards)


def index_over(rows: Rows, positions: Tensor, metric: Similarity, device: str) -> FlatIndex:
    """An index of the rows at positions [N], with ids 0 ... N - 1; of one shard that is there, without a copy."""
    whole = len(rows.shards) == 1 and positions.equal(torch.arange(len(rows)))
    if whole and rows.shards[0].device == torch.device(device):
        return FlatIndex.over(rows.shards[0], metric)
    first = rows.shards[0]
    index = FlatIndex(first.shape[1], metric, dtype=first.dtype, device=device)
    for chunk in torch.split(positions, _CHUNK_ROWS):
        index.add(rows.take(chunk).to(index.device))
    return index
