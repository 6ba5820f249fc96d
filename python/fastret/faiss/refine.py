"""IndexRefine: what one index finds, scored again by another that knows the vectors better."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..ops.arrays import METRICS, Metric
from ..ops.cosine_scores import cosine_scores
from .flat import IndexFlat
from .index import Index
from .metrics import metric_name
from .pointers import Pointer, rev_swig_ptr
from .ranking import ranked
from .search_parameters import IndexRefineSearchParameters, SearchParameters, parameters_of_kind

_BLOCK_VALUES = 1 << 22  # of candidates that are scored at a time


class IndexRefine(Index):
    """Asks base_index for k * k_factor neighbours and returns the k best by the vectors of refine_index.

    Scores are canonical: as exact as those of IndexFlat over what refine_index reconstructs.
    """

    base_index: Any = None
    refine_index: Any = None
    own_fields: bool = False
    own_refine_index: bool = False
    k_factor: float = 1.0

    def __init__(self, base_index: Index, refine_index: Index) -> None:
        for index in (base_index, refine_index):
            if not isinstance(index, Index):
                raise TypeError(f"{type(self).__name__}: two indexes are needed, got {type(index).__name__}")
        same = ("d", "metric_type", "ntotal")
        if any(getattr(base_index, name) != getattr(refine_index, name) for name in same):
            raise RuntimeError(
                f"{type(self).__name__}: the indexes must share {', '.join(same)}, got {base_index!r}, {refine_index!r}"
            )
        super().__init__(base_index.d, base_index.metric_type)
        self.base_index, self.refine_index = base_index, refine_index
        self.metric_arg = base_index.metric_arg
        self.is_trained = base_index.is_trained and refine_index.is_trained
        self._ntotal = base_index.ntotal

    def _train(self, rows: Tensor) -> None:
        self.base_index.train(rows)
        self.refine_index.train(rows)
        self.is_trained = True

    def _add(self, rows: Tensor) -> None:
        self.base_index.add(rows)
        self.refine_index.add(rows)
        self._ntotal = self.refine_index.ntotal

    def _reset(self) -> None:
        self.base_index.reset()
        self.refine_index.reset()
        self._ntotal = 0

    def _search(self, rows: Tensor, k: int, params: SearchParameters | None) -> tuple[Tensor, Tensor]:
        metric = self._metric("search")
        k_factor, base_params = self._told("search", params)
        k_base = int(np.float32(k) * np.float32(k_factor))  # in float32, as FAISS rounds it
        if k_base < k:
            self._refuse("search", f"k_factor must be 1 at least, got {k_factor}")
        _, candidates = self.base_index.search(rows, k_base, params=base_params)
        scores = self._scored(rows, candidates, metric)
        return ranked(scores, candidates, k, similarity=metric != "l2")

    def _range_search(
        self, rows: Tensor, radius: float, params: SearchParameters | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As FAISS does: of what the base index finds within radius * k_factor, what is within the radius."""
        metric = self._metric("range_search")
        k_factor, base_params = self._told("range_search", params)
        base_radius = float(np.float32(radius) * np.float32(k_factor))
        lims, _, ids = self.base_index.range_search(rows, base_radius, params=base_params)
        numbers = torch.repeat_interleave(torch.arange(len(rows)), lims.to(torch.int64).diff())
        scores = self._scored(rows[numbers], ids[:, None], metric)[:, 0]
        within = scores < radius if metric == "l2" else scores > radius
        counts = numbers[within].bincount(minlength=len(rows))
        return torch.nn.functional.pad(counts.cumsum(0), (1, 0)), scores[within], ids[within]

    def _scored(self, rows: Tensor, ids: Tensor, metric: Metric) -> Tensor:
        """The canonical score of each of rows [n, d] with the vectors of ids [n, m], [n, m]; that of id -1 is any."""
        if isinstance(self.refine_index, IndexFlat):
            of_pairs: Tensor = torch.ops.fastret.pair_scores(
                rows, self.refine_index.vectors, ids, METRICS.index(metric)
            )
            return of_pairs
        blocks = []
        size = max(1, _BLOCK_VALUES // max(1, ids.shape[1] * self.d))
        for queries, candidates in zip(torch.split(rows, size), torch.split(ids, size), strict=True):
            found = candidates >= 0
            keys = torch.zeros(*candidates.shape, self.d)
            keys[found] = self.refine_index._reconstruct(candidates[found])
            blocks.append(torch.as_tensor(cosine_scores(queries[:, None], keys, metric))[:, 0])
        return torch.cat(blocks)

    def _reconstruct(self, keys: Tensor) -> Tensor:
        vectors: Tensor = self.refine_index._reconstruct(keys)
        return vectors

    def _code_size(self) -> int:
        return int(self.base_index.sa_code_size() + self.refine_index.sa_code_size())

    def _encode(self, rows: Tensor) -> Tensor:
        """The code of the base index, then that of the other."""
        return torch.cat([self.base_index._encode(rows), self.refine_index._encode(rows)], 1)

    def _decode(self, codes: Tensor) -> Tensor:
        vectors: Tensor = self.refine_index._decode(codes[:, self.base_index.sa_code_size() :].contiguous())
        return vectors

    def _told(self, operation: str, params: SearchParameters | None) -> tuple[float, SearchParameters | None]:
        """k_factor, and what the base index is told."""
        told = parameters_of_kind(self._named(operation), params, IndexRefineSearchParameters)
        return (self.k_factor, None) if told is None else (told.k_factor, told.base_index_params)

    def _metric(self, operation: str) -> Metric:
        metric = metric_name(self.metric_type)
        if metric is None:
            self._refuse(operation, f"the metric must be METRIC_L2 or METRIC_INNER_PRODUCT, got {self.metric_type}")
        return metric


class IndexRefineFlat(IndexRefine):
    """Candidates of base_index, scored again by their float32 vectors, which this index keeps.

    IndexRefineFlat(base_index), which must be empty, or IndexRefineFlat(base_index, x) with the vectors that it holds,
    an array or a pointer to its elements.
    """

    def __init__(self, base_index: Index, x: Any = None) -> None:
        if not isinstance(base_index, Index):
            raise TypeError(f"IndexRefineFlat: an index is needed, got {type(base_index).__name__}")
        refine_index = IndexFlat(base_index.d, base_index.metric_type)
        if isinstance(x, Pointer):
            x = rev_swig_ptr(x, base_index.ntotal * base_index.d).reshape(base_index.ntotal, base_index.d)
        if x is not None:
            refine_index.add(x)
        super().__init__(base_index, refine_index)
        self.own_refine_index = True
