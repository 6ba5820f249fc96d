"""When an index packs its vectors: once its searches have made that worth it."""

from __future__ import annotations

from torch import Tensor

from ..ops import PackedKeys, pack
from ..ops.arrays import Metric
from ..ops.first_pass import FirstPass
from ..ops.packing import extend, packed_first_pass

# Packing costs what scoring some 40 to 80 queries in float32 does, and a packed search saves most of that: by then
# the searches have cost as much.
_WORTH_PACKING_QUERIES = 64
# The centre of the first vectors is no longer that of all, when there are so many times more.
_FRAME_OUTGROWN = 4


class LazyPacking:
    """The packed keys of an index, if any. Its methods may not overlap: the index holds a lock."""

    def __init__(self, metric: Metric, first_pass: FirstPass) -> None:
        self.metric = metric
        self.first_pass = first_pass
        self.packed: PackedKeys | None = None
        self._framed = 0  # vectors that there were when the frame was chosen
        self._queries = 0  # that searches of unpacked keys have brought

    def count_queries(self, num_queries: int, vectors: Tensor) -> None:
        """Count those of a search that finds the vectors [N, D] unpacked, and pack them when there were enough."""
        self._queries += num_queries
        if self.packed is None and self._queries > _WORTH_PACKING_QUERIES:
            self.pack(vectors)

    def pack(self, vectors: Tensor) -> None:
        """Pack the vectors [N, D] now, unless their pass reads the vectors themselves."""
        if vectors.device.type == "cpu" and self._stored_pass(vectors) != "float32":
            self.put(pack(vectors, self.first_pass, self.metric))

    def put(self, packed: PackedKeys) -> None:
        """Take over packed keys, of an index file."""
        self.packed = packed
        self._framed = packed.ntotal

    def extend(self, vectors: Tensor) -> None:
        """The index now holds the vectors [N', D], whose first N are the packed ones."""
        if self.packed is None:
            return
        if len(vectors) >= _FRAME_OUTGROWN * self._framed:
            self.pack(vectors)
        else:
            self.packed = extend(self.packed, vectors)

    def drop(self) -> None:
        """Forget the packed keys, and what searches brought: the vectors have changed."""
        self.packed = None
        self._queries = 0

    def _stored_pass(self, vectors: Tensor) -> FirstPass:
        return packed_first_pass(vectors.shape[1]) if self.first_pass == "auto" else self.first_pass
