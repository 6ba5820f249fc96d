"""Vectors dealt to several devices, each of which searches its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ..ops.first_pass import FirstPass
from ..ops.merging import Neighbours, WithinRange, merge_neighbours, merge_ranges
from .filters import Filters
from .storage import Storage

DEALT_ROWS = 4096  # to one shard before the next has its turn: whole tiles, and few enough for an even deal


class ShardedStorage(Storage):
    """Shards of one kind in turn get `DEALT_ROWS` vectors each: adds keep the deal even and move nothing.

    Queries go to all devices, whose searches run at once; what they find is merged on the first device.
    """

    searched_in_parts = "each shard is a search of its own"

    def __init__(self, shards: Sequence[Storage]) -> None:
        first = shards[0]
        super().__init__(first.dim, first.metric, first.dtype, first.device)
        self.home = first.home
        self._shards = tuple(shards)

    def empty(self) -> ShardedStorage:
        return ShardedStorage([shard.empty() for shard in self._shards])

    def reserve(self, room: int, kept: int) -> None:
        for number, shard in enumerate(self._shards):
            shard.reserve(self._count(number, room), self._count(number, kept))

    def write(self, vectors: Tensor, first: int) -> None:
        self.reserve(first + len(vectors), first)
        begin, last = first, first + len(vectors)
        while begin < last:
            turn = begin // DEALT_ROWS
            end, number = min(last, (turn + 1) * DEALT_ROWS), turn % len(self._shards)
            self._shards[number].write(vectors[begin - first : end - first], self._count(number, begin))
            begin = end

    def at(self, where: slice | Tensor) -> Tensor:
        if isinstance(where, slice):
            where = torch.arange(where.start, where.stop)
        where = where.to(self.home)
        vectors = torch.empty((len(where), self.dim), dtype=self.dtype, device=self.home)
        owners, local = self._owners(where), self._local(where)
        for number, shard in enumerate(self._shards):
            mine = owners == number
            vectors[mine] = shard.at(local[mine].to(shard.home)).to(self.home)
        return vectors

    @property
    def placement(self) -> str:
        kind = self._shards[0].placement.partition(", ")[2]
        return f"devices={[str(shard.device) for shard in self._shards]}" + (kind and f", {kind}")

    def search(
        self, queries: Tensor, ntotal: int, k: int, filters: Filters, first_pass: FirstPass | None
    ) -> Neighbours:
        # Every device has its work before any answer is waited for.
        found = [
            shard.search(queries.to(shard.device), count, k, here, first_pass)
            for shard, count, here in self._each(ntotal, filters)
        ]
        parts = [(scores.to(self.device), self._global(number, ids)) for number, (scores, ids) in enumerate(found)]
        return merge_neighbours(parts, k, self.metric)

    def range_search(
        self, queries: Tensor, ntotal: int, threshold: float, filters: Filters, first_pass: FirstPass | None
    ) -> WithinRange:
        found = [
            shard.range_search(queries.to(shard.device), count, threshold, here, first_pass)
            for shard, count, here in self._each(ntotal, filters)
        ]
        return merge_ranges(
            [
                (lims.to(self.device), scores.to(self.device), self._global(number, ids))
                for number, (lims, scores, ids) in enumerate(found)
            ]
        )

    def parts(self) -> Iterator[tuple[str, Tensor]]:
        for shard in self._shards:
            yield from shard.parts()

    def pack(self, ntotal: int, sample_queries: Tensor | None) -> None:
        for number, shard in enumerate(self._shards):
            sample = None if sample_queries is None else sample_queries.to(shard.device)
            shard.pack(self._count(number, ntotal), sample)

    def extend_packing(self, ntotal: int) -> None:
        for number, shard in enumerate(self._shards):
            shard.extend_packing(self._count(number, ntotal))

    def _each(self, ntotal: int, filters: Filters) -> Iterator[tuple[Storage, int, Filters]]:
        """Every shard, how many of the vectors are its own, and the filters of those."""
        for number, shard in enumerate(self._shards):
            yield shard, self._count(number, ntotal), self._filters_of(number, ntotal, filters).to(shard.device)

    def _filters_of(self, number: int, ntotal: int, filters: Filters) -> Filters:
        allowed, excluded = filters
        if allowed is not None:
            allowed = allowed[self._global(number, torch.arange(self._count(number, ntotal), device=allowed.device))]
        if excluded is not None:
            mine = (excluded >= 0) & (self._owners(excluded) == number)
            excluded = torch.where(mine, self._local(excluded), -1)
        return Filters(allowed, excluded)

    # Where position p is: dealt in turn, like cards.

    def _owners(self, positions: Tensor) -> Tensor:
        return positions // DEALT_ROWS % len(self._shards)

    def _local(self, positions: Tensor) -> Tensor:
        return positions // (DEALT_ROWS * len(self._shards)) * DEALT_ROWS + positions % DEALT_ROWS

    def _global(self, number: int, local: Tensor) -> Tensor:
        """On the first device; -1 stays -1."""
        local = local.to(self.device)
        turn = local // DEALT_ROWS * len(self._shards) + number
        return torch.where(local < 0, -1, turn * DEALT_ROWS + local % DEALT_ROWS)

    def _count(self, number: int, ntotal: int) -> int:
        """How many of the positions below `ntotal` a shard has."""
        turns, rest = divmod(ntotal, DEALT_ROWS * len(self._shards))
        return turns * DEALT_ROWS + min(max(rest - number * DEALT_ROWS, 0), DEALT_ROWS)
