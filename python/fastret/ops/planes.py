"""Split planes: keys on a device as two planes of 16 bits, the first of which is all that a first pass reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from . import reference
from .arrays import METRICS, Metric
from .filters import filters_of_keys
from .merging import neighbours_in_order

PLANE_ALIGNMENT = 64  # elements: rows of a plane begin at multiples of 128 bytes
KEY_TILE = 256  # rows that a kernel visits at a time: planes and facts have room for whole tiles
MOST_KEYS = (1 << 32) - KEY_TILE  # keys that a kernel's search has are fewer
PLANE_FACTS = 4  # float32 per row: see reference.plane_facts
_BLOCK_BYTES = 64 << 20  # of rows that are moved, joined or split at a time


def _whole_tiles(rows: int) -> int:
    return -(-rows // KEY_TILE) * KEY_TILE


def plane_stride(dim: int) -> int:
    """Elements of a plane's row: the dimensions and the zeros beyond them."""
    return -(-dim // PLANE_ALIGNMENT) * PLANE_ALIGNMENT


def plane_row_bytes(dim: int, dtype: torch.dtype) -> int:
    """The memory of a row as planes, facts included."""
    return plane_stride(dim) * (2 if dtype == torch.bfloat16 else 4) + PLANE_FACTS * 4


@dataclass(frozen=True, eq=False)
class SplitPlanes:
    """Rows [N, D] as the planes that `reference.split_rows` defines: 4 bytes per element and exact, of bfloat16 rows 2.

    float16 rows take 4 as well, as `high` holds 8 of their 11 significant bits; their NaN lose their payload.
    """

    high: Tensor  # [room, D up to a multiple of 64] uint16, zeros beyond D
    low: Tensor | None  # int16 of the same shape; None: zeros, of bfloat16 rows
    facts: Tensor  # [room, 4] float32, see reference.plane_facts; NaN from row N on, as kernels visit whole tiles
    dim: int  # D
    ntotal: int  # N
    dtype: torch.dtype  # of the rows

    @classmethod
    def empty(cls, dim: int, dtype: torch.dtype, device: torch.device, room: int = 0) -> SplitPlanes:
        """No rows yet, and room for at least so many."""
        room = _whole_tiles(room)
        shape = (room, plane_stride(dim))
        low = None if dtype == torch.bfloat16 else torch.empty(shape, dtype=torch.int16, device=device)
        facts = torch.full((room, PLANE_FACTS), torch.nan, device=device)
        return cls(torch.empty(shape, dtype=torch.uint16, device=device), low, facts, dim, 0, dtype)

    def __reduce__(self) -> tuple[Any, ...]:
        # torch cannot unpickle uint16.
        return _unpickled, (self.high.view(torch.int16), self.low, self.facts, self.dim, self.ntotal, self.dtype)

    @property
    def shape(self) -> torch.Size:
        """[N, D]"""
        return torch.Size([self.ntotal, self.dim])

    @property
    def device(self) -> torch.device:
        return self.high.device

    @property
    def row_bytes(self) -> int:
        """The memory of a row."""
        return plane_row_bytes(self.dim, self.dtype)

    @property
    def nbytes(self) -> int:
        """Memory, room for more rows included."""
        return len(self.facts) * self.row_bytes

    def rows(self, first: int, last: int) -> SplitPlanes:
        """Rows first ... last - 1 alone, which then count from 0, in the same memory but for their facts.

        `first` must begin a tile, so that there is room for whole tiles.
        """
        facts = self.facts.new_full((_whole_tiles(last - first), PLANE_FACTS), torch.nan)
        facts[: last - first] = self.facts[first:last]
        low = None if self.low is None else self.low[first:]
        return replace(self, high=self.high[first:], low=low, facts=facts, ntotal=last - first)

    def with_room(self, room: int) -> SplitPlanes:
        """The same memory, or a copy with room for at least so many rows, in all."""
        if room <= len(self.facts):
            return self
        larger = SplitPlanes.empty(self.dim, self.dtype, self.device, room)
        for mine, copy in ((self.high, larger.high), (self.low, larger.low), (self.facts, larger.facts)):
            if mine is not None and copy is not None:
                copy[: self.ntotal] = mine[: self.ntotal]
        return replace(larger, ntotal=self.ntotal)

    def with_rows(self, rows: Tensor, first: int, metric: Metric) -> SplitPlanes:
        """These planes with `rows` [n, D] as the rows first ... first + n - 1, the last ones.

        Writes them into the same memory, which must have the room.
        """
        torch.ops.fastret.split_rows_(rows, METRICS.index(metric), first, self.high, self.low, self.facts)
        return replace(self, ntotal=first + len(rows))

    def at(self, where: slice | Tensor) -> Tensor:
        """The rows there, [n, D] with the bits they were given in; may share memory with the planes."""
        high = self.high.view(torch.int16)[where]  # torch does not index uint16 on CUDA devices
        if self.low is None:
            return high.view(torch.bfloat16)[:, : self.dim]
        return reference.join_rows(high[:, : self.dim], self.low[where, : self.dim]).to(self.dtype)

    def joined(self) -> Tensor:
        """All rows, [N, D], in memory of their own."""
        rows = torch.empty(self.shape, dtype=self.dtype, device=self.device)
        for block in row_blocks(self.ntotal, self.row_bytes):
            rows[block] = self.at(block)
        return rows


def _unpickled(high: Tensor, *others: Any) -> SplitPlanes:
    return SplitPlanes(high.view(torch.uint16), *others)


def search_split(
    queries: Tensor,
    planes: SplitPlanes,
    k: int,
    metric: int,
    allowed: Tensor | None = None,
    excluded: Tensor | None = None,
    workspace_bytes: int = 0,
) -> tuple[Tensor, Tensor]:
    """`search` of planes whose facts are for this metric, given by its number; arguments are checked already.

    workspace_bytes: the most that the search takes beyond its result, as far as one query allows; 0: what is best.
    """
    scores, ids = torch.ops.fastret.search_planes(
        queries,
        planes.high,
        planes.low,
        planes.facts,
        planes.dim,
        planes.ntotal,
        k,
        metric,
        allowed,
        excluded,
        workspace_bytes,
    )
    return scores, ids


def row_blocks(num_rows: int, row_bytes: int, block_bytes: int = _BLOCK_BYTES) -> Iterator[slice]:
    """Slices that cover 0 ... num_rows - 1, each of whole tiles and about so many bytes."""
    step = max(1, block_bytes // row_bytes // KEY_TILE) * KEY_TILE
    for first in range(0, num_rows, step):
        yield slice(first, min(num_rows, first + step))


@torch.library.register_kernel("fastret::split_rows_", "cpu")
def _(rows: Tensor, metric: int, first: int, high: Tensor, low: Tensor | None, facts: Tensor) -> None:
    high_rows, low_rows = reference.split_rows(rows)
    at, beyond = slice(first, first + len(rows)), (0, high.shape[1] - rows.shape[1])
    high[at] = F.pad(high_rows, beyond)
    if low is not None:
        low[at] = F.pad(low_rows, beyond)
    facts[at] = reference.plane_facts(rows, METRICS[metric])


@torch.library.register_kernel("fastret::search_planes", "cpu")
def _(
    queries: Tensor,
    high: Tensor,
    low: Tensor | None,
    facts: Tensor,
    dim: int,
    num_keys: int,
    k: int,
    metric: int,
    allowed: Tensor | None = None,
    excluded: Tensor | None = None,
    workspace_bytes: int = 0,
) -> tuple[Tensor, Tensor]:
    planes = SplitPlanes(high, low, facts, dim, num_keys, torch.bfloat16 if low is None else torch.float32)
    # Joining takes some four times the memory of the rows.
    blocks = row_blocks(num_keys, 4 * planes.row_bytes, workspace_bytes or _BLOCK_BYTES)

    def found(block: slice) -> tuple[Tensor, Tensor]:
        filters = filters_of_keys(allowed, excluded, block.start, block.stop)
        scores, ids = torch.ops.fastret.search(queries, planes.at(block), k, metric, *filters)
        return scores, ids

    return neighbours_in_order(((block.start, found(block)) for block in blocks), queries, k, METRICS[metric])


@torch.library.register_fake("fastret::split_rows_")
def _(rows: Tensor, metric: int, first: int, high: Tensor, low: Tensor | None, facts: Tensor) -> None:
    torch._check(rows.dim() == 2)


@torch.library.register_fake("fastret::search_planes")
def _(
    queries: Tensor,
    high: Tensor,
    low: Tensor | None,
    facts: Tensor,
    dim: int,
    num_keys: int,
    k: int,
    metric: int,
    *options: Tensor | int | None,
) -> tuple[Tensor, Tensor]:
    torch._check(queries.dim() == 2 and queries.shape[1] == dim)
    shape = (queries.shape[0], k)
    return queries.new_empty(shape, dtype=torch.float32), queries.new_empty(shape, dtype=torch.int64)
