"""Ids of the caller's own for binary vectors: IndexBinaryIDMap and IndexBinaryIDMap2."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..index.storage import roomier
from .binary import IndexBinary
from .search_parameters import SearchParameters
from .selectors import IDSelector, IDSelectorTranslated
from .vectors import Int64Vector, VectorField


class IndexBinaryIDMap(IndexBinary):
    """Binary vectors of any empty index under ids of one's own, which add_with_ids takes; one may occur twice.

    index: what holds the vectors, numbered 0, 1, 2, ... id_map: their ids, by number.
    """

    index: Any = None
    own_fields: bool = False
    id_map = VectorField("_ids", Int64Vector, writable=False)
    _room: Tensor  # [>= ntotal] int64

    def __init__(self, index: IndexBinary) -> None:
        if not isinstance(index, IndexBinary):
            raise TypeError(f"{type(self).__name__}: a binary index is needed, got {type(index).__name__}")
        if index.ntotal:
            raise RuntimeError(f"{type(self).__name__}: the index must be empty, it holds {index.ntotal} vectors")
        self._hold(index, torch.empty(0, dtype=torch.int64))

    @classmethod
    def over(cls, index: IndexBinary, ids: Tensor) -> IndexBinaryIDMap:
        """One whose vectors are there already, with ids [ntotal] int64. FAISS does not have it."""
        mapped = cls.__new__(cls)
        mapped._hold(index, ids)
        return mapped

    def _hold(self, index: IndexBinary, ids: Tensor) -> None:
        self.index, self._ids = index, ids
        super().__init__(index.d, index.metric_type)
        self.verbose = index.verbose

    @property
    def _ids(self) -> Tensor:
        """[ntotal] int64"""
        return self._room[: self._ntotal]

    @_ids.setter
    def _ids(self, ids: Tensor) -> None:
        self._room, self._ntotal = ids, len(ids)

    @property
    def is_trained(self) -> bool:
        return bool(self.index.is_trained)

    @is_trained.setter
    def is_trained(self, is_trained: bool) -> None:
        self.index.is_trained = is_trained

    def _train(self, codes: Tensor) -> None:
        self.index._train(codes)

    def _add(self, codes: Tensor) -> None:
        self._refuse("add", "its vectors need ids; use add_with_ids")

    def _add_with_ids(self, codes: Tensor, ids: Tensor) -> None:
        self.index._add(codes)
        total = self._ntotal + len(ids)
        self._room = roomier(self._room, self._ntotal, total)
        self._room[self._ntotal : total] = ids
        self._ntotal = total

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

    def _reset(self) -> None:
        self.index._reset()
        self._ids = self._room[:0]

    def _check_compatible_for_merge(self, other: IndexBinary) -> None:
        if not isinstance(other, IndexBinaryIDMap):
            self._refuse("merge_from", f"it cannot take over {other!r}")
        self.index.check_compatible_for_merge(other.index)

    def _merge_from(self, other: IndexBinary, add_id: int) -> None:
        assert isinstance(other, IndexBinaryIDMap)
        self.index._merge_from(other.index, 0)
        self._ids = torch.cat([self._ids, other._ids + add_id])
        other._ids = other._room[:0]


class IndexBinaryIDMap2(IndexBinaryIDMap):
    """IndexBinaryIDMap that also gives the vector of an id back: of an id that occurs twice, the last."""

    def _reconstruct(self, keys: Tensor) -> Tensor:
        ids, numbers = self._ids.sort(stable=True)
        places = torch.searchsorted(ids, keys, right=True) - 1
        missing = places < 0
        if len(ids):
            missing |= ids[places] != keys
        if missing.any():
            self._refuse("reconstruct", f"there is no vector of id {int(keys[missing][0])}")
        found: Tensor = self.index._reconstruct(numbers[places])
        return found

    def construct_rev_map(self) -> None:
        """Nothing to do: ids are looked up as they are."""

    def check_consistency(self) -> None:
        """Raises RuntimeError if an id occurs twice, or ids and vectors differ in number."""
        if self.index.ntotal != self.ntotal or len(set(self._ids.tolist())) != self.ntotal:
            self._refuse("check_consistency", f"{self.ntotal} ids, not all different, for {self.index.ntotal} vectors")
