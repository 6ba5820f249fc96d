"""Inverted lists in a memory-mapped file, laid out as FAISS's OnDiskInvertedLists."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..pointers import NumpyArray
from ..vectors import ObjectVector
from .inverted_lists import InvertedLists

_NOWHERE = -1  # the offset of a list without room
_ID_BYTES = 8


class OnDiskInvertedLists(InvertedLists):
    """Inverted lists in a file: faiss.OnDiskInvertedLists(nlist, code_size, filename).

    A list with room for n vectors takes n codes and then n ids (int64), from its offset on. The file is made by the
    first vectors; lists grow to powers of two, and what they leave is used again. Searches copy the lists that they
    visit, part after part.
    """

    filename: str = ""
    totsize: int = 0
    read_only: bool = False
    prefetch_nthread: int = 32
    _table: NumpyArray  # [nlist, 3] int64: the size, the room and the offset of each list
    _slots: list[tuple[int, int]]  # offset and bytes of what no list uses, in order
    _memory: NumpyArray | None = None  # [totsize] uint8

    def __init__(self, nlist: int = 0, code_size: int = 0, filename: str | os.PathLike[str] = "") -> None:
        super().__init__(nlist, code_size)
        self.filename = os.fspath(filename)
        self._table = np.tile(np.array([0, 0, _NOWHERE], np.int64), (self.nlist, 1))
        self._slots = []

    @classmethod
    def over(cls, memory: NumpyArray, sizes: NumpyArray, code_size: int) -> OnDiskInvertedLists:
        """Read-only lists of these sizes [nlist] in memory [bytes], one after the other: codes, then ids."""
        lists = cls(len(sizes), code_size)
        bytes_ = sizes.astype(np.int64) * (code_size + _ID_BYTES)
        lists._table = np.stack([sizes, sizes, bytes_.cumsum() - bytes_], 1).astype(np.int64)
        lists._memory, lists.totsize, lists.read_only = memory, len(memory), True
        return lists

    def do_mmap(self) -> None:
        """Map the file again. Raises RuntimeError if it is not there or too short."""
        self._memory = None
        if not self.totsize:
            return
        try:
            # A read-only file is mapped copy on write: torch wants memory that could be written to.
            mode = "c" if self.read_only else "r+"
            self._memory = np.memmap(self.filename, np.uint8, mode=mode, shape=(self.totsize,))  # type: ignore[call-overload]
        except (OSError, ValueError) as error:
            raise RuntimeError(f"OnDiskInvertedLists: could not map {self.filename}: {error}") from error

    def list_size(self, list_no: int) -> int:
        return int(self._table[list_no, 0])

    def _sizes(self) -> Tensor:
        return torch.from_numpy(self._table[:, 0].copy())

    def _views(self, list_no: int) -> tuple[NumpyArray, NumpyArray]:
        """codes [n, code_size] and ids [n] in the file."""
        size, room, offset = self._table[list_no].tolist()
        if not size:
            return np.empty((0, self.code_size), np.uint8), np.empty(0, np.int64)
        if self._memory is None:
            raise RuntimeError("OnDiskInvertedLists: the file is not mapped; do_mmap maps it")
        ids = offset + room * self.code_size
        codes = self._memory[offset : offset + size * self.code_size].reshape(size, self.code_size)
        return codes, self._memory[ids : ids + size * _ID_BYTES].view("<i8")

    def _list(self, list_no: int) -> tuple[Tensor, Tensor]:
        codes, ids = self._views(list_no)
        return torch.from_numpy(np.array(codes)), torch.from_numpy(np.array(ids))  # ids may be unaligned

    def _extend(self, list_nos: Tensor, codes: Tensor, ids: Tensor) -> Tensor:
        offsets = torch.empty_like(list_nos)
        for list_no in torch.unique(list_nos).tolist():
            mine = (list_nos == list_no).nonzero()[:, 0]
            first = self.list_size(list_no)
            self.resize(list_no, first + len(mine))
            self._write(list_no, first, codes[mine], ids[mine])
            offsets[mine] = first + torch.arange(len(mine))
        return offsets

    def _write(self, list_no: int, offset: int, codes: Tensor, ids: Tensor) -> None:
        self._require_writable()
        held_codes, held_ids = self._views(list_no)
        held_codes[offset : offset + len(ids)] = codes.numpy()
        held_ids[offset : offset + len(ids)] = ids.numpy()

    def resize(self, list_no: int, new_size: int) -> None:
        self._require_writable()
        _, room, offset = self._table[list_no].tolist()
        if room // 2 < new_size <= room:
            self._table[list_no, 0] = new_size
            return
        codes, ids = (held[:new_size].copy() for held in self._views(list_no))
        self._free(offset, room * (self.code_size + _ID_BYTES))
        self._table[list_no] = 0, 0, _NOWHERE
        if new_size:
            room = 1 << (new_size - 1).bit_length()
            self._table[list_no] = new_size, room, self._allocate(room * (self.code_size + _ID_BYTES))
            held_codes, held_ids = self._views(list_no)
            held_codes[: len(ids)], held_ids[: len(ids)] = codes, ids

    def _allocate(self, size: int) -> int:
        """The offset of `size` bytes that were free: the first that fit, of a file of twice the size if none do."""
        fitting = next((i for i, (_, free) in enumerate(self._slots) if free >= size), None)
        if fitting is None:
            total = self.totsize * 2 or 32
            while total - self.totsize < size:
                total *= 2
            self._grow(total)
            return self._allocate(size)
        offset, free = self._slots.pop(fitting)
        if free > size:
            self._slots.insert(fitting, (offset + size, free - size))
        return offset

    def _free(self, offset: int, size: int) -> None:
        if not size:
            return
        joined: list[tuple[int, int]] = []
        for start, free in sorted([*self._slots, (offset, size)]):
            if joined and sum(joined[-1]) == start:
                joined[-1] = joined[-1][0], joined[-1][1] + free
            else:
                joined.append((start, free))
        self._slots = joined

    def _grow(self, total: int) -> None:
        if isinstance(self._memory, np.memmap):
            self._memory.flush()
        with Path(self.filename).open("r+b" if self.totsize else "wb") as file:
            file.truncate(total)
        first, self.totsize = self.totsize, total
        self._free(first, total - first)
        self.do_mmap()

    def merge_from_multiple(
        self, ils: Any, n_il: int | None = None, shift_ids: bool = False, verbose: bool = False
    ) -> int:
        """Fill these lists, which must be empty, from a list of others (or InvertedListsPtrVector.data()), compactly.

        shift_ids: ids of each of them continue after those before it. Returns the number of vectors.
        """
        sources: list[InvertedLists] = list(ils)[:n_il]
        if self.totsize:
            raise RuntimeError("OnDiskInvertedLists.merge_from_multiple: the lists must be empty")
        if any((il.nlist, il.code_size) != (self.nlist, self.code_size) for il in sources):
            raise RuntimeError("OnDiskInvertedLists.merge_from_multiple: all lists must be of one nlist and code_size")
        totals = [il.compute_ntotal() for il in sources]
        shifts = np.cumsum([0, *totals]) if shift_ids else np.zeros(len(sources) + 1, np.int64)
        sizes = sum((il._sizes().numpy() for il in sources), np.zeros(self.nlist, np.int64))
        self.set_all_lists_sizes(sizes)
        total = int(sizes.sum()) * (self.code_size + _ID_BYTES)
        if total:
            self._grow(total)
            self._slots = []
        for list_no in range(self.nlist):
            first = 0
            for il, shift in zip(sources, shifts.tolist(), strict=False):
                codes, ids = il._list(list_no)
                self._write(list_no, first, codes, ids + shift)
                first += len(ids)
        return int(sizes.sum())

    def merge_from_1(self, il: InvertedLists, verbose: bool = False) -> int:
        """`merge_from_multiple` of one."""
        return self.merge_from_multiple([il], 1, verbose=verbose)

    def set_all_lists_sizes(self, sizes: Any) -> None:
        """Lay lists of these sizes [nlist] out one after the other, without writing to the file."""
        array = np.asarray(sizes.view(self.nlist) if hasattr(sizes, "address") else sizes).astype(np.int64)
        bytes_ = array * (self.code_size + _ID_BYTES)
        self._table = np.stack([array, array, bytes_.cumsum() - bytes_], 1)

    def crop_invlists(self, l0: int, l1: int) -> None:
        """Keep lists l0 ... l1 - 1 only."""
        if not 0 <= l0 <= l1 <= self.nlist:
            raise RuntimeError(f"OnDiskInvertedLists.crop_invlists: lists must be within {self.nlist}, got {l0}, {l1}")
        self._table = self._table[l0:l1].copy()
        self.nlist = l1 - l0

    def _require_writable(self) -> None:
        if self.read_only:
            raise RuntimeError("OnDiskInvertedLists: these lists were read as read-only")

    def __deepcopy__(self, memo: dict[int, Any]) -> OnDiskInvertedLists:
        """Of the same file."""
        clone = object.__new__(type(self))
        clone.__dict__.update(self.__dict__, _table=self._table.copy(), _slots=list(self._slots))
        return clone


class InvertedListsPtrVector(ObjectVector):
    """std::vector of inverted lists."""

    def data(self) -> Sequence[InvertedLists]:
        """What merge_from_multiple and the stacked lists take."""
        return self._items
