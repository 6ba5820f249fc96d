"""Which ids a search may find, or remove_ids removes: FAISS's IDSelector and its kinds."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from .pointers import Pointer
from .struct import FaissObject
from .vectors import Int64Vector


class IDSelector(FaissObject):
    """A set of ids. A subclass of one's own needs `is_member` alone."""

    def is_member(self, id: int) -> bool:
        return bool(self.members(torch.tensor([id]))[0])

    def members(self, ids: Tensor) -> Tensor:
        """Which of `ids` [n] int64 are in it: [n] bool. FAISS does not have it."""
        return torch.tensor([bool(self.is_member(id)) for id in ids.tolist()], dtype=torch.bool)


class IDSelectorAll(IDSelector):
    """Every id."""

    def members(self, ids: Tensor) -> Tensor:
        return torch.ones(len(ids), dtype=torch.bool)


class IDSelectorRange(IDSelector):
    """imin <= id < imax; `assume_sorted` promises that lists hold their ids in ascending order."""

    imin: int = 0
    imax: int = 0
    assume_sorted: bool = False

    def __init__(self, imin: int, imax: int, assume_sorted: bool = False) -> None:
        self.imin, self.imax, self.assume_sorted = int(imin), int(imax), bool(assume_sorted)

    def members(self, ids: Tensor) -> Tensor:
        return (ids >= self.imin) & (ids < self.imax)


class IDSelectorBatch(IDSelector):
    """The ids in an array [n]; also as (n, pointer), as in C++."""

    def __init__(self, *indices: Any) -> None:
        self._ids = torch.from_numpy(flat_array(type(self).__name__, indices, np.int64))

    @property
    def n(self) -> int:
        return len(self._ids)

    def members(self, ids: Tensor) -> Tensor:
        return torch.isin(ids, self._ids)


class IDSelectorArray(IDSelectorBatch):
    """The ids in an array [n]."""


class IDSelectorBitmap(IDSelector):
    """The ids whose bit is set: bit i % 8 of byte i // 8 of an array of uint8; also as (n, pointer)."""

    def __init__(self, *bitmap: Any) -> None:
        self._bitmap = flat_array(type(self).__name__, bitmap, np.uint8)

    @property
    def n(self) -> int:
        return len(self._bitmap)

    def members(self, ids: Tensor) -> Tensor:
        numbers = ids.numpy()
        inside = (numbers >= 0) & (numbers >> 3 < len(self._bitmap))
        numbers = np.where(inside, numbers, 0)
        if not len(self._bitmap):
            return torch.zeros(len(ids), dtype=torch.bool)
        return torch.from_numpy(inside & (self._bitmap[numbers >> 3] >> (numbers & 7) & 1).astype(bool))


class IDSelectorNot(IDSelector):
    """The ids that are not in another selector."""

    sel: IDSelector

    def __init__(self, sel: IDSelector) -> None:
        object.__setattr__(self, "sel", _selector(self, "sel", sel))

    def members(self, ids: Tensor) -> Tensor:
        return ~self.sel.members(ids)


class _IDSelectorOfTwo(IDSelector):
    lhs: IDSelector
    rhs: IDSelector

    def __init__(self, lhs: IDSelector, rhs: IDSelector) -> None:
        object.__setattr__(self, "lhs", _selector(self, "lhs", lhs))
        object.__setattr__(self, "rhs", _selector(self, "rhs", rhs))


class IDSelectorAnd(_IDSelectorOfTwo):
    """The ids that are in both selectors."""

    def members(self, ids: Tensor) -> Tensor:
        return self.lhs.members(ids) & self.rhs.members(ids)


class IDSelectorOr(_IDSelectorOfTwo):
    """The ids that are in one selector or both."""

    def members(self, ids: Tensor) -> Tensor:
        return self.lhs.members(ids) | self.rhs.members(ids)


class IDSelectorXOr(_IDSelectorOfTwo):
    """The ids that are in one selector and not in the other."""

    def members(self, ids: Tensor) -> Tensor:
        return self.lhs.members(ids) ^ self.rhs.members(ids)


class IDSelectorTranslated(IDSelector):
    """The positions whose id, in `id_map` (an Int64Vector, or a tensor [n] int64), is in another selector."""

    def __init__(self, id_map: Int64Vector | Tensor, sel: IDSelector) -> None:
        self._id_map = id_map if isinstance(id_map, Tensor) else torch.from_numpy(id_map.array().copy())
        self._sel = sel

    def members(self, ids: Tensor) -> Tensor:
        return self._sel.members(self._id_map[ids])


class PyCallbackIDSelector(IDSelector):
    """The ids for which a Python function is true."""

    def __init__(self, callback: Any) -> None:
        self._callback = callback

    def is_member(self, id: int) -> bool:
        return bool(self._callback(id))


def flat_array(operation: str, arguments: tuple[Any, ...], dtype: type[np.generic]) -> np.ndarray[Any, Any]:
    """The one array argument, or the first n elements behind (n, pointer), as 1-D."""
    if len(arguments) == 2:
        n, pointer = arguments
        elements = pointer.view(int(n)) if isinstance(pointer, Pointer) else np.asarray(pointer).reshape(-1)[: int(n)]
        return np.array(elements, dtype=dtype)
    if len(arguments) != 1:
        raise TypeError(f"{operation}: an array, or n and a pointer, are needed, got {len(arguments)} arguments")
    array = np.asarray(arguments[0])
    if array.ndim != 1:
        raise AssertionError(f"{operation}: the array must be 1-D, got shape {list(array.shape)}")
    return np.array(array, dtype=dtype)


def selector_of(operation: str, x: Any) -> IDSelector:
    """A selector, or an array of ids [n], as a selector."""
    return x if isinstance(x, IDSelector) else IDSelectorBatch(x)


def _selector(owner: IDSelector, name: str, sel: IDSelector) -> IDSelector:
    if not isinstance(sel, IDSelector):
        raise TypeError(f"{type(owner).__name__}: {name} must be an IDSelector, got {type(sel).__name__}")
    return sel
