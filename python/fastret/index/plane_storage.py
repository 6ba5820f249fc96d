"""Vectors as split planes on a device: exact, and half of their bytes are all that a first pass reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from ..ops import PackedKeys, SearchExplanation, explain_search, range_search
from ..ops.arrays import METRICS, Metric
from ..ops.first_pass import FirstPass
from ..ops.merging import Neighbours, WithinRange
from ..ops.planes import SplitPlanes, row_blocks, search_split
from .filters import Filters
from .storage import Storage, grown


class PlaneStorage(Storage):
    def __init__(
        self, dim: int, metric: Metric, dtype: torch.dtype, device: torch.device, workspace_bytes: int
    ) -> None:
        super().__init__(dim, metric, dtype, device)
        self._workspace_bytes = workspace_bytes
        # Its ntotal counts what was ever written, by interrupted adds too.
        self._planes = SplitPlanes.empty(dim, dtype, device)

    def empty(self) -> PlaneStorage:
        return PlaneStorage(self.dim, self.metric, self.dtype, self.device, self._workspace_bytes)

    def reserve(self, room: int, kept: int) -> None:
        self._planes = self._planes.with_room(grown(len(self._planes.facts), room))

    def write(self, vectors: Tensor, first: int) -> None:
        self.reserve(first + len(vectors), first)
        self._planes = planes = replace(self._planes, ntotal=max(self._planes.ntotal, first + len(vectors)))
        for block in row_blocks(len(vectors), self._row_bytes):
            planes.with_rows(vectors[block].to(self.device), first + block.start, self.metric)

    def at(self, where: slice | Tensor) -> Tensor:
        return self._planes.at(where)

    @property
    def placement(self) -> str:
        there_by_default = self.device.type == "cuda"
        return super().placement + ("" if there_by_default else ", storage='planes'")

    def search(
        self, queries: Tensor, ntotal: int, k: int, filters: Filters, first_pass: FirstPass | None
    ) -> Neighbours:
        metric = METRICS.index(self.metric)
        return search_split(queries, self._counted(ntotal), k, metric, *filters, self._workspace_bytes)

    def range_search(
        self, queries: Tensor, ntotal: int, threshold: float, filters: Filters, first_pass: FirstPass | None
    ) -> WithinRange:
        return range_search(queries, self._keys(ntotal), threshold, **filters._asdict())

    def explain_search(
        self, queries: Tensor, ntotal: int, k: int, filters: Filters, first_pass: FirstPass | None
    ) -> SearchExplanation:
        return explain_search(queries, self._keys(ntotal), k, **filters._asdict())

    def parts(self) -> Iterator[tuple[str, Tensor]]:
        yield "vectors", self._planes.high
        if self._planes.low is not None:
            yield "vectors", self._planes.low
        yield "packed keys", self._planes.facts

    def _keys(self, ntotal: int) -> PackedKeys:
        return PackedKeys(self._counted(ntotal), self.metric, "auto")

    def _counted(self, ntotal: int) -> SplitPlanes:
        planes = self._planes
        if planes.ntotal > ntotal:  # an interrupted add wrote them: kernels visit whole tiles
            planes.facts[ntotal : planes.ntotal] = torch.nan
            self._planes = planes = replace(planes, ntotal=ntotal)
        return planes
