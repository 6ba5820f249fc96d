"""FAISS's graph indexes: IndexHNSWFlat, IndexHNSWSQ, IndexHNSWPQ."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._C import GraphSearcher
from ..ops.arrays import Metric
from ..ops.hnsw import graph_searcher, hnsw_add, hnsw_range_search, hnsw_search
from .arrays import within_float32
from .codes.index_pq import IndexPQ
from .codes.index_scalar_quantizer import IndexScalarQuantizer
from .codes.scalar_quantizer import ScalarQuantizer
from .flat import IndexFlat, IndexFlatL2, is_plain_flat
from .held_searcher import HeldSearcher
from .hnsw_graph import HNSW, hnsw_stats
from .index import Index
from .metrics import METRIC_INNER_PRODUCT, METRIC_L2
from .search_parameters import SearchParameters, SearchParametersHNSW


class IndexHNSW(Index):
    """Approximate search by walking a graph of the vectors that another index holds: faiss.IndexHNSW(storage, M).

    The graph is the one that FAISS builds, up to rounding and ties, and does not depend on the number of threads.
    `hnsw.efConstruction` and `hnsw.efSearch` trade time for recall. Scores that are returned are those of exact search,
    so that results have the same bits everywhere; of equal scores the smaller id is first. Vectors of compressed
    storages are kept in memory decoded beside their codes.
    """

    storage: Index | None = None
    own_fields: bool = False
    init_level0: bool = True
    keep_max_size_level0: bool = False
    _hnsw: HNSW
    _held_searcher: HeldSearcher
    _decoded: Tensor  # [n, d]: of a compressed storage, what was decoded so far

    def __init__(self, storage: Index | int = 0, M: int = 32, metric: int = METRIC_L2) -> None:
        if isinstance(storage, Index):
            super().__init__(storage.d, storage.metric_type)
            self.storage, self.metric_arg, self.is_trained = storage, storage.metric_arg, storage.is_trained
        else:
            super().__init__(storage, metric)
        self._hnsw, self._held_searcher = HNSW(M), HeldSearcher()
        self._give_metric()
        self._decoded = torch.empty(0, self.d)

    @property
    def hnsw(self) -> HNSW:
        """The graph and its parameters."""
        return self._hnsw

    def _give_metric(self) -> None:
        if self.metric_type not in (METRIC_INNER_PRODUCT, METRIC_L2):
            raise RuntimeError(
                f"{type(self).__name__}: graphs are for METRIC_INNER_PRODUCT and METRIC_L2, got {self.metric_type}; "
                "normalize_L2 and METRIC_INNER_PRODUCT give the cosine, real faiss has the others"
            )
        self.hnsw.is_similarity = self.metric_type == METRIC_INNER_PRODUCT

    @property
    def _metric(self) -> Metric:
        return "ip" if self.metric_type == METRIC_INNER_PRODUCT else "l2"

    def _stored(self, operation: str) -> Index:
        if self.storage is None:
            raise RuntimeError(f"{self._named(operation)}: there is no storage; use IndexHNSWFlat")
        return self.storage

    def _vectors(self, operation: str) -> Tensor:
        """[ntotal, d] float32, contiguous"""
        storage = self._stored(operation)
        if isinstance(storage, IndexFlat):
            return storage.vectors
        if len(self._decoded) > storage.ntotal or self._decoded.shape[1] != self.d:
            self._decoded = torch.empty(0, self.d)
        if len(self._decoded) < storage.ntotal:
            new = storage._reconstruct(torch.arange(len(self._decoded), storage.ntotal))
            self._decoded = torch.cat([self._decoded, new])
        return self._decoded

    def _in_parts(self, operation: str, n: int, work: Callable[[slice], Any]) -> None:
        # The graph is of what is added at once: telling of progress must not change it.
        if operation == "add":
            work(slice(0, n))
        else:
            super()._in_parts(operation, n, work)

    def _train(self, rows: Tensor) -> None:
        self._stored("train").train(rows)
        self.is_trained = True

    def _add(self, rows: Tensor) -> None:
        storage = self._stored("add")
        first = self.ntotal
        storage.add(rows)
        self.ntotal = storage.ntotal
        preset_levels = len(self.hnsw._levels) == self.ntotal
        self.hnsw.prepare_level_tab(len(rows), preset_levels)
        hnsw_add(
            self._vectors("add"),
            first,
            self.hnsw._graph,
            self._metric,
            ef_construction=self.hnsw.efConstruction,
            prune_headroom=self.hnsw.prune_headroom,
            keep_max_size_level0=self.keep_max_size_level0,
            originals=None if isinstance(storage, IndexFlat) else rows.contiguous(),
        )

    def _search_at_once(self, x: Any, k: Any) -> tuple[Any, Any] | None:
        storage, hnsw = self.storage, self._hnsw
        if not self.is_trained or (isinstance(storage, IndexFlat) and not is_plain_flat(storage)):
            return None
        vectors = storage._version if is_plain_flat(storage) else self._vectors("search")
        tables = hnsw._offsets, hnsw._level_starts, hnsw._neighbors, hnsw._entry
        searcher = self._held_searcher.of((vectors, self.metric_type, *tables), self._searcher)
        found = searcher.search(x, k, hnsw.efSearch, hnsw.check_relative_distance)
        if found is None:
            return None
        scores, ids, *counts = found
        hnsw_stats._count(*counts)
        return scores, ids

    def _searcher(self) -> GraphSearcher:
        return graph_searcher(self._vectors("search"), self.hnsw._graph, self._metric)

    def _search(self, rows: Tensor, k: int, params: SearchParameters | None) -> tuple[Tensor, Tensor]:
        vectors, walk = self._vectors("search"), self._walk(params)
        scores, ids, counts = hnsw_search(rows, vectors, self.hnsw._graph, k, self._metric, **walk)
        hnsw_stats._add(counts)
        return within_float32(scores, ids, self._metric)

    def _range_search(
        self, rows: Tensor, radius: float, params: SearchParameters | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        vectors, walk = self._vectors("range_search"), self._walk(params)
        *found, counts = hnsw_range_search(rows, vectors, self.hnsw._graph, radius, self._metric, **walk)
        hnsw_stats._add(counts)
        return found[0], found[1], found[2]

    def _walk(self, params: SearchParameters | None) -> dict[str, Any]:
        how = params if isinstance(params, SearchParametersHNSW) else self.hnsw
        selector = params.sel if params is not None else None
        allowed = None if selector is None else selector.members(torch.arange(self.ntotal))
        return {"ef": how.efSearch, "check_relative_distance": how.check_relative_distance, "allowed": allowed}

    def _reconstruct(self, keys: Tensor) -> Tensor:
        return self._stored("reconstruct")._reconstruct(keys)

    def _reset(self) -> None:
        self._stored("reset").reset()
        self.hnsw.reset()
        self.ntotal = 0

    def permute_entries(self, perm: Any) -> None:
        """Put vector perm[i] at i. Raises RuntimeError for a storage that cannot."""
        storage = self._stored("permute_entries")
        if not hasattr(storage, "permute_entries"):
            raise RuntimeError(f"{self._named('permute_entries')}: {type(storage).__name__} cannot be permuted")
        storage.permute_entries(perm)
        self.hnsw.permute_entries(perm)
        self._decoded = self._decoded[:0]


class IndexHNSWFlat(IndexHNSW):
    """A graph over float32 vectors: faiss.IndexHNSWFlat(d, M, metric)."""

    def __init__(self, d: int = 0, M: int = 32, metric: int = METRIC_L2) -> None:
        super().__init__(d, M, metric)
        self.storage = IndexFlatL2(d) if metric == METRIC_L2 else IndexFlat(d, metric)
        self.own_fields = True


class IndexHNSWSQ(IndexHNSW):
    """A graph over vectors that a ScalarQuantizer compresses: faiss.IndexHNSWSQ(d, qtype, M, metric)."""

    def __init__(self, d: int = 0, qtype: int = ScalarQuantizer.QT_8bit, M: int = 32, metric: int = METRIC_L2) -> None:
        super().__init__(IndexScalarQuantizer(d, qtype, metric), M)
        self.own_fields = True


class IndexHNSWPQ(IndexHNSW):
    """A graph over vectors that a ProductQuantizer compresses: faiss.IndexHNSWPQ(d, pq_m, M, pq_nbits, metric)."""

    def __init__(self, d: int = 0, pq_m: int = 1, M: int = 32, pq_nbits: int = 8, metric: int = METRIC_L2) -> None:
        super().__init__(IndexPQ(d, pq_m, pq_nbits, metric), M)
        self.own_fields = True
