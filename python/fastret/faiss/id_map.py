"""Ids of the caller's own for an index that numbers its vectors: IndexIDMap and IndexIDMap2."""

from __future__ import annotations

import copy
import operator
from typing import Any

import torch
from torch import Tensor

from ..index.storage import roomier
from .hnsw import IndexHNSW
from .index import Index
from .inverted_lists import InvertedLists
from .metrics import is_similarity_metric
from .nested import try_extract_index_ivf, wrapped_index
from .ranking import ranked
from .refine import IndexRefine
from .search_parameters import SearchParameters
from .selectors import IDSelector, IDSelectorTranslated
from .vectors import Int64Vector, VectorField

_WIDE = 1 << 22  # most neighbours that are taken at a time while ties are sought


class IndexIDMap(Index):
    """Vectors of any empty index under ids of one's own, which add_with_ids takes; one may occur twice.

    index: what holds the vectors, numbered 0, 1, 2, ... id_map: their ids, by number.
    """

    index: Any = None
    own_fields: bool = False
    id_map = VectorField("_ids", Int64Vector, writable=False)
    _room: Tensor  # [>= ntotal] int64: the ids, and room for more
    _sorted: tuple[Tensor, Tensor] | None = None  # ids in ascending order, and their numbers

    def __init__(self, index: Index) -> None:
        if not isinstance(index, Index):
            raise TypeError(f"{type(self).__name__}: an index is needed, got {type(index).__name__}")
        if index.ntotal:
            raise RuntimeError(f"{type(self).__name__}: the index must be empty, it holds {index.ntotal} vectors")
        self._hold(index, torch.empty(0, dtype=torch.int64))

    @classmethod
    def over(cls, index: Index, ids: Tensor) -> IndexIDMap:
        """One whose vectors are there already, with ids [ntotal] int64. FAISS does not have it."""
        mapped = cls.__new__(cls)
        mapped._hold(index, ids)
        return mapped

    def _hold(self, index: Index, ids: Tensor) -> None:
        self.index, self._ids = index, ids
        super().__init__(index.d, index.metric_type)
        self.metric_arg, self.verbose = index.metric_arg, index.verbose

    @property
    def _ids(self) -> Tensor:
        """[ntotal] int64"""
        return self._room[: self._ntotal]

    @_ids.setter
    def _ids(self, ids: Tensor) -> None:
        self._room, self._ntotal, self._sorted = ids, len(ids), None

    @property
    def is_trained(self) -> bool:
        return bool(self.index.is_trained)

    @is_trained.setter
    def is_trained(self, is_trained: bool) -> None:
        self.index.is_trained = is_trained

    @property
    def _device(self) -> torch.device:
        device: torch.device = self.index._device
        return device

    def _train(self, rows: Tensor) -> None:
        self.index._train(rows)

    def _add(self, rows: Tensor) -> None:
        self._refuse("add", "its vectors need ids; use add_with_ids")

    def _add_with_ids(self, rows: Tensor, ids: Tensor) -> None:
        self._require_consistent("add_with_ids")
        self.index._add(rows)
        self._append(ids)

    def _append(self, ids: Tensor) -> None:
        n = self._ntotal + len(ids)
        self._room = roomier(self._room, self._ntotal, n)
        self._room[self._ntotal : n] = ids
        self._ntotal, self._sorted = n, None

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

    def _reset(self) -> None:
        self.index._reset()
        self._ids = self._room[:0]

    def _check_compatible_for_merge(self, other: Index) -> None:
        if not isinstance(other, IndexIDMap):
            raise RuntimeError(f"{self._named('merge_from')}: {self!r} cannot take over {other!r}")
        self.index.check_compatible_for_merge(other.index)

    def _merge_from(self, other: Index, add_id: int) -> None:
        assert isinstance(other, IndexIDMap)
        self.index._merge_from(other.index, 0)
        self._append(other._ids + add_id)
        other._ids = other._room[:0]

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

    def _in_order(self) -> tuple[Tensor, Tensor]:
        """ids in ascending order and their numbers, of equal ids in the order of adding; (ids, ids) if they are so."""
        if self._sorted is None:
            ids = self._ids
            if (ids[1:] >= ids[:-1]).all():
                self._sorted = ids, ids
            else:
                numbers = ids.argsort(stable=True)
                self._sorted = ids[numbers], numbers
        return self._sorted

    def _require_consistent(self, operation: str) -> None:
        if self.index.ntotal != self.ntotal:
            self._refuse(operation, f"it has {self.ntotal} ids and its index {self.index.ntotal} vectors")


class IndexIDMap2(IndexIDMap):
    """IndexIDMap that also gives the vector of an id back: of an id that occurs twice, the last."""

    def _reconstruct(self, keys: Tensor) -> Tensor:
        ids, numbers = self._in_order()
        places = torch.searchsorted(ids, keys, right=True) - 1
        missing = places < 0
        if len(ids):
            missing |= ids[places] != keys
        if missing.any():
            self._refuse("reconstruct", f"there is no vector of id {int(keys[missing][0])}")
        found: Tensor = self.index._reconstruct(places if numbers is ids else numbers[places])
        return found

    def reconstruct_n(self, n0: int = 0, ni: int = -1, x: Any = None) -> Any:
        """Copies of the vectors whose ids are n0 ... n0 + ni - 1, [ni, d] float32; ni = -1 means ntotal - n0."""
        n0, ni = operator.index(n0), operator.index(ni)
        ni = self.ntotal - n0 if ni == -1 else ni
        if ni < 0:
            self._refuse("reconstruct_n", f"{ni} vectors were asked for")
        return self.reconstruct_batch(range(n0, n0 + ni), x)

    def construct_rev_map(self) -> None:
        """Nothing to do: ids are looked up as they are."""

    def check_consistency(self) -> None:
        """Raises RuntimeError if an id occurs twice, or ids and vectors differ in number."""
        self._require_consistent("check_consistency")
        ids, _ = self._in_order()
        twice = ids[1:][ids[1:] == ids[:-1]]
        if len(twice):
            self._refuse("check_consistency", f"id {int(twice[0])} occurs more than once")


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
