"""FAISS's functions on integers: sorts into buckets, maps from ids to ids, checksums, intersections."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from .pointers import NumpyArray
from .struct import FaissObject


def bucket_sort(tab: Any, nbucket: int | None = None, nt: int = 0) -> tuple[NumpyArray, NumpyArray]:
    """Sort integers tab [n] from 0 to nbucket - 1 (None: up to the largest) by value.

    Returns lims [nbucket + 1] int64 and perm [n] int64: perm[lims[i]:lims[i + 1]] are the places of i, ascending. `nt`
    is FAISS's number of threads and has no effect. Raises ValueError for integers outside.
    """
    values = np.asarray(tab, np.int64).reshape(-1)
    nbucket = int(values.max() + 1) if nbucket is None else operator.index(nbucket)
    if len(values) and not (values.min() >= 0 and values.max() < nbucket):
        raise ValueError(f"bucket_sort: integers must be from 0 to {nbucket - 1}, got {values.min()} to {values.max()}")
    lims = np.zeros(nbucket + 1, np.int64)
    np.cumsum(np.bincount(values, minlength=nbucket), out=lims[1:])
    return lims, values.argsort(kind="stable")


def matrix_bucket_sort_inplace(tab: NumpyArray, nbucket: int | None = None, nt: int = 0) -> NumpyArray:
    """Sort a matrix of buckets tab [n, m] int32 or int64 by value, and replace its elements by their row numbers.

    Returns lims [nbucket + 1] int64: tab.ravel()[lims[i]:lims[i + 1]] are then the rows that had i, ascending. Raises
    AssertionError for another dtype, ValueError for what bucket_sort refuses.
    """
    if tab.dtype not in (np.int32, np.int64):
        raise AssertionError(f"matrix_bucket_sort_inplace: tab must be int32 or int64, got {tab.dtype}")
    if tab.ndim != 2:
        raise ValueError(f"matrix_bucket_sort_inplace: tab must be [n, m], got {list(tab.shape)}")
    lims, places = bucket_sort(tab, nbucket)
    tab[...] = (places // max(1, tab.shape[1])).reshape(tab.shape)
    return lims


def eval_intersection(I1: Any, I2: Any) -> int:
    """How many ids the rows of I1 [n, k1] and I2 [n, k2] have in common; negative ids do not count."""
    I1, I2 = np.asarray(I1, np.int64), np.asarray(I2, np.int64)
    if I1.ndim != 2 or I2.ndim != 2 or len(I1) != len(I2):
        raise AssertionError(f"eval_intersection: tables of n rows are needed, got {list(I1.shape)}, {list(I2.shape)}")
    return sum(int((np.intersect1d(row, other) >= 0).sum()) for row, other in zip(I1, I2, strict=True))


def checksum(a: NumpyArray) -> Any:
    """FAISS's checksum of the bytes of a [n], or of each row of a [n, d] as [n] uint64."""
    bytes_ = np.ascontiguousarray(a).view(np.uint8)
    if bytes_.ndim == 1:
        return int(_checksums(bytes_[None])[0])
    return _checksums(bytes_)


def _checksums(rows: NumpyArray) -> NumpyArray:
    """Of bytes [n, d]: from 112909 on c * 65713 + (a * 1686049 mod 2^32) for every 32-bit word a, the last one first,
    and then for every byte behind the words, modulo 2^64."""
    whole = rows.shape[1] // 4 * 4
    words = np.ascontiguousarray(rows[:, :whole]).view("<u4")
    sums = np.full(len(rows), 112909, np.uint64)
    for column in [*words.T[::-1], *rows[:, whole:].T]:
        sums = sums * np.uint64(65713) + column.astype(np.uint32) * np.uint32(1686049)
    return sums


class MapInt64ToInt64:
    """Values by key: the first value that a key got; -1 where it has none. `capacity` is a power of 2."""

    def __init__(self, capacity: int) -> None:
        self.capacity = operator.index(capacity)
        self.log2_capacity = self.capacity.bit_length() - 1
        if self.capacity != 2**self.log2_capacity:
            raise AssertionError(f"MapInt64ToInt64: capacity must be a power of 2, got {capacity}")
        self._values: dict[int, int] = {}

    def add(self, keys: NumpyArray, vals: NumpyArray) -> None:
        """keys and vals [n] int64. Raises RuntimeError, as FAISS does, beyond the capacity."""
        for key, value in _pairs("MapInt64ToInt64.add", keys, vals):
            if key not in self._values and len(self._values) == self.capacity:
                raise RuntimeError(f"MapInt64ToInt64.add: there is room for {self.capacity} keys only")
            self._values.setdefault(key, value)

    def lookup(self, keys: NumpyArray) -> NumpyArray:
        """The values of keys [n], [n] int64."""
        return np.array([self._values.get(key, -1) for key in keys.tolist()], np.int64)


class MapLong2Long(FaissObject):
    """Values by key: the last value that a key got; -1 where it has none."""

    def __init__(self) -> None:
        self._values: dict[int, int] = {}

    def add(self, keys: NumpyArray, vals: NumpyArray) -> None:
        """keys and vals [n] int64."""
        self._values.update(_pairs("MapLong2Long.add", keys, vals))

    def search(self, key: int) -> int:
        return self._values.get(operator.index(key), -1)

    def search_multiple(self, keys: NumpyArray) -> NumpyArray:
        """The values of keys [n], [n] int64."""
        return np.array([self._values.get(key, -1) for key in keys.tolist()], np.int64)


def _pairs(operation: str, keys: NumpyArray, values: NumpyArray) -> zip[tuple[int, int]]:
    if keys.ndim != 1 or keys.shape != values.shape:
        raise AssertionError(f"{operation}: keys and values must be [n], got {list(keys.shape)}, {list(values.shape)}")
    return zip(keys.tolist(), values.tolist(), strict=True)
