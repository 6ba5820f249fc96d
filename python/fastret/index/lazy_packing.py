"""When an index packs its vectors: once its searches have made that worth it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from ..ops import PackedKeys, pack
from ..ops.arrays import Metric
from ..ops.first_pass import FirstPass
from ..ops.packing import Packing, extend, packed_first_pass
from ..ops.principal_axes import FEW_QUERIES, thinned
from .storage import Lock

# Packing costs what scoring some 40 to 80 queries in float32 does, and a packed search saves most of that: by then
# the searches have cost as much.
_WORTH_PACKING_QUERIES = 64
# The centre of the first vectors is no longer that of all, when there are so many times more.
_FRAME_OUTGROWN = 4


class _Stored(NamedTuple):
    """Changed as a whole, so that what an interrupt leaves behind fits together."""

    first_pass: FirstPass
    packing: Packing
    rows: int  # vectors that are packed
    framed: int  # vectors that there were when the frame was chosen


class LazyPacking:
    """What packing stored beside the vectors of an index, if it did.

    The vectors are the storage's, which hands them in: they may move.
    """

    def __init__(self, metric: Metric, first_pass: FirstPass) -> None:
        self._metric = metric
        self._first_pass = first_pass
        self._lock = Lock()  # one thread packs, the others wait for it
        self._stored: _Stored | None = None
        self._queries = 0  # that searches of unpacked keys have brought
        self._sample: list[Tensor] | None = []  # those queries, as long as every search brought few
        self._packed_with: Tensor | None = None  # the sample queries, for when the frame is outgrown

    def tensors(self) -> Iterable[Tensor]:
        """What is stored."""
        return self._stored.packing.tensors().values() if self._stored else ()

    def packed(self, vectors: Tensor) -> PackedKeys | None:
        """The vectors [N, D] as packed keys; None also where an add was interrupted before it had packed its own."""
        stored = self._stored
        if stored is None or stored.rows != len(vectors):
            return None
        return PackedKeys(vectors, self._metric, stored.first_pass, stored.packing)

    def count_queries(self, queries: Tensor, vectors: Tensor) -> None:
        """Count those of a search that finds the vectors [N, D] unpacked, and pack them when there were enough."""
        with self._lock:
            if self._stored is not None:
                self.extend(vectors)
                return
            if packed_first_pass(vectors, self._first_pass) == "float32":
                return  # there is nothing to store, ever
            self._queries += len(queries)
            if len(queries) > FEW_QUERIES:
                self._sample = None
            elif self._sample is not None:
                self._sample.append(queries.clone())
            if self._queries > _WORTH_PACKING_QUERIES:
                self.pack(vectors, torch.cat(self._sample).float() if self._sample else None)

    def pack(self, vectors: Tensor, sample_queries: Tensor | None = None) -> None:
        """Pack the vectors [N, D] now, unless their pass reads the vectors themselves."""
        with self._lock:
            self.put(pack(vectors, self._first_pass, self._metric, sample_queries=sample_queries))
            self._sample = []
            self._packed_with = None if sample_queries is None else thinned(sample_queries).clone()

    def put(self, packed: PackedKeys, framed: int | None = None) -> None:
        """Take over what is stored beside packed keys; their frame is that of the first `framed`, by default of all."""
        rows = packed.ntotal
        framed = rows if framed is None else framed
        self._stored = _Stored(packed.first_pass, packed.packing, rows, framed) if packed.packing else None

    def extend(self, vectors: Tensor) -> None:
        """The index now holds the vectors [N', D], whose first N are the packed ones."""
        stored = self._stored
        if stored is None or stored.rows == len(vectors):
            return
        if len(vectors) >= _FRAME_OUTGROWN * stored.framed:
            self.pack(vectors, self._packed_with)
        else:
            packed = PackedKeys(vectors[: stored.rows], self._metric, stored.first_pass, stored.packing)
            self.put(extend(packed, vectors), stored.framed)
