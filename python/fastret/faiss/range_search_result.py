"""Results of range searches behind pointers, as FAISS's C++ functions fill them."""

from __future__ import annotations

import operator

import numpy as np

from .pointers import Pointer
from .struct import FaissObject


class RangeSearchResult(FaissObject):
    """Those of query i are at lims[i]:lims[i + 1] of distances and labels.

    lims points to nq + 1 uint64; do_allocation makes room for lims[nq] distances (float32) and labels (int64).
    """

    nq: int = 0
    buffer_size: int = 1 << 18
    lims: Pointer | None = None
    distances: Pointer | None = None
    labels: Pointer | None = None

    def __init__(self, nq: int, alloc_lims: bool = True) -> None:
        self.nq = operator.index(nq)
        if alloc_lims:
            self.lims = Pointer.to(np.zeros(self.nq + 1, np.uint64))

    def do_allocation(self) -> None:
        """Raises RuntimeError without lims."""
        if self.lims is None:
            raise RuntimeError("RangeSearchResult.do_allocation: there are no lims")
        n = int(self.lims.view(self.nq + 1)[-1])
        self.distances, self.labels = Pointer.to(np.zeros(n, np.float32)), Pointer.to(np.zeros(n, np.int64))
