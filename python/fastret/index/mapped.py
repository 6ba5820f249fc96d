"""MappedFlatIndex: search over vectors that stay in their file, shard by shard."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from typing import Any, NoReturn

import torch
from torch import Tensor
from tqdm import tqdm

from ..ops import PackedKeys, range_search, search, select_k
from ..ops.arrays import Array
from ..ops.first_pass import FirstPass
from ..ops.panels import PANEL_KEYS
from .file_format import read_index_file
from .filters import Filters
from .flat import FlatIndex
from .ids import Ids


class MappedFlatIndex(FlatIndex):
    """An index in a file, searched there: `FlatIndex.load(path, mmap=True)`.

    Each search reads the file once: the packed keys and the survivors' vectors, or all vectors where it was saved
    without packed keys. It answers with the bits that the index in memory gives, and cannot be changed. Pickling
    it, say for the workers of a data loader, writes down the path alone.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        verify: bool = False,
        shard_bytes: int = 256 << 20,
        progress: bool | None = None,
    ) -> None:
        if not hasattr(shard_bytes, "__index__") or isinstance(shard_bytes, bool):
            raise TypeError(f"FlatIndex.load: shard_bytes must be an int, got {type(shard_bytes).__name__}")
        if shard_bytes < 1:
            raise ValueError(f"FlatIndex.load: shard_bytes must be at least 1, got {shard_bytes}")
        stored = read_index_file(path, mmap=True, verify=verify)
        dim, dtype = stored.vectors.shape[1], stored.vectors.dtype
        super().__init__(dim, stored.metric, dtype=dtype, first_pass=stored.first_pass)
        self._take(stored)
        self._path = os.fspath(path)
        self._shard_bytes = int(shard_bytes)
        self._progress = progress

    def __reduce__(self) -> tuple[Any, ...]:
        opened = functools.partial(MappedFlatIndex, shard_bytes=self._shard_bytes, progress=self._progress)
        return opened, (self._path,)

    def add(self, vectors: Array, ids: Ids | None = None) -> NoReturn:
        """A mapped index cannot be changed: raises ValueError."""
        self._refuse("add")

    def remove(self, ids: int | Ids) -> NoReturn:
        """A mapped index cannot be changed: raises ValueError."""
        self._refuse("remove")

    def reset(self) -> NoReturn:
        """A mapped index cannot be changed: raises ValueError."""
        self._refuse("reset")

    def pack(self, *, sample_queries: Array | None = None) -> None:
        """Raises ValueError unless the file has packed keys: they would have to be written to it."""
        if self._packing.packed(self.vectors) is None and self.first_pass != "float32":
            self._refuse("pack")

    def explain_search(self, *arguments: Any, **options: Any) -> NoReturn:
        """Raises ValueError: each shard is a search of its own."""
        raise ValueError(
            f"FlatIndex.explain_search: a mapped file is searched shard by shard; load {self._path} without mmap"
        )

    def memory(self) -> dict[str, int]:
        """Bytes held by each part: none, as all of them are "mapped", and pages of a file are the system's to drop."""
        parts = super().memory()
        return dict.fromkeys(parts, 0) | {"mapped": sum(parts.values())}

    def _refuse(self, operation: str) -> NoReturn:
        raise ValueError(
            f"FlatIndex.{operation}: an index of a mapped file cannot be changed; load {self._path} without mmap"
        )

    def _neighbours(
        self, rows: Tensor, k: int, filters: Filters, first_pass: FirstPass | None
    ) -> tuple[Tensor, Tensor]:
        # Nothing found yet: NaN, which is never selected.
        scores = torch.full((len(rows), 0), torch.nan)
        positions = torch.empty((len(rows), 0), dtype=torch.int64)
        chosen = self._pass_of(first_pass)
        for first, last, keys in self._shards("search"):
            here = filters.of_shard(first, last)._asdict()
            more_scores, more = search(rows, keys, k, self.metric, first_pass=chosen, **here)
            # Padding is no result: an infinitely bad key of a later shard takes its place.
            more_scores = more_scores.masked_fill(more < 0, torch.nan)
            # Positions ascend with shards, so that of equal scores the smaller column has the smaller position.
            scores, columns = select_k(torch.cat([scores, more_scores], 1), k, largest=self.metric != "l2")
            missing = columns < 0
            positions = torch.cat([positions, more + first], 1).gather(1, columns.clamp_min(0))
            positions, scores = positions.masked_fill(missing, -1), scores.masked_fill(missing, torch.nan)
        worst = torch.inf if self.metric == "l2" else -torch.inf
        return scores.masked_fill(positions < 0, worst), positions

    def _within(
        self, rows: Tensor, threshold: float, filters: Filters, first_pass: FirstPass | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        chosen = self._pass_of(first_pass)
        queries, scores, positions = [], [], []
        counts = torch.zeros(len(rows), dtype=torch.int64)
        for first, last, keys in self._shards("range search"):
            here = filters.of_shard(first, last)._asdict()
            lims, more_scores, more = range_search(rows, keys, threshold, self.metric, first_pass=chosen, **here)
            queries.append(torch.repeat_interleave(torch.arange(len(rows)), lims.diff()))
            counts += lims.diff()
            scores.append(more_scores)
            positions.append(more + first)
        by_query = torch.argsort(torch.cat(queries), stable=True)
        lims = torch.nn.functional.pad(counts.cumsum(0), (1, 0))
        return lims, torch.cat(scores)[by_query], torch.cat(positions)[by_query]

    def _shards(self, what: str) -> Iterator[tuple[int, int, Tensor | PackedKeys]]:
        """The first row, the row after the last, and the keys of each shard; at least one."""
        row_bytes = max(1, self.dim * self.dtype.itemsize)
        size = max(1, self._shard_bytes // row_bytes // PANEL_KEYS) * PANEL_KEYS
        disable = None if self._progress is None else not self._progress
        starts = range(0, max(1, self.ntotal), size)
        packed = self._packing.packed(self.vectors)
        for first in tqdm(starts, desc=what, unit="shard", disable=disable, leave=False):
            last = min(self.ntotal, first + size)
            yield first, last, self.vectors[first:last] if packed is None else packed.rows(first, last)
