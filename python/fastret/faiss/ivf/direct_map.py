"""Where each id of an inverted file is: FAISS's DirectMap."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..selectors import IDSelector, IDSelectorBatch
from ..struct import FaissObject
from ..vectors import Int64Vector, VectorField

if TYPE_CHECKING:
    from .inverted_lists import InvertedLists


def lo_build(list_no: int, offset: int) -> int:
    """A list and an offset in it as one number."""
    return list_no << 32 | offset


def lo_listno(lo: int) -> int:
    return lo >> 32


def lo_offset(lo: int) -> int:
    return lo & 0xFFFFFFFF


class DirectMap(FaissObject):
    """From ids to places: none (NoMap), ids 0, 1, 2, ... (Array), or any ids (Hashtable)."""

    NoMap, Array, Hashtable = range(3)

    type: int = NoMap
    array = VectorField("_array", Int64Vector)
    _array: Tensor  # [n] int64: lo_build of each id, -1 if it is nowhere
    _hashtable: dict[int, int]  # lo_build by id

    def __init__(self) -> None:
        self.clear()

    @property
    def hashtable(self) -> dict[int, int]:
        """lo_build of the place of each id."""
        return self._hashtable

    def no(self) -> bool:
        return self.type == self.NoMap

    def clear(self) -> None:
        """Forget all places, not the type."""
        self._array = torch.empty(0, dtype=torch.int64)
        self._hashtable = {}

    def set_type(self, new_type: int, invlists: InvertedLists, ntotal: int) -> None:
        """Become a map of another type, of all ids in the lists. Raises RuntimeError for ids that Array cannot hold."""
        new_type = operator.index(new_type)
        if new_type not in (self.NoMap, self.Array, self.Hashtable):
            raise RuntimeError(f"DirectMap.set_type: the type must be 0, 1 or 2, got {new_type}")
        if new_type == self.type:
            return
        self.clear()
        self.type = new_type
        if new_type == self.NoMap:
            return
        arena = invlists._arena()
        ids = arena.ids[arena.positions(torch.arange(invlists.nlist))]
        list_nos = torch.arange(invlists.nlist).repeat_interleave(arena.sizes)
        places = places_of(list_nos, torch.arange(len(ids)) - (arena.sizes.cumsum(0) - arena.sizes)[list_nos])
        if new_type == self.Hashtable:
            self._hashtable = dict(zip(ids.tolist(), places.tolist(), strict=True))
            return
        if len(ids) and not (int(ids.min()) >= 0 and int(ids.max()) < ntotal):
            raise RuntimeError("DirectMap.set_type: an array maps sequential ids only")
        self._array = torch.full((ntotal,), -1)
        self._array[ids] = places

    def get(self, id: int) -> int:
        """lo_build of the place of an id. Raises RuntimeError if it is nowhere."""
        return int(self._get(torch.tensor([operator.index(id)]))[0])

    def _get(self, ids: Tensor) -> Tensor:
        if self.type == self.NoMap:
            raise RuntimeError("DirectMap.get: there is no direct map; make_direct_map makes one")
        if self.type == self.Hashtable:
            places = torch.tensor([self._hashtable.get(id, -1) for id in ids.tolist()], dtype=torch.int64)
        else:
            inside = (ids >= 0) & (ids < len(self._array))
            places = torch.full_like(ids, -1)
            places[inside] = self._array[ids[inside]]
        if (places < 0).any():
            raise RuntimeError(f"DirectMap.get: there is no id {int(ids[places < 0][0])}")
        return places

    def check_can_add(self, ids: Any) -> None:
        """Raises RuntimeError for ids of one's own where an array maps those that are counted."""
        if self.type == self.Array and ids is not None:
            raise RuntimeError("add_with_ids: an array as the direct map counts the ids itself")

    def add_single_id(self, id: int, list_no: int, offset: int) -> None:
        self._add(torch.tensor([id]), torch.tensor([list_no]), torch.tensor([offset]))

    def _add(self, ids: Tensor, list_nos: Tensor, offsets: Tensor) -> None:
        """ids [n] are now at these offsets of these lists; a list -1: nowhere."""
        places = torch.where(list_nos < 0, -1, places_of(list_nos, offsets))
        if self.type == self.Array:
            self._array = torch.cat([self._array, places])
        elif self.type == self.Hashtable:
            self._hashtable.update(zip(ids.tolist(), places.tolist(), strict=True))

    def remove_ids(self, sel: IDSelector, invlists: InvertedLists) -> int:
        """Remove ids from the lists; how many vectors went. Raises RuntimeError where the map cannot follow."""
        if self.type == self.Array:
            raise RuntimeError("remove_ids: an array as the direct map cannot lose ids; make_direct_map(False) first")
        if self.type == self.Hashtable:
            return self._remove_by_hashtable(sel, invlists)
        removed = 0
        for list_no in range(invlists.nlist):
            gone = sel.members(invlists._list(list_no)[1])
            if gone.any():
                removed += int(gone.sum())
                invlists._remove(list_no, gone)
        return removed

    def _remove_by_hashtable(self, sel: IDSelector, invlists: InvertedLists) -> int:
        if not isinstance(sel, IDSelectorBatch):
            raise RuntimeError("remove_ids: with a hashtable as the direct map, the ids must be an IDSelectorArray")
        removed = 0
        for id in sel._ids.tolist():
            place = self._hashtable.pop(id, -1)
            if place < 0:
                continue
            list_no, offset = lo_listno(place), lo_offset(place)
            gone = torch.zeros(invlists.list_size(list_no), dtype=torch.bool)
            gone[offset] = True
            if offset < len(gone) - 1:
                self._hashtable[invlists.get_single_id(list_no, len(gone) - 1)] = place
            invlists._remove(list_no, gone)
            removed += 1
        return removed

    def _replace(self, ids: Tensor, list_nos: Tensor, codes: Tensor, invlists: InvertedLists) -> None:
        """ids [n] of an array get codes [n, code_size] in other lists [n]."""
        if self.type != self.Array:
            raise RuntimeError("update_vectors: a direct map is needed; make_direct_map makes one")
        if len(ids) and not (int(ids.min()) >= 0 and int(ids.max()) < len(self._array)):
            raise RuntimeError(f"update_vectors: ids must be below {len(self._array)}")
        for row, (id, list_no) in enumerate(zip(ids.tolist(), list_nos.tolist(), strict=True)):
            place = int(self._array[id])
            gone = torch.zeros(invlists.list_size(lo_listno(place)), dtype=torch.bool)
            gone[lo_offset(place)] = True
            last = invlists.get_single_id(lo_listno(place), len(gone) - 1)
            self._array[last] = place
            invlists._remove(lo_listno(place), gone)
            offset = invlists._extend(torch.tensor([list_no]), codes[row][None], torch.tensor([id]))
            self._array[id] = lo_build(list_no, int(offset[0]))


def places_of(list_nos: Tensor, offsets: Tensor) -> Tensor:
    """lo_build of each: [n] int64."""
    return list_nos << 32 | offsets


def pairs_of(table: dict[int, int]) -> Any:
    """A hashtable as [n, 2] int64."""
    return np.array(list(table.items()), dtype=np.int64).reshape(-1, 2)
