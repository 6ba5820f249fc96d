"""Ids of the caller's own for an index that numbers its vectors: IndexIDMap and IndexIDMap2."""

from __future__ import annotations

import copy
import operator
from typing import Any

import torch
from torch import Tensor

from .callers_ids import CallersIds, FindsById
from .hnsw import IndexHNSW
from .index import Index
from .ivf.inverted_lists import InvertedLists
from .metrics import is_similarity_metric
from .nested import try_extract_index_ivf, wrapped_index
from .ranking import ranked
from .refine import IndexRefine
from .search_parameters import SearchParameters
from .selectors import IDSelector, IDSelectorTranslated

_WIDE = 1 << 22  # most neighbours that are taken at a time while ties are sought


class IndexIDMap(CallersIds, Index):
    """Vectors of any empty index under ids of one's own, which add_with_ids takes; one may occur twice.

    index: what holds the vectors, numbered 0, 1, 2, ... id_map: their ids, by number.
    """

    _held_kind = Index

    def _hold(self, index: Index, ids: Tensor) -> None:
        super()._hold(index, ids)
        self.metric_arg = index.metric_arg

    @property
    def _device(self) -> torch.device:
        device: torch.device = self.index._device
        return device

    def _search(self, rows: Tensor, k: int, params: SearchParameters | None) -> tuple[Tensor, Tensor]:
        self._require_consistent("search")
        params = self._translated(params)
        if self._ids_ascend():
            scores, numbers = self.index._search(rows, k, params)
            return self.index._padded(scores, numbers), self._ids_of(numbers)
        if not _finds_prefixes(self.index):
            scores, numbers = self.index._search(rows, k, params)
            return self._ranked(scores, numbers, k)
        # One more tells whether a smaller id of the k-th score may have been left out.
        scores, numbers = self.index._search(rows, k + 1, params)
        best, ids = self._ranked(scores, numbers, k)
        tied = ((numbers[:, k] >= 0) & (scores[:, k] == scores[:, k - 1])).nonzero()[:, 0]
        for part in tied.split(max(1, _WIDE // (2 * k))):
            best[part], ids[part] = self._search_ties(rows[part], k, params)
        return best, ids

    def _search_ties(self, rows: Tensor, k: int, params: SearchParameters | None) -> tuple[Tensor, Tensor]:
        """The k best where the k-th score goes on behind k: as many more as it takes to reach another one."""
        wide = 2 * k
        while True:
            scores, numbers = self.index._search(rows, wide, params)
            more = (numbers[:, -1] >= 0) & (scores[:, -1] == scores[:, k - 1])
            if wide >= self.ntotal or not more.any():
                return self._ranked(scores, numbers, k)
            if len(rows) > 1 and len(rows) * wide > _WIDE:
                halves = [self._search_ties(half, k, params) for half in rows.chunk(2)]
                best, ids = (torch.cat(column) for column in zip(*halves, strict=True))
                return best, ids
            wide *= 2

    def _ranked(self, scores: Tensor, numbers: Tensor, k: int) -> tuple[Tensor, Tensor]:
        similarity = is_similarity_metric(self.metric_type)
        return ranked(scores, self._ids_of(numbers), k, similarity=similarity, found=numbers >= 0)

    def _range_search(
        self, rows: Tensor, radius: float, params: SearchParameters | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        self._require_consistent("range_search")
        lims, scores, numbers = self.index._range_search(rows, radius, self._translated(params))
        return lims, scores, self._ids_of(numbers)

    def _padded(self, scores: Tensor, ids: Tensor) -> Tensor:
        return scores  # was done by number: an id of one's own may be negative

    def _remove(self, selector: IDSelector) -> int:
        self._require_consistent("remove_ids")
        kept = ~selector.members(self._ids)
        ivf = try_extract_index_ivf(self.index)
        if ivf is not None and not ivf.direct_map.no():
            self._refuse("remove_ids", "the direct map would keep the numbers that vectors had; clear it first")
        removed: int = self.index._remove(IDSelectorTranslated(self._ids, selector))
        if ivf is not None:
            _renumber(ivf.invlists, kept.cumsum(0) - 1)
        self._ids = self._ids[kept]
        return removed

    def _code_size(self) -> int:
        return int(self.index._code_size())

    # --- between ids and numbers ---

    def _ids_of(self, numbers: Tensor) -> Tensor:
        """Of any shape; -1 stays -1."""
        ids = self._ids.to(numbers.device)
        if not len(ids):
            return numbers
        return torch.where(numbers < 0, numbers, ids[numbers.clamp(min=0)])

    def _translated(self, params: SearchParameters | None) -> SearchParameters | None:
        if params is None or params.sel is None or isinstance(params.sel, IDSelectorTranslated):
            return params
        translated = copy.copy(params)
        translated.sel = IDSelectorTranslated(self._ids, params.sel)
        return translated

    def _ids_ascend(self) -> bool:
        ids, numbers = self._in_order()
        return numbers is ids


class IndexIDMap2(FindsById, IndexIDMap):
    """IndexIDMap that also gives the vector of an id back: of an id that occurs twice, the last."""

    def reconstruct_n(self, n0: int = 0, ni: int = -1, x: Any = None) -> Any:
        """Copies of the vectors whose ids are n0 ... n0 + ni - 1, [ni, d] float32; ni = -1 means ntotal - n0."""
        n0, ni = operator.index(n0), operator.index(ni)
        ni = self.ntotal - n0 if ni == -1 else ni
        if ni < 0:
            self._refuse("reconstruct_n", f"{ni} vectors were asked for")
        return self.reconstruct_batch(range(n0, n0 + ni), x)


def _finds_prefixes(index: Any) -> bool:
    """Whether the k best that an index finds are the first of the k + 1 best: not if k tells how far it looks."""
    while index is not None:
        if isinstance(index, IndexHNSW | IndexRefine):
            return False
        index = wrapped_index(index)
    return True


def _renumber(lists: InvertedLists, numbers: Tensor) -> None:
    """Call vector i of inverted lists, which keep the numbers that vectors had, numbers[i]."""
    for list_no in range(lists.nlist):
        codes, ids = lists._list(list_no)
        lists._write(list_no, 0, codes, numbers[ids])
