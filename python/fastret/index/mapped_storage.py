"""Vectors that stay in their file, searched shard by shard."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NoReturn

import torch
from torch import Tensor
from tqdm import tqdm

from ..ops import PackedKeys, range_search, search
from ..ops.first_pass import FirstPass
from ..ops.merging import Neighbours, WithinRange, neighbours_in_order, ranges_in_order
from ..ops.panels import PANEL_KEYS
from .file_format import read_index_file
from .filters import Filters
from .storage import Storage
from .tensor_storage import default_pass


class MappedStorage(Storage):
    """Each search reads the file once: the packed keys and the survivors' vectors, or all vectors where it was saved
    without packed keys.
    """

    def __init__(self, path: str | os.PathLike[str], verify: bool, shard_bytes: int, progress: bool | None) -> None:
        if not hasattr(shard_bytes, "__index__") or isinstance(shard_bytes, bool):
            raise TypeError(f"FlatIndex.load: shard_bytes must be an int, got {type(shard_bytes).__name__}")
        if shard_bytes < 1:
            raise ValueError(f"FlatIndex.load: shard_bytes must be at least 1, got {shard_bytes}")
        stored = read_index_file(path, mmap=True, verify=verify)
        super().__init__(stored.vectors.shape[1], stored.metric, stored.vectors.dtype, torch.device("cpu"))
        self.path = os.fspath(path)
        self.stored = stored
        self.shard_bytes = int(shard_bytes)
        self.progress = progress
        self.searched_in_parts = f"a mapped file is searched shard by shard; load {self.path} without mmap"

    def refuse_change(self, operation: str) -> NoReturn:
        raise ValueError(
            f"FlatIndex.{operation}: an index of a mapped file cannot be changed; load {self.path} without mmap"
        )

    def pack(self, ntotal: int, sample_queries: Tensor | None) -> None:
        """Raises ValueError unless the file has packed keys: they would have to be written to it."""
        if self.stored.packed is None and self.stored.first_pass != "float32":
            self.refuse_change("pack")

    def empty(self) -> NoReturn:
        self.refuse_change("remove")

    def reserve(self, room: int, kept: int) -> NoReturn:
        self.refuse_change("add")

    def write(self, vectors: Tensor, first: int) -> NoReturn:
        self.refuse_change("add")

    def at(self, where: slice | Tensor) -> Tensor:
        return self.stored.vectors[where]

    def joined(self, ntotal: int, device: torch.device | None = None) -> Tensor:
        return self.stored.vectors

    def packed(self, ntotal: int) -> PackedKeys | None:
        return self.stored.packed

    def search(
        self, queries: Tensor, ntotal: int, k: int, filters: Filters, first_pass: FirstPass | None
    ) -> Neighbours:
        chosen = first_pass or default_pass(self.stored.first_pass)

        def found() -> Iterator[tuple[int, Neighbours]]:
            for first, last, keys in self.shards("search"):
                here = filters.of_shard(first, last)._asdict()
                scores, ids = search(queries, keys, k, self.metric, first_pass=chosen, **here)
                yield first, (scores, ids)

        return neighbours_in_order(found(), queries, k, self.metric)

    def range_search(
        self, queries: Tensor, ntotal: int, threshold: float, filters: Filters, first_pass: FirstPass | None
    ) -> WithinRange:
        chosen = first_pass or default_pass(self.stored.first_pass)

        def found() -> Iterator[tuple[int, WithinRange]]:
            for first, last, keys in self.shards("range search"):
                here = filters.of_shard(first, last)._asdict()
                yield first, range_search(queries, keys, threshold, self.metric, first_pass=chosen, **here)

        return ranges_in_order(found(), queries)

    def shards(self, what: str) -> Iterator[tuple[int, int, Tensor | PackedKeys]]:
        """The first row, the row after the last, and the keys of each shard; at least one."""
        vectors, packed = self.stored.vectors, self.stored.packed
        size = max(1, self.shard_bytes // self._row_bytes // PANEL_KEYS) * PANEL_KEYS
        disable = None if self.progress is None else not self.progress
        for first in tqdm(range(0, max(1, len(vectors)), size), desc=what, unit="shard", disable=disable, leave=False):
            last = min(len(vectors), first + size)
            yield first, last, vectors[first:last] if packed is None else packed.rows(first, last)

    def parts(self) -> Iterator[tuple[str, Tensor]]:
        yield "vectors", self.stored.vectors
        if self.stored.packed is not None and self.stored.packed.packing is not None:
            for tensor in self.stored.packed.packing.tensors().values():
                yield "packed keys", tensor
