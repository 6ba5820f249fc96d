"""Inverted lists made of others: stacked, sliced, masked and without stop words. All are read-only."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor

from .inverted_lists import InvertedLists


class ReadOnlyInvertedLists(InvertedLists):
    """Inverted lists that cannot be written to: a RuntimeError."""


class HStackInvertedLists(ReadOnlyInvertedLists):
    """List i holds the vectors of list i of every one of several inverted lists."""

    def __init__(self, nil: int, ils: Any) -> None:
        self._parts: list[InvertedLists] = list(ils)[: operator.index(nil)]
        if not self._parts:
            raise RuntimeError("HStackInvertedLists: at least one set of inverted lists is needed")
        if len({(part.nlist, part.code_size) for part in self._parts}) > 1:
            raise RuntimeError("HStackInvertedLists: all must be of one nlist and code_size")
        super().__init__(self._parts[0].nlist, self._parts[0].code_size)

    def list_size(self, list_no: int) -> int:
        return sum(part.list_size(list_no) for part in self._parts)

    def _list(self, list_no: int) -> tuple[Tensor, Tensor]:
        codes, ids = zip(*(part._list(list_no) for part in self._parts), strict=True)
        return torch.cat(codes), torch.cat(ids)


class VStackInvertedLists(ReadOnlyInvertedLists):
    """The lists of the first of several inverted lists, then those of the second, and so on."""

    def __init__(self, nil: int, ils: Any) -> None:
        parts: list[InvertedLists] = list(ils)[: operator.index(nil)]
        if len({part.code_size for part in parts}) > 1:
            raise RuntimeError("VStackInvertedLists: all must be of one code_size")
        self._places = [(part, list_no) for part in parts for list_no in range(part.nlist)]
        super().__init__(len(self._places), parts[0].code_size if parts else 0)

    def list_size(self, list_no: int) -> int:
        part, mine = self._places[list_no]
        return part.list_size(mine)

    def _list(self, list_no: int) -> tuple[Tensor, Tensor]:
        part, mine = self._places[list_no]
        return part._list(mine)


class SliceInvertedLists(ReadOnlyInvertedLists):
    """Lists i0 ... i1 - 1 of other inverted lists."""

    def __init__(self, il: InvertedLists, i0: int, i1: int) -> None:
        if not 0 <= i0 <= i1 <= il.nlist:
            raise RuntimeError(f"SliceInvertedLists: lists must be within {il.nlist}, got {i0} to {i1}")
        super().__init__(i1 - i0, il.code_size)
        self._whole, self._first = il, i0

    def list_size(self, list_no: int) -> int:
        return self._whole.list_size(self._first + list_no)

    def _list(self, list_no: int) -> tuple[Tensor, Tensor]:
        return self._whole._list(self._first + list_no)


class MaskedInvertedLists(ReadOnlyInvertedLists):
    """The lists of il0 that are not empty, and those of il1 for the others."""

    def __init__(self, il0: InvertedLists, il1: InvertedLists) -> None:
        if (il0.nlist, il0.code_size) != (il1.nlist, il1.code_size):
            raise RuntimeError("MaskedInvertedLists: both must be of one nlist and code_size")
        super().__init__(il0.nlist, il0.code_size)
        self._upper, self._lower = il0, il1

    def _source(self, list_no: int) -> InvertedLists:
        return self._upper if self._upper.list_size(list_no) else self._lower

    def list_size(self, list_no: int) -> int:
        return self._source(list_no).list_size(list_no)

    def _list(self, list_no: int) -> tuple[Tensor, Tensor]:
        return self._source(list_no)._list(list_no)


class StopWordsInvertedLists(ReadOnlyInvertedLists):
    """Other inverted lists, of which those of maxsize vectors or more are empty."""

    maxsize: int = 0

    def __init__(self, il: InvertedLists, maxsize: int) -> None:
        super().__init__(il.nlist, il.code_size)
        self._whole, self.maxsize = il, operator.index(maxsize)

    def list_size(self, list_no: int) -> int:
        size = self._whole.list_size(list_no)
        return size if size < self.maxsize else 0

    def _list(self, list_no: int) -> tuple[Tensor, Tensor]:
        codes, ids = self._whole._list(list_no)
        kept = self.list_size(list_no)
        return codes[:kept], ids[:kept]
