"""FAISS's inverted lists: coded vectors and their ids, list by list, in one arena that searches read as it lies."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any, NamedTuple, NoReturn

import numpy as np
import torch
from torch import Tensor

from ..pointers import NumpyArray, Pointer
from ..struct import FaissObject

_GATHERED_BYTES = 256 << 20  # of lists that must be copied to be searched, at a time


class Arena(NamedTuple):
    """Rows of lists: list l is rows starts[l] ... starts[l] + sizes[l] - 1."""

    codes: Tensor  # [capacity, code_size] uint8
    ids: Tensor  # [capacity] int64
    starts: Tensor  # [nlist] int64
    sizes: Tensor  # [nlist] int64

    def positions(self, list_nos: Tensor) -> Tensor:
        """The rows of some lists, list after list."""
        return ranges(self.starts[list_nos], self.sizes[list_nos])

    def lists_of(self, positions: Tensor) -> Tensor:
        """The list of each row [n]."""
        filled = self.sizes.nonzero()[:, 0]
        filled = filled[self.starts[filled].argsort()]
        return filled[torch.searchsorted(self.starts[filled], positions, right=True) - 1]


def ranges(starts: Tensor, sizes: Tensor) -> Tensor:
    """start, start + 1, ..., start + size - 1 of each range, one range after the other."""
    offsets = sizes.cumsum(0) - sizes
    return torch.arange(int(sizes.sum())) + (starts - offsets).repeat_interleave(sizes)


class InvertedLists(FaissObject):
    """What all inverted lists can be asked. Kinds implement `_list` and `list_size`; those that can be written to
    `_extend`, `_write` and `resize` as well.
    """

    INVALID_CODE_SIZE = (1 << 64) - 1
    SUBSET_TYPE_ID_RANGE, SUBSET_TYPE_ID_MOD, SUBSET_TYPE_ELEMENT_RANGE = range(3)
    SUBSET_TYPE_INVLIST_FRACTION, SUBSET_TYPE_INVLIST = 3, 4

    nlist: int = 0
    code_size: int = 0
    use_iterator: bool = False

    def __init__(self, nlist: int, code_size: int) -> None:
        self.nlist, self.code_size = operator.index(nlist), operator.index(code_size)

    # --- what kinds implement ---

    def list_size(self, list_no: int) -> int:
        """Vectors in a list."""
        raise RuntimeError(f"{type(self).__name__}.list_size: this kind of inverted lists has none")

    def _list(self, list_no: int) -> tuple[Tensor, Tensor]:
        """codes [n, code_size] and ids [n] of a list, without a copy where that is possible."""
        raise RuntimeError(f"{type(self).__name__}: this kind of inverted lists cannot be read")

    def _extend(self, list_nos: Tensor, codes: Tensor, ids: Tensor) -> Tensor:
        """Append rows [n] to their lists, each in its place of the order; the offset of each in its list, [n]."""
        self._refuse("add_entries")

    def _write(self, list_no: int, offset: int, codes: Tensor, ids: Tensor) -> None:
        """Overwrite the rows from `offset` on."""
        self._refuse("update_entries")

    def resize(self, list_no: int, new_size: int) -> None:
        """Cut a list, or lengthen it by rows of no particular contents."""
        self._refuse("resize")

    def _sizes(self) -> Tensor:
        """[nlist] int64"""
        return torch.tensor([self.list_size(i) for i in range(self.nlist)], dtype=torch.int64)

    def _arena(self, list_nos: Tensor | None = None) -> Arena:
        """The lists `list_nos` (None: all); the others may be empty in it. Here a copy."""
        wanted = range(self.nlist) if list_nos is None else list_nos.tolist()
        parts = [self._list(i) for i in wanted]
        sizes = torch.zeros(self.nlist, dtype=torch.int64)
        sizes[list(wanted)] = torch.tensor([len(ids) for _, ids in parts], dtype=torch.int64)
        order = torch.cat([codes for codes, _ in parts] or [torch.empty(0, self.code_size, dtype=torch.uint8)])
        ids = torch.cat([ids for _, ids in parts] or [torch.empty(0, dtype=torch.int64)])
        starts = torch.zeros(self.nlist, dtype=torch.int64)
        starts[list(wanted)] = (sizes[list(wanted)]).cumsum(0) - sizes[list(wanted)]
        return Arena(order, ids, starts, sizes)

    def _arenas(self, probes: Tensor) -> Iterator[tuple[slice, Arena]]:
        """Parts of the queries whose lists probes [Q, P] are in memory together, and these lists."""
        sizes = self._sizes()
        row_bytes, first, needed = self.code_size + 8, 0, set[int]()
        rows = [{list_no for list_no in row if list_no >= 0} for row in probes.tolist()]
        for q, row in enumerate(rows):
            both = needed | row
            if needed and int(sizes[list(both)].sum()) * row_bytes > _GATHERED_BYTES:
                yield slice(first, q), self._arena(torch.tensor(sorted(needed)))
                first, both = q, row
            needed = both
        yield slice(first, len(rows)), self._arena(torch.tensor(sorted(needed), dtype=torch.int64))

    # --- reading ---

    def is_empty(self, list_no: int, inverted_list_context: Any = None) -> bool:
        return self.list_size(list_no) == 0

    def get_ids(self, list_no: int) -> Pointer:
        """The ids of a list, for rev_swig_ptr(ids, list_size(list_no))."""
        return Pointer.to(self._list(list_no)[1].contiguous().numpy())

    def get_codes(self, list_no: int) -> Pointer:
        """The codes of a list, for rev_swig_ptr(codes, list_size(list_no) * code_size)."""
        return Pointer.to(self._list(list_no)[0].contiguous().numpy().reshape(-1))

    def get_single_id(self, list_no: int, offset: int) -> int:
        return int(self._list(list_no)[1][offset])

    def get_single_code(self, list_no: int, offset: int) -> Pointer:
        return Pointer.to(self._list(list_no)[0][offset].contiguous().numpy())

    def release_ids(self, list_no: int, ids: Any) -> None:
        """Python frees what get_ids returned."""

    def release_codes(self, list_no: int, codes: Any) -> None:
        """Python frees what get_codes returned."""

    def prefetch_lists(self, list_nos: Any, n: int) -> None:
        """A hint that FAISS's on-disk lists take; the operating system reads ahead itself."""

    def compute_ntotal(self) -> int:
        """Vectors in all lists."""
        return int(self._sizes().sum())

    def imbalance_factor(self) -> float:
        """1 where all lists are of one size, nlist where one holds everything."""
        sizes = self._sizes().double()
        total = float(sizes.sum())
        return float(sizes.square().sum()) * self.nlist / total**2 if total else 0.0

    def print_stats(self) -> None:
        """Prints how many lists are of which size, by powers of two."""
        sizes = self._sizes()
        bins = torch.bincount(torch.tensor([size.bit_length() for size in sizes.tolist()], dtype=torch.int64))
        for bits, count in enumerate(bins.tolist()):
            if count:
                print(f"list size in < {1 << bits}: {count} instances")

    # --- writing ---

    def add_entry(self, list_no: int, theid: int, code: Any, inverted_list_context: Any = None) -> int:
        """Append one vector; its offset in the list."""
        return self.add_entries(list_no, 1, [theid], code)

    def add_entries(self, list_no: int, n_entry: int, ids: Any, code: Any) -> int:
        """Append n_entry ids and codes (arrays or pointers) to a list; the offset of the first."""
        first = self.list_size(list_no)
        self._extend(torch.full((n_entry,), list_no), self._codes_of(code, n_entry), ids_of(ids, n_entry))
        return first

    def update_entry(self, list_no: int, offset: int, id: int, code: Any) -> None:
        """Overwrite one vector of a list."""
        self.update_entries(list_no, offset, 1, [id], code)

    def update_entries(self, list_no: int, offset: int, n_entry: int, ids: Any, code: Any) -> None:
        """Overwrite the n_entry vectors of a list from `offset` on. Raises RuntimeError beyond its end."""
        if not 0 <= offset <= self.list_size(list_no) - n_entry:
            raise RuntimeError(
                f"{type(self).__name__}.update_entries: list {list_no} holds {self.list_size(list_no)} vectors, "
                f"{n_entry} from {offset} on were given"
            )
        self._write(list_no, offset, self._codes_of(code, n_entry), ids_of(ids, n_entry))

    def reset(self) -> None:
        """Empty every list."""
        for list_no in range(self.nlist):
            self.resize(list_no, 0)

    def merge_from(self, oivf: InvertedLists, add_id: int) -> None:
        """Take over the vectors of other lists, which are empty afterwards; add_id is added to their ids."""
        for list_no in range(self.nlist):
            codes, ids = oivf._list(list_no)
            self._extend(torch.full((len(ids),), list_no), codes, ids + add_id)
        oivf.reset()

    def copy_subset_to(self, other: InvertedLists, subset_type: int, a1: int, a2: int) -> int:
        """Append a subset of the vectors to other lists and return their number.

        SUBSET_TYPE_ID_RANGE: a1 <= id < a2. SUBSET_TYPE_ID_MOD: id % a1 == a2. SUBSET_TYPE_ELEMENT_RANGE: of about
        equal parts of every list, the vectors numbered a1 ... a2 - 1. SUBSET_TYPE_INVLIST_FRACTION: part a2 of a1 of
        every list. SUBSET_TYPE_INVLIST: lists a1 ... a2 - 1.
        """
        if (self.nlist, self.code_size) != (other.nlist, other.code_size):
            raise RuntimeError("copy_subset_to: both inverted lists must have one nlist and code_size")
        sizes = self._sizes()
        before = (sizes.cumsum(0) - sizes).tolist()
        total, copied = int(sizes.sum()), 0
        for list_no in range(self.nlist):
            codes, ids = self._list(list_no)
            n = len(ids)
            if subset_type == self.SUBSET_TYPE_ID_RANGE:
                chosen = (ids >= a1) & (ids < a2)
            elif subset_type == self.SUBSET_TYPE_ID_MOD:
                chosen = ids % a1 == a2
            elif subset_type == self.SUBSET_TYPE_ELEMENT_RANGE:
                # As many of the vectors before the end of the list as lie within the range of all vectors.
                end = before[list_no] + n
                first, last = (n and (end * a // total - before[list_no] * a // total) for a in (a1, a2))
                chosen = (torch.arange(n) >= first) & (torch.arange(n) < last)
            elif subset_type == self.SUBSET_TYPE_INVLIST_FRACTION:
                chosen = (torch.arange(n) >= n * a2 // a1) & (torch.arange(n) < n * (a2 + 1) // a1)
            elif subset_type == self.SUBSET_TYPE_INVLIST:
                chosen = torch.full((n,), a1 <= list_no < a2)
            else:
                raise RuntimeError(f"copy_subset_to: subset_type must be from 0 to 4, got {subset_type}")
            other._extend(torch.full((int(chosen.sum()),), list_no), codes[chosen], ids[chosen])
            copied += int(chosen.sum())
        return copied

    def _remove(self, list_no: int, gone: Tensor) -> None:
        """Remove rows by their offsets' flags [n] bool; the last rows that stay fill the holes, as in FAISS."""
        codes, ids = self._list(list_no)
        left = len(ids) - int(gone.sum())
        holes = gone[:left].nonzero()[:, 0]
        moved = (left + (~gone[left:]).nonzero()[:, 0]).flip(0)
        for hole, row in zip(holes.tolist(), moved.tolist(), strict=True):
            self._write(list_no, hole, codes[row][None].clone(), ids[row][None].clone())
        self.resize(list_no, left)

    def _codes_of(self, codes: Any, n: int) -> Tensor:
        array = codes.view(n * self.code_size) if isinstance(codes, Pointer) else codes
        return torch.from_numpy(np.array(array, np.uint8)).reshape(n, self.code_size)

    def _refuse(self, operation: str) -> NoReturn:
        raise RuntimeError(f"{type(self).__name__}.{operation}: these inverted lists cannot be written to")


def ids_of(ids: Any, n: int) -> Tensor:
    """n ids behind a pointer or in an array: [n] int64."""
    array: NumpyArray = np.array(ids.view(n) if isinstance(ids, Pointer) else ids, np.int64)
    return torch.from_numpy(array).reshape(n)


class ArrayInvertedLists(InvertedLists):
    """Inverted lists in memory: faiss.ArrayInvertedLists(nlist, code_size).

    A list that is full moves to the end of the arena with twice its room; an arena that is full is laid out anew.
    """

    _codes: Tensor  # [capacity, code_size] uint8
    _ids: Tensor  # [capacity] int64
    _starts: Tensor  # [nlist] int64
    _lengths: Tensor  # [nlist] int64
    _rooms: Tensor  # [nlist] int64
    _used: int  # rows of the arena that lists have room in, or had

    def __init__(self, nlist: int = 0, code_size: int = 0) -> None:
        super().__init__(nlist, code_size)
        if self.nlist < 0 or self.code_size < 0:
            raise TypeError(f"ArrayInvertedLists: nlist and code_size must not be negative, got {nlist}, {code_size}")
        self._clear()

    @classmethod
    def over(cls, codes: Tensor, ids: Tensor, sizes: Tensor) -> ArrayInvertedLists:
        """Lists of these sizes [nlist], one after the other in codes [n, code_size] and ids [n], without a copy."""
        lists = cls(len(sizes), codes.shape[1])
        lists._codes, lists._ids, lists._used = codes, ids, len(ids)
        lists._starts, lists._lengths, lists._rooms = sizes.cumsum(0) - sizes, sizes.clone(), sizes.clone()
        return lists

    def _clear(self) -> None:
        self._codes = torch.empty(0, self.code_size, dtype=torch.uint8)
        self._ids = torch.empty(0, dtype=torch.int64)
        self._starts, self._lengths, self._rooms = torch.zeros(3, self.nlist, dtype=torch.int64).unbind()
        self._used = 0

    def list_size(self, list_no: int) -> int:
        return int(self._lengths[self._number(list_no)])

    def _list(self, list_no: int) -> tuple[Tensor, Tensor]:
        first = int(self._starts[self._number(list_no)])
        rows = slice(first, first + int(self._lengths[list_no]))
        return self._codes[rows], self._ids[rows]

    def _sizes(self) -> Tensor:
        return self._lengths

    def _arena(self, list_nos: Tensor | None = None) -> Arena:
        return Arena(self._codes, self._ids, self._starts, self._lengths)

    def _arenas(self, probes: Tensor) -> Iterator[tuple[slice, Arena]]:
        yield slice(0, len(probes)), self._arena()

    def _extend(self, list_nos: Tensor, codes: Tensor, ids: Tensor) -> Tensor:
        counts = torch.bincount(list_nos, minlength=self.nlist)
        self._make_room(self._lengths + counts)
        order = list_nos.argsort(stable=True)
        offsets = torch.empty_like(list_nos)
        offsets[order] = ranges(self._lengths, counts)
        places = self._starts[list_nos] + offsets
        self._codes[places] = codes
        self._ids[places] = ids
        self._lengths = self._lengths + counts
        return offsets

    def _make_room(self, sizes: Tensor) -> None:
        """Room for lists of these sizes."""
        short = (sizes > self._rooms).nonzero()[:, 0]
        if not len(short):
            return
        rooms = self._rooms.clone()
        rooms[short] = torch.maximum(2 * self._rooms[short], sizes[short])
        if self._used + int(rooms[short].sum()) > len(self._ids):
            self._lay_out(rooms)
            return
        moved = self._used + rooms[short].cumsum(0) - rooms[short]
        old, new = (ranges(starts, self._lengths[short]) for starts in (self._starts[short], moved))
        self._codes[new], self._ids[new] = self._codes[old], self._ids[old]
        self._starts = self._starts.index_copy(0, short, moved)
        self._used += int(rooms[short].sum())
        self._rooms = rooms

    def _lay_out(self, rooms: Tensor) -> None:
        """A new arena where lists have so much room, and some is left at the end unless this is the first."""
        used = int(rooms.sum())
        capacity = used + used // 2 if len(self._ids) else used
        codes = torch.empty(capacity, self.code_size, dtype=torch.uint8)
        ids = torch.empty(capacity, dtype=torch.int64)
        starts = rooms.cumsum(0) - rooms
        for old, new, n in zip(self._starts.tolist(), starts.tolist(), self._lengths.tolist(), strict=True):
            if n:
                codes[new : new + n], ids[new : new + n] = self._codes[old : old + n], self._ids[old : old + n]
        self._codes, self._ids, self._starts, self._rooms, self._used = codes, ids, starts, rooms, used

    def _write(self, list_no: int, offset: int, codes: Tensor, ids: Tensor) -> None:
        held_codes, held_ids = self._list(list_no)
        held_codes[offset : offset + len(ids)], held_ids[offset : offset + len(ids)] = codes, ids

    def resize(self, list_no: int, new_size: int) -> None:
        sizes = self._lengths.clone()
        sizes[self._number(list_no)] = operator.index(new_size)
        self._make_room(sizes)
        self._lengths = sizes

    def reset(self) -> None:
        self._clear()

    def permute_invlists(self, map: Any) -> None:
        """List i becomes what list map[i] was."""
        order = ids_of(map, self.nlist)
        self._starts, self._lengths, self._rooms = self._starts[order], self._lengths[order], self._rooms[order]

    def _number(self, list_no: int) -> int:
        if not 0 <= list_no < self.nlist:
            raise RuntimeError(f"{type(self).__name__}: there is no list {list_no} among {self.nlist}")
        return list_no
