"""FAISS's HNSW: the graph that IndexHNSW searches, its parameters and its tables."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..ops.hnsw import HnswCounts, HnswGraph
from .pointers import rev_swig_ptr
from .random import RandomGenerator
from .struct import FaissObject
from .vectors import Float64Vector, Int32Vector, MaybeOwnedVectorInt32, UInt64Vector, VectorField

_LEVEL_SEED = 12345  # FAISS's
_SMALLEST_PROBABILITY = 1e-9  # of a level


class HNSW(FaissObject):
    """Neighbours of vectors on levels, with M of them on each, 2 M on the lowest: faiss.HNSW(M).

    A vector's levels are drawn as FAISS draws them. Adding and searching is what IndexHNSW does.
    """

    efConstruction: int = 40
    efSearch: int = 16
    check_relative_distance: bool = True
    search_bounded_queue: bool = True  # changes nothing: both of FAISS's ways find the same
    prune_headroom: float = float(np.float32(0.2))
    is_similarity: bool = False
    assign_probas = VectorField("_assign_probas", Float64Vector)
    cum_nneighbor_per_level = VectorField("_level_starts", Int32Vector)
    levels = VectorField("_levels", Int32Vector)
    offsets = VectorField("_offsets", UInt64Vector)
    neighbors = VectorField("_neighbors", MaybeOwnedVectorInt32)
    _rng: RandomGenerator
    _assign_probas: Tensor  # [L] float64
    _level_starts: Tensor  # [L + 1] int32
    _levels: Tensor  # [N] int32
    _offsets: Tensor  # [N + 1] int64
    _neighbors: Tensor  # [offsets[N]] int32
    _entry: Tensor  # [2] int32: entry point, highest level

    def __init__(self, M: int = 32) -> None:
        M = operator.index(M)
        if M < 2:
            raise RuntimeError(f"HNSW: M must be at least 2, got {M}")
        self._rng = RandomGenerator(_LEVEL_SEED)
        self.set_default_probas(M, 1 / math.log(M))
        self.reset()

    @property
    def rng(self) -> RandomGenerator:
        """Draws the levels."""
        return self._rng

    @property
    def entry_point(self) -> int:
        return int(self._entry[0])

    @entry_point.setter
    def entry_point(self, entry_point: int) -> None:
        self._entry[0] = operator.index(entry_point)

    @property
    def max_level(self) -> int:
        return int(self._entry[1])

    @max_level.setter
    def max_level(self, max_level: int) -> None:
        self._entry[1] = operator.index(max_level)

    def reset(self) -> None:
        """Forget every vector."""
        self._levels = torch.empty(0, dtype=torch.int32)
        self._offsets = torch.zeros(1, dtype=torch.int64)
        self._neighbors = torch.empty(0, dtype=torch.int32)
        self._entry = torch.tensor([-1, -1], dtype=torch.int32)

    def set_default_probas(self, M: int, levelMult: float) -> None:
        """Level i has probability exp(-i / levelMult) (1 - exp(-1 / levelMult)), rounded to float32 as in FAISS."""
        mult = np.float32(levelMult)
        probas: list[float] = []
        while True:
            level = np.float32(-len(probas)) / mult
            proba = np.float32(math.exp(level) * (1 - math.exp(np.float32(-1) / mult)))
            if proba < _SMALLEST_PROBABILITY:
                break
            probas.append(float(proba))
        self._assign_probas = torch.tensor(probas, dtype=torch.float64)
        self._level_starts = torch.tensor([0, *(M * (i + 2) for i in range(len(probas)))], dtype=torch.int32)

    def nb_neighbors(self, layer_no: int) -> int:
        """Places for neighbours on a level. Raises RuntimeError for a level that there is not."""
        self._require_level("nb_neighbors", layer_no)
        return int(self._level_starts[layer_no + 1] - self._level_starts[layer_no])

    def set_nb_neighbors(self, level_no: int, n: int) -> None:
        """Change how many places a level has. Raises RuntimeError once there are vectors."""
        if len(self._levels):
            raise RuntimeError(f"HNSW.set_nb_neighbors: the graph holds {len(self._levels)} vectors already")
        self._level_starts[level_no + 1 :] += operator.index(n) - self.nb_neighbors(level_no)

    def cum_nb_neighbors(self, layer_no: int) -> int:
        """Places on the levels below this one."""
        return int(self._level_starts[layer_no])

    def neighbor_range(self, no: int, layer_no: int, begin: Any = None, end: Any = None) -> tuple[int, int]:
        """Where in `neighbors` those of vector `no` on a level are; also written to what two pointers point to."""
        self._require_level("neighbor_range", layer_no)
        start = int(self._offsets[no])
        first, last = (start + int(self._level_starts[level]) for level in (layer_no, layer_no + 1))
        for pointer, place in ((begin, first), (end, last)):
            if pointer is not None:
                rev_swig_ptr(pointer, 1)[0] = place
        return first, last

    def random_level(self) -> int:
        """The highest level of one more vector, from 0."""
        return int(self._random_levels(1)[0])

    def prepare_level_tab(self, n: int, preset_levels: bool = False) -> int:
        """Make room for n more vectors, with levels that are drawn, or that `levels` already holds; the highest."""
        n0 = len(self._offsets) - 1
        if preset_levels and len(self._levels) != n0 + n:
            raise RuntimeError(
                f"HNSW.prepare_level_tab: levels of {n0 + n} vectors are needed, got {len(self._levels)}"
            )
        if not preset_levels:
            levels = self._random_levels(n) + 1
            self._levels = _extended(self._levels, n0 + n)
            self._levels[n0:] = levels
        new = self._levels[n0:].long()
        if n and not (int(new.min()) >= 1 and int(new.max()) < len(self._level_starts)):
            raise RuntimeError(f"HNSW.prepare_level_tab: levels must be from 1 to {len(self._level_starts) - 1}")
        self._offsets = _extended(self._offsets, n0 + n + 1)
        self._offsets[n0 + 1 :] = self._level_starts[new].cumsum(0) + self._offsets[n0]
        old = len(self._neighbors)
        self._neighbors = _extended(self._neighbors, int(self._offsets[-1]))
        self._neighbors[old:] = -1
        return int(new.max()) - 1 if n else 0

    def clear_neighbor_tables(self, level: int) -> None:
        """Forget all links of a level."""
        places, _ = self._lists(level)
        self._neighbors[places] = -1

    def print_neighbor_stats(self, level: int) -> None:
        """Print how many neighbours vectors have on a level, and how many of them know each other."""
        self._require_level("print_neighbor_stats", level)
        print(f"stats on level {level}, max {self.nb_neighbors(level)} neighbors per vertex:")
        nodes = (self._levels > level).nonzero()[:, 0].tolist()
        _, lists = self._lists(level)
        neighbors = {node: set(found[found >= 0].tolist()) for node, found in zip(nodes, lists, strict=True)}
        total = sum(map(len, neighbors.values()))
        reciprocal = sum(node in neighbors[other] for node, found in neighbors.items() for other in found)
        common = sum(
            len(set().union(*(neighbors[other] for other in found)) & found) for found in neighbors.values() if found
        )
        per_node = max(1, len(nodes))
        print(f"   nb of nodes at that level {len(nodes)}")
        print(f"   neighbors per node: {total / per_node:.2f} ({total})")
        print(f"   nb of reciprocal neighbors: {reciprocal / per_node:.2f}")
        print(f"   nb of neighbors that are also neighbor-of-neighbors: {common / per_node:.2f} ({common})")

    def permute_entries(self, perm: Any) -> None:
        """Vector i becomes what vector perm[i] is."""
        order = torch.as_tensor(perm, dtype=torch.int64)
        number = torch.empty_like(order)
        number[order] = torch.arange(len(order))
        sizes = self._offsets.diff()[order]
        offsets = torch.cat([torch.zeros(1, dtype=torch.int64), sizes.cumsum(0)])
        places = torch.arange(int(offsets[-1])) + (self._offsets[:-1][order] - offsets[:-1]).repeat_interleave(sizes)
        moved = self._neighbors[places].long()
        self._neighbors = torch.where(moved < 0, -1, number[moved.clamp_min(0)]).int()
        self._levels, self._offsets = self._levels[order], offsets
        if self.entry_point >= 0:
            self.entry_point = int(number[self.entry_point])

    @property
    def _graph(self) -> HnswGraph:
        return HnswGraph(self._levels, self._offsets, self._level_starts, self._neighbors, self._entry)

    def _lists(self, level: int) -> tuple[Tensor, Tensor]:
        """Of each vector on a level its places in `neighbors`, and its neighbours, [n, nb_neighbors]."""
        starts = self._offsets[:-1][self._levels > level] + self._level_starts[level]
        places = starts[:, None] + torch.arange(self.nb_neighbors(level))
        return places, self._neighbors[places]

    def _random_levels(self, n: int) -> Tensor:
        """[n] int32, from 0"""
        left = self._rng._floats(n).astype(np.float64)
        levels = np.full(n, len(self._assign_probas) - 1, np.int32)
        undecided = np.ones(n, bool)
        for level, proba in enumerate(self._assign_probas.tolist()):
            hit = undecided & (left < proba)
            levels[hit] = level
            undecided &= ~hit
            left -= proba
        return torch.from_numpy(levels)

    def _require_level(self, operation: str, level: int) -> None:
        if not 0 <= level < len(self._level_starts) - 1:
            raise RuntimeError(f"HNSW.{operation}: levels are 0 to {len(self._level_starts) - 2}, got {level}")


class HNSWStats(FaissObject):
    """What searches of graphs did: n1 searches, of which n2 looked at all their candidates, distances and hops."""

    n1: int = 0
    n2: int = 0
    ndis: int = 0
    nhops: int = 0

    def reset(self) -> None:
        self.n1 = self.n2 = self.ndis = self.nhops = 0

    def combine(self, other: HNSWStats) -> None:
        self._add(HnswCounts(other.n1, other.n2, other.ndis, other.nhops))

    def _add(self, counts: HnswCounts) -> None:
        self._count(*counts)

    def _count(self, searches: int, exhausted: int, distances: int, hops: int) -> None:
        # Past FaissObject's look at names: a short search takes hardly longer.
        vars(self).update(
            n1=self.n1 + searches, n2=self.n2 + exhausted, ndis=self.ndis + distances, nhops=self.nhops + hops
        )


hnsw_stats = HNSWStats()  # of all searches


def _extended(table: Tensor, length: int) -> Tensor:
    """A table of a greater length with the same beginning, in its own memory where that has room behind it."""
    room = table.untyped_storage().nbytes() // table.element_size() - table.storage_offset()
    if room < length:
        larger = table.new_empty(length + (length // 2 if len(table) else 0))
        larger[: len(table)] = table
        table = larger
    return table.as_strided((length,), (1,), table.storage_offset())
