"""When an index packs its vectors: once its searches have made that worth it."""

from __future__ import annotations

import torch
from torch import Tensor

from ..ops import PackedKeys, pack
from ..ops.arrays import Metric
from ..ops.first_pass import FirstPass
from ..ops.packing import Packing, extend
from ..ops.principal_axes import FEW_QUERIES

# Packing costs what scoring some 40 to 80 queries in float32 does, and a packed search saves most of that: by then
# the searches have cost as much.
_WORTH_PACKING_QUERIES = 64
# The centre of the first vectors is no longer that of all, when there are so many times more.
_FRAME_OUTGROWN = 4


class LazyPacking:
    """What packing stored beside the vectors of an index, if it did.

    The vectors are the index's, which hands them in: they may move. Changes may not overlap: the index holds a lock.
    """

    def __init__(self, metric: Metric, first_pass: FirstPass) -> None:
        self._metric = metric
        self._first_pass = first_pass
        self._stored: tuple[FirstPass, Packing] | None = None
        self._rows = 0  # vectors that are packed
        self._framed = 0  # vectors that there were when the frame was chosen
        self._queries = 0  # that searches of unpacked keys have brought
        self._sample: list[Tensor] | None = []  # those queries, as long as every search brought few

    @property
    def nbytes(self) -> int:
        """The memory of what is stored."""
        return self._stored[1].nbytes if self._stored else 0

    def packed(self, vectors: Tensor) -> PackedKeys | None:
        """The vectors [N, D] as packed keys."""
        return PackedKeys(vectors, self._metric, *self._stored) if self._stored else None

    def count_queries(self, queries: Tensor, vectors: Tensor) -> None:
        """Count those of a search that finds the vectors [N, D] unpacked, and pack them when there were enough."""
        if self._stored is not None:
            return
        self._queries += len(queries)
        if len(queries) > FEW_QUERIES:
            self._sample = None
        elif self._sample is not None:
            self._sample.append(queries.clone())
        if self._queries > _WORTH_PACKING_QUERIES:
            self.pack(vectors, torch.cat(self._sample).float() if self._sample else None)

    def pack(self, vectors: Tensor, sample_queries: Tensor | None = None) -> None:
        """Pack the vectors [N, D] now, unless their pass reads the vectors themselves."""
        if vectors.device.type == "cpu":
            self.put(pack(vectors, self._first_pass, self._metric, sample_queries=sample_queries))
            self._framed = self._rows

    def put(self, packed: PackedKeys) -> None:
        """Take over what is stored beside packed keys."""
        self._rows = packed.ntotal
        self._framed = self._framed or self._rows
        self._stored = (packed.first_pass, packed.packing) if packed.packing else None

    def extend(self, vectors: Tensor) -> None:
        """The index now holds the vectors [N', D], whose first N are the packed ones."""
        packed = self.packed(vectors[: self._rows])
        if packed is None:
            return
        if len(vectors) >= _FRAME_OUTGROWN * self._framed:
            self.pack(vectors)
        else:
            self.put(extend(packed, vectors))

    def drop(self) -> None:
        """Forget what is stored, and what searches brought: the vectors have changed."""
        self._stored = None
        self._queries = 0
        self._sample = []
