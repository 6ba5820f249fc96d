"""Vectors in the host's memory, searched on a device chunk by chunk: more of them than the device can hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ..ops import range_search
from ..ops.arrays import METRICS, Metric
from ..ops.first_pass import FirstPass
from ..ops.merging import Neighbours, WithinRange, neighbours_in_order, ranges_in_order
from ..ops.planes import SplitPlanes, plane_row_bytes, row_blocks, search_split
from .filters import Filters
from .storage import Storage, roomier


class StreamedStorage(Storage):
    """For a CUDA device the memory is pinned, so that a chunk is copied while the one before it is searched."""

    searched_in_parts = "vectors in the host's memory are searched chunk by chunk"

    def __init__(
        self, dim: int, metric: Metric, dtype: torch.dtype, device: torch.device, workspace_bytes: int
    ) -> None:
        super().__init__(dim, metric, dtype, device)
        self.home = torch.device("cpu")
        self._workspace_bytes = workspace_bytes
        self._vectors = torch.empty((0, dim), dtype=dtype)  # [room, D]

    def empty(self) -> StreamedStorage:
        return StreamedStorage(self.dim, self.metric, self.dtype, self.device, self._workspace_bytes)

    def reserve(self, room: int, kept: int) -> None:
        self._vectors = roomier(self._vectors, kept, room, pin_memory=self._pins)

    def write(self, vectors: Tensor, first: int) -> None:
        self.reserve(first + len(vectors), first)
        self._vectors[first : first + len(vectors)] = vectors

    def at(self, where: slice | Tensor) -> Tensor:
        return self._vectors[where if isinstance(where, slice) else where.cpu()]

    @property
    def placement(self) -> str:
        return f"{super().placement}, storage='host'"

    def joined(self, ntotal: int, device: torch.device | None = None) -> Tensor:
        return self._vectors[:ntotal].to(device or self.home)

    def search(
        self, queries: Tensor, ntotal: int, k: int, filters: Filters, first_pass: FirstPass | None
    ) -> Neighbours:
        return neighbours_in_order(self._found(queries, ntotal, k, filters), queries, k, self.metric)

    def _found(self, queries: Tensor, ntotal: int, k: int, filters: Filters) -> Iterator[tuple[int, Neighbours]]:
        blocks = self._blocks(ntotal)
        planes = SplitPlanes.empty(self.dim, self.dtype, self.device, longest(blocks))
        for block, chunk in copied_chunks(self._vectors, blocks, self.device):
            planes = planes.with_rows(chunk, 0, self.metric)
            planes.facts[len(chunk) :] = torch.nan  # the last chunk may be shorter
            here = filters.of_shard(block.start, block.stop)
            metric = METRICS.index(self.metric)
            yield block.start, search_split(queries, planes, k, metric, *here, self._workspace_bytes // 2)

    def range_search(
        self, queries: Tensor, ntotal: int, threshold: float, filters: Filters, first_pass: FirstPass | None
    ) -> WithinRange:
        def found() -> Iterator[tuple[int, WithinRange]]:
            for block, chunk in copied_chunks(self._vectors, self._blocks(ntotal), self.device):
                here = filters.of_shard(block.start, block.stop)._asdict()
                yield block.start, range_search(queries, chunk, threshold, self.metric, **here)

        return ranges_in_order(found(), queries)

    def parts(self) -> Iterator[tuple[str, Tensor]]:
        yield "vectors", self._vectors

    def _blocks(self, ntotal: int) -> list[slice]:
        """Chunks of which two as they are and one as planes take half of the workspace; the search has the other."""
        row_bytes = 2 * self._row_bytes + plane_row_bytes(self.dim, self.dtype)
        return list(row_blocks(ntotal, row_bytes, self._workspace_bytes // 2))

    @property
    def _pins(self) -> bool:
        return self.device.type == "cuda"

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self._pins:
            self._vectors = self._vectors.pin_memory()  # which copies and pickles are not


def copied_chunks(rows: Tensor, blocks: list[slice], device: torch.device) -> Iterator[tuple[slice, Tensor]]:
    """Each block of rows, on the device: copied on a stream of its own, while what the caller has its own stream do
    with the block before still runs.

    A chunk may be used, on the stream that was current, until the next one is asked for.
    """
    streams = torch.get_device_module(device)
    computing, copying = streams.current_stream(device), streams.Stream(device)
    landings = [rows.new_empty((longest(blocks), rows.shape[1]), device=device) for _ in blocks[:2]]
    landed, free = ([streams.Event() for _ in landings] for _ in range(2))

    def chunk(number: int) -> Tensor:
        return landings[number % 2][: blocks[number].stop - blocks[number].start]

    def copy(number: int) -> None:
        with streams.stream(copying):
            if number >= 2:
                copying.wait_event(free[number % 2])
            chunk(number).copy_(rows[blocks[number]], non_blocking=True)
            landed[number % 2].record(copying)

    copying.wait_stream(computing)  # whose earlier work may still use that memory
    try:
        if blocks:
            copy(0)
        for number, block in enumerate(blocks):
            if number + 1 < len(blocks):
                copy(number + 1)  # now: the caller may have to wait for what it does with this chunk
            computing.wait_event(landed[number % 2])
            yield block, chunk(number)
            free[number % 2].record(computing)
    finally:
        # The memory goes back to the computing stream, and a copy may still be under way.
        computing.wait_stream(copying)


def longest(blocks: list[slice]) -> int:
    return max((block.stop - block.start for block in blocks), default=0)
