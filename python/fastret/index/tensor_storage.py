"""Vectors as they were given, one tensor, packed for the CPU once searches have made that worth it."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ..ops import PackedKeys, SearchExplanation, explain_search, range_search, search
from ..ops.arrays import Metric
from ..ops.first_pass import FirstPass
from ..ops.merging import Neighbours, WithinRange
from ..ops.packing import packed_first_pass
from .filters import Filters
from .lazy_packing import LazyPacking
from .storage import Storage, roomier


class TensorStorage(Storage):
    def __init__(
        self, dim: int, metric: Metric, dtype: torch.dtype, device: torch.device, first_pass: FirstPass
    ) -> None:
        super().__init__(dim, metric, dtype, device)
        self.first_pass = first_pass
        self.packing = LazyPacking(metric, first_pass)
        self._vectors = torch.empty((0, dim), dtype=dtype, device=device)  # [room, D]

    def empty(self) -> TensorStorage:
        return TensorStorage(self.dim, self.metric, self.dtype, self.device, self.first_pass)

    def reserve(self, room: int, kept: int) -> None:
        self._vectors = roomier(self._vectors, kept, room)

    def write(self, vectors: Tensor, first: int) -> None:
        self.reserve(first + len(vectors), first)
        self._vectors[first : first + len(vectors)] = vectors

    def adopt(self, vectors: Tensor, packed: PackedKeys | None) -> None:
        self._vectors = vectors.to(self.device)
        if packed is not None and self.device.type == "cpu":
            self.packing.put(packed)

    def at(self, where: slice | Tensor) -> Tensor:
        return self._vectors[where]

    def joined(self, ntotal: int, device: torch.device | None = None) -> Tensor:
        return self._vectors[:ntotal].to(device or self.device)

    def search(
        self, queries: Tensor, ntotal: int, k: int, filters: Filters, first_pass: FirstPass | None
    ) -> Neighbours:
        keys, chosen = self._keys_for(queries, ntotal, first_pass)
        scores, positions = search(queries, keys, k, self.metric, first_pass=chosen, **filters._asdict())
        return scores, positions

    def range_search(
        self, queries: Tensor, ntotal: int, threshold: float, filters: Filters, first_pass: FirstPass | None
    ) -> WithinRange:
        keys, chosen = self._keys_for(queries, ntotal, first_pass)
        return range_search(queries, keys, threshold, self.metric, first_pass=chosen, **filters._asdict())

    def explain_search(
        self, queries: Tensor, ntotal: int, k: int, filters: Filters, first_pass: FirstPass | None
    ) -> SearchExplanation:
        keys, chosen = self._keys_for(queries, ntotal, first_pass)
        return explain_search(queries, keys, k, self.metric, first_pass=chosen, **filters._asdict())

    def parts(self) -> Iterator[tuple[str, Tensor]]:
        yield "vectors", self._vectors
        for tensor in self.packing.tensors():
            yield "packed keys", tensor

    def packed(self, ntotal: int) -> PackedKeys | None:
        return self.packing.packed(self._vectors[:ntotal])

    def pack(self, ntotal: int, sample_queries: Tensor | None) -> None:
        self.packing.pack(self._vectors[:ntotal], sample_queries)

    def extend_packing(self, ntotal: int) -> None:
        self.packing.extend(self._vectors[:ntotal])

    def _keys_for(
        self, queries: Tensor, ntotal: int, first_pass: FirstPass | None
    ) -> tuple[Tensor | PackedKeys, FirstPass]:
        """The vectors, packed where searches, this one included, have made that worth it, and the pass.

        A search by another pass than that of packed keys neither reads nor brings them.
        """
        vectors = self._vectors[:ntotal]
        chosen = default_pass(self.first_pass) if first_pass is None else first_pass
        if chosen not in ("auto", packed_first_pass(vectors, self.first_pass)):
            return vectors, chosen
        packed = self.packing.packed(vectors)
        if packed is None:
            self.packing.count_queries(queries, vectors)
            packed = self.packing.packed(vectors)
        return vectors if packed is None else packed, chosen


def default_pass(of_index: FirstPass) -> FirstPass:
    """Packed keys have a pass; before there are any, the cheapest is taken, but for an index that never packs."""
    return "float32" if of_index == "float32" else "auto"
