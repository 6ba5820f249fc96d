"""FAISS's flat index of scalar-quantized vectors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..._C import RowSearcher
from ...ops.arrays import Metric, metric_index
from ...ops.range_search import range_search
from ...ops.search import search
from ...ops.search_lists import CODECS as ALL_CODECS
from ...ops.search_lists import Codec, InvertedRows, range_search_lists, search_lists
from ..arrays import within_float32
from ..flat_codes import IndexOfCodes
from ..held_searcher import HeldSearcher
from ..index import Index
from ..metrics import METRIC_L2, metric_name
from ..search_parameters import SearchParameters
from .scalar_quantizer import ScalarQuantizer

CODECS: dict[int, Codec] = {
    ScalarQuantizer.QT_8bit: "bits8",
    ScalarQuantizer.QT_4bit: "bits4",
    ScalarQuantizer.QT_8bit_uniform: "bits8",
    ScalarQuantizer.QT_4bit_uniform: "bits4",
    ScalarQuantizer.QT_fp16: "float16",
    ScalarQuantizer.QT_8bit_direct: "direct8",
    ScalarQuantizer.QT_6bit: "bits6",
    ScalarQuantizer.QT_bf16: "bfloat16",
    ScalarQuantizer.QT_8bit_direct_signed: "direct8_signed",
}  # by ScalarQuantizer.qtype
_LEAST_ROWS = 4096  # of a list, unless there are fewer
_MOST_LISTS = 64


class IndexScalarQuantizer(IndexOfCodes):
    """Exact search over what the codes of a ScalarQuantizer decode to: faiss.IndexScalarQuantizer(d, qtype, metric)."""

    sq: ScalarQuantizer = ScalarQuantizer()
    _held_searcher: HeldSearcher
    _numbers: Tensor  # [>= ntotal] 0, 1, 2, ..., as ids of the lists that are searched

    def __init__(self, d: int = 0, qtype: int = ScalarQuantizer.QT_8bit, metric: int = METRIC_L2) -> None:
        self.sq = ScalarQuantizer(d, qtype)
        super().__init__(d, metric)
        self.is_trained = self.sq._is_trained
        self._numbers, self._held_searcher = torch.empty(0, dtype=torch.int64), HeldSearcher()

    def _train(self, rows: Tensor) -> None:
        self.sq._train(rows)
        self.is_trained = True

    def _search_at_once(self, x: Any, k: Any) -> tuple[Any, Any] | None:
        sq = self.sq
        if sq.bits == 16 or not self.is_trained:
            return None
        sources = (self._room, self._ntotal, sq.qtype, sq._trained, self.metric_type)
        return self._held_searcher.of(sources, self._searcher).search(x, k)

    def _searcher(self) -> RowSearcher:
        metric, codec = metric_index("search", self._metric("search")), ALL_CODECS.index(CODECS[self.sq.qtype])
        ranges = self.sq._ranges.numpy() if self.sq._has_ranges else None
        return RowSearcher(self._codes.numpy(), self.d, metric, codec, ranges)

    def _search(self, rows: Tensor, k: int, params: SearchParameters | None) -> tuple[Tensor, Tensor]:
        metric = self._metric("search")
        allowed = self._allowed(params)
        if self.sq.bits == 16:
            scores, ids = search(rows, self._keys, k, metric, allowed=allowed)
        else:
            scores, ids = search_lists(rows, *self._lists_for(rows), k, metric, allowed=allowed)
        return within_float32(torch.as_tensor(scores), torch.as_tensor(ids), metric)

    def _range_search(
        self, rows: Tensor, radius: float, params: SearchParameters | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        metric = self._metric("range_search")
        allowed = self._allowed(params)
        if self.sq.bits == 16:
            lims, scores, ids = range_search(rows, self._keys, radius, metric, allowed=allowed)
            return torch.as_tensor(lims), torch.as_tensor(scores), torch.as_tensor(ids)
        return range_search_lists(rows, *self._lists_for(rows), radius, metric, allowed=allowed)

    @property
    def _keys(self) -> Tensor:
        """[ntotal, d] of the 16-bit types, which are searched as they are."""
        return self._codes.view(self.sq._float_dtype)

    def _lists_for(self, rows: Tensor) -> tuple[InvertedRows, Tensor]:
        """All vectors in lists, which threads share, and that each of rows [n, d] visits every list: [n, L]."""
        if len(self._numbers) < self.ntotal:
            self._numbers = torch.arange(len(self._room))
        rows_per_list = max(_LEAST_ROWS, -(-self.ntotal // _MOST_LISTS))
        starts = torch.arange(0, max(1, self.ntotal), rows_per_list)
        lists = InvertedRows(
            self._codes,
            self._numbers[: self.ntotal],
            starts,
            (self.ntotal - starts).clamp(max=rows_per_list),
            CODECS[self.sq.qtype],
            self.sq._ranges if self.sq._has_ranges else None,
        )
        return lists, torch.arange(len(starts)).repeat(len(rows), 1)

    def _metric(self, operation: str) -> Metric:
        metric = metric_name(self.metric_type)
        if metric is None:
            self._refuse(operation, f"the metric must be METRIC_L2 or METRIC_INNER_PRODUCT, got {self.metric_type}")
        return metric

    def _allowed(self, params: SearchParameters | None) -> Tensor | None:
        return None if params is None or params.sel is None else params.sel.members(torch.arange(self.ntotal))

    def _check_compatible_for_merge(self, other: Index) -> None:
        super()._check_compatible_for_merge(other)
        assert isinstance(other, IndexScalarQuantizer)
        same = torch.equal(other.sq._trained, self.sq._trained)
        if other.sq.qtype != self.sq.qtype or not (same or other.ntotal == 0):
            self._refuse("merge_from", "the two quantizers must have the same qtype and the same training")

    def _code_size(self) -> int:
        return self.sq.code_size

    def _encode(self, rows: Tensor) -> Tensor:
        return self.sq._encode(rows)

    def _decode(self, codes: Tensor) -> Tensor:
        return self.sq._decode(codes)
