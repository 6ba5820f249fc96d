"""Where the vectors of an index are kept, and how they are searched there."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor

from ..ops import PackedKeys, SearchExplanation
from ..ops.arrays import Metric
from ..ops.first_pass import FirstPass
from ..ops.merging import Neighbours, WithinRange
from ..ops.planes import row_blocks
from .filters import Filters


class Storage(ABC):
    """Vectors by position, in the order of their ids once the index has sorted them.

    How many there are, `ntotal`, is the index's to tell: what lies beyond is room, or left by an add that was
    interrupted. Several threads may read at once.
    """

    searched_in_parts = ""  # why a search cannot be explained, where that is so

    def __init__(self, dim: int, metric: Metric, dtype: torch.dtype, device: torch.device) -> None:
        self.dim = dim
        self.metric = metric
        self.dtype = dtype
        self.device = device  # of queries, filters and answers
        self.home = device  # of vectors that are asked for

    @abstractmethod
    def empty(self) -> Storage:
        """Another one of the same kind, for the same places."""

    @abstractmethod
    def reserve(self, room: int, kept: int) -> None:
        """Make room for so many vectors, in all, and keep the first `kept`."""

    @abstractmethod
    def write(self, vectors: Tensor, first: int) -> None:
        """Make vectors [n, D], of any device, the last ones: those at first ... first + n - 1."""

    @abstractmethod
    def at(self, where: slice | Tensor) -> Tensor:
        """The vectors at these positions, [n, D] with their bits, at home; may be a view."""

    @abstractmethod
    def search(
        self, queries: Tensor, ntotal: int, k: int, filters: Filters, first_pass: FirstPass | None
    ) -> Neighbours:
        """As `fastret.search`, with positions for ids. Arguments are checked; first_pass None: that of the index."""

    @abstractmethod
    def range_search(
        self, queries: Tensor, ntotal: int, threshold: float, filters: Filters, first_pass: FirstPass | None
    ) -> WithinRange:
        """As `fastret.range_search`, with positions for ids; arguments as of `search`."""

    @abstractmethod
    def parts(self) -> Iterator[tuple[str, Tensor]]:
        """Every tensor that is held, and the part of the memory that it belongs to."""

    def explain_search(
        self, queries: Tensor, ntotal: int, k: int, filters: Filters, first_pass: FirstPass | None
    ) -> SearchExplanation:
        """As `fastret.explain_search`. Raises ValueError where a search is several searches."""
        raise ValueError(f"FlatIndex.explain_search: {self.searched_in_parts}")

    @property
    def placement(self) -> str:
        """The arguments of FlatIndex that lead here."""
        return f"device={str(self.device)!r}"

    def packed(self, ntotal: int) -> PackedKeys | None:
        """The vectors with what a file shall have beside them, where there is such."""
        return None

    def joined(self, ntotal: int, device: torch.device | None = None) -> Tensor:
        """All vectors, [N, D], on a device, by default at home; a view where they are stored like that."""
        vectors = torch.empty((ntotal, self.dim), dtype=self.dtype, device=device or self.home)
        for block in row_blocks(ntotal, self._row_bytes):
            vectors[block] = self.at(block)
        return vectors

    def taken(self, positions: Tensor) -> Storage:
        """A storage of its own with the vectors at these positions alone, [n], in their order."""
        taken = self.empty()
        taken.reserve(len(positions), 0)
        for block in row_blocks(len(positions), self._row_bytes):
            taken.write(self.at(positions[block]), block.start)
        return taken

    def adopt(self, vectors: Tensor, packed: PackedKeys | None) -> None:
        """Hold the vectors [n, D] of a file, and nothing else; the file may have had packed keys."""
        self.write(vectors, 0)

    def pack(self, ntotal: int, sample_queries: Tensor | None) -> None:
        """Make ready for many searches, where that is more than storing the vectors."""
        return None

    def extend_packing(self, ntotal: int) -> None:
        """Bring what is packed up to the vectors that were added."""
        return None

    def refuse_change(self, operation: str) -> None:
        """Raises ValueError where vectors cannot be added or removed."""
        return None

    @property
    def _row_bytes(self) -> int:
        return max(1, self.dim * self.dtype.itemsize)


class Lock:
    """A lock that copies and pickles of its owner do not share: each gets its own."""

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[type[Lock], tuple[()]]:
        return Lock, ()


def roomier(tensor: Tensor, rows: int, room: int, pin_memory: bool = False) -> Tensor:
    """`tensor`, or a copy of its first `rows` rows that has room for `room`, in all."""
    if room <= len(tensor):
        return tensor
    larger = tensor.new_empty((grown(len(tensor), room), *tensor.shape[1:]), pin_memory=pin_memory)
    larger[:rows] = tensor[:rows]
    return larger


def grown(room: int, wanted: int) -> int:
    """The first vectors get exactly what they need; later ones half as much again, so that many small adds copy each
    vector only a few times."""
    return room if wanted <= room else max(wanted, room + room // 2)
