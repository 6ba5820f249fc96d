"""Graphs of binary vectors: FAISS's IndexBinaryHNSW."""

from __future__ import annotations

import torch
from torch import Tensor

from ...index.storage import roomier
from ...ops.hamming_search import NO_DISTANCE
from ...ops.hnsw import hnsw_add, hnsw_search
from ..hnsw_graph import HNSW, hnsw_stats
from ..search_parameters import SearchParameters, SearchParametersHNSW
from .from_float import bits_of
from .index import IndexBinary, IndexBinaryFlat


class IndexBinaryHNSW(IndexBinary):
    """Approximate search by walking a graph: faiss.IndexBinaryHNSW(d, M), or of a binary index in place of d.

    The graph is that of the bits as numbers, whose squared L2 distance is Hamming's; they are kept in memory as float32
    beside `storage`. `hnsw.efConstruction` and `hnsw.efSearch` trade time for recall.
    """

    storage: IndexBinary = IndexBinary(0)
    own_fields: bool = False
    init_level0: bool = True
    keep_max_size_level0: bool = False
    _hnsw: HNSW
    _room: Tensor  # [>= ntotal, d] float32

    def __init__(self, storage: IndexBinary | int = 0, M: int = 32) -> None:
        self.own_fields = not isinstance(storage, IndexBinary)
        self.storage = storage if isinstance(storage, IndexBinary) else IndexBinaryFlat(storage)
        super().__init__(self.storage.d)
        self._hnsw = HNSW(M)
        self._room = torch.empty(0, self.d)

    @property
    def hnsw(self) -> HNSW:
        """The graph and its parameters."""
        return self._hnsw

    def _vectors(self) -> Tensor:
        """[storage.ntotal, d] float32 of 0 and 1"""
        total = self.storage.ntotal
        if self._ntotal > total:
            self._ntotal = 0
        if self._ntotal < total:
            new = bits_of(self.storage._reconstruct(torch.arange(self._ntotal, total)))
            self._room = roomier(self._room, self._ntotal, total)
            self._room[self._ntotal : total] = new
            self._ntotal = total
        return self._room[:total]

    @property
    def ntotal(self) -> int:
        return self.storage.ntotal

    def _add(self, codes: Tensor) -> None:
        first = self.ntotal
        self.storage._add(codes)
        self.hnsw.prepare_level_tab(len(codes), len(self.hnsw._levels) == self.ntotal)
        hnsw_add(
            self._vectors(),
            first,
            self.hnsw._graph,
            "l2",
            ef_construction=self.hnsw.efConstruction,
            prune_headroom=self.hnsw.prune_headroom,
            keep_max_size_level0=self.keep_max_size_level0,
        )

    def _search(
        self, codes: Tensor, k: int, params: SearchParameters | None, names: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        how = params if isinstance(params, SearchParametersHNSW) else self.hnsw
        selector = None if params is None else params.sel
        scores, ids, counts = hnsw_search(
            bits_of(codes),
            self._vectors(),
            self.hnsw._graph,
            k,
            "l2",
            ef=how.efSearch,
            check_relative_distance=how.check_relative_distance,
            allowed=None
            if selector is None
            else selector.members(torch.arange(self.ntotal) if names is None else names),
        )
        hnsw_stats._add(counts)
        distances = scores.masked_fill(ids < 0, 0).int().masked_fill(ids < 0, NO_DISTANCE)
        if names is not None and len(names):
            ids = torch.where(ids < 0, ids, names[ids.clamp_min(0)])
        return distances, ids

    def _reconstruct(self, keys: Tensor) -> Tensor:
        return self.storage._reconstruct(keys)

    def _reset(self) -> None:
        self.storage._reset()
        self.hnsw.reset()
