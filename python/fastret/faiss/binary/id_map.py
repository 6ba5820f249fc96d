"""Ids of the caller's own for binary vectors: IndexBinaryIDMap and IndexBinaryIDMap2."""

from __future__ import annotations

from torch import Tensor

from ..callers_ids import CallersIds, FindsById
from ..search_parameters import SearchParameters
from ..selectors import IDSelector, IDSelectorTranslated
from .index import IndexBinary


class IndexBinaryIDMap(CallersIds, IndexBinary):
    """Binary vectors of any empty index under ids of one's own, which add_with_ids takes; one may occur twice.

    index: what holds the vectors, numbered 0, 1, 2, ... id_map: their ids, by number.
    """

    _held_kind = IndexBinary

    def _search(
        self, codes: Tensor, k: int, params: SearchParameters | None, names: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        found: tuple[Tensor, Tensor] = self.index._search(codes, k, *self._of_index(params, names))
        return found

    def _range_search(
        self, codes: Tensor, radius: int, params: SearchParameters | None, names: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        found: tuple[Tensor, Tensor, Tensor] = self.index._range_search(codes, radius, *self._of_index(params, names))
        return found

    def _of_index(
        self, params: SearchParameters | None, names: Tensor | None
    ) -> tuple[SearchParameters | None, Tensor]:
        return params, self._ids if names is None else names

    def _remove(self, selector: IDSelector) -> int:
        kept = ~selector.members(self._ids)
        removed = int(self.index._remove(IDSelectorTranslated(self._ids, selector)))
        self._ids = self._ids[kept]
        return removed


class IndexBinaryIDMap2(FindsById, IndexBinaryIDMap):
    """IndexBinaryIDMap that also gives the vector of an id back: of an id that occurs twice, the last."""
