"""FAISS's flat indexes on top of FlatIndex."""

from __future__ import annotations

import copy
import operator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..index import FlatIndex
from ..ops.arrays import Metric
from .arrays import float32_rows, in_kind_of, within_float32

METRIC_INNER_PRODUCT = 0
METRIC_L2 = 1


def metric_name(operation: str, metric: int) -> Metric:
    """fastret's name of a FAISS metric."""
    if metric not in (METRIC_INNER_PRODUCT, METRIC_L2):
        raise ValueError(
            f"{operation}: metric must be METRIC_INNER_PRODUCT (0) or METRIC_L2 (1), got {metric!r}; "
            "real faiss has the others"
        )
    return "ip" if metric == METRIC_INNER_PRODUCT else "l2"


class Index:
    """What FAISS calls every index; here the base of the flat ones, for annotations and isinstance."""

    # No instance dictionary: setting an attribute that FAISS does not have is an AttributeError there too.
    __slots__ = ()


class IndexFlat(Index):
    """Exact search over float32 vectors numbered 0, 1, 2, ...: faiss.IndexFlat(d, metric).

    As in FAISS: numpy of any real dtype goes in and is cast to float32; scores come out as float32 and ids as
    int64; short results are padded with id -1 and score -3.4028235e38 (inner product) or 3.4028235e38 (L2); a
    wrong dimension or k <= 0 is an AssertionError, vectors that are not 2-D are a ValueError. Beyond FAISS: torch
    tensors go in, and then tensors come out. Unlike FAISS on purpose: of equal scores the smaller id is first, and once
    searches have made it worth it, packed vectors take a quarter more memory.
    """

    __slots__ = ("_stored", "is_trained", "metric_arg", "verbose")

    def __init__(self, d: int = 0, metric: int = METRIC_L2) -> None:
        self._stored = FlatIndex(operator.index(d), metric_name(type(self).__name__, metric))
        self.is_trained = True
        self.metric_arg = 0.0
        self.verbose = False

    @property
    def d(self) -> int:
        return self._stored.dim

    @property
    def metric_type(self) -> int:
        return METRIC_INNER_PRODUCT if self._stored.metric == "ip" else METRIC_L2

    @property
    def ntotal(self) -> int:
        return self._stored.ntotal

    @property
    def code_size(self) -> int:
        """Bytes per vector."""
        return 4 * self.d

    def __copy__(self) -> IndexFlat:
        return copy.deepcopy(self)

    @property
    def vectors(self) -> Tensor:
        """[ntotal, d] float32: a view, not to be written to. FAISS does not have it."""
        return self._stored.vectors

    def __repr__(self) -> str:
        return f"{type(self).__name__}(d={self.d}, metric_type={self.metric_type}, ntotal={self.ntotal})"

    def train(self, x: Any) -> None:
        """Nothing to learn; checks the shape."""
        float32_rows(self._named("train"), x, self.d)

    def add(self, x: Any) -> None:
        """Append vectors x [n, d]."""
        self._stored.add(float32_rows(self._named("add"), x, self.d))

    def add_with_ids(self, x: Any, ids: Any) -> None:
        """Flat indexes number their vectors themselves: a RuntimeError, as in FAISS."""
        raise RuntimeError(
            f"{self._named('add_with_ids')}: a flat index numbers its own vectors; fastret.FlatIndex takes ids"
        )

    def reset(self) -> None:
        """Forget every vector."""
        self._stored.reset()

    def remove_ids(self, x: Any) -> int:
        """Remove the ids in x [n] and return how many there were. Later vectors move down, as in FAISS."""
        ids = np.asarray(x)
        if ids.ndim != 1:
            raise AssertionError(f"{self._named('remove_ids')}: ids must be 1-D, got shape {ids.shape}")
        removed = self._stored.remove(ids.astype(np.int64))
        if removed:
            vectors = self._stored.vectors
            self._stored.reset()
            self._stored.add(vectors)
        return removed

    def search(self, x: Any, k: int, *, params: None = None, D: Any = None, I: Any = None) -> tuple[Any, Any]:  # noqa: E741
        """The k best of each query x [n, d]: scores D [n, k] float32 and ids I [n, k] int64.

        Arrays passed as D and I are filled and returned.
        """
        operation = self._named("search")
        queries = float32_rows(operation, x, self.d)
        k = operator.index(k)
        if k <= 0:
            raise AssertionError(f"{operation}: k must be positive, got {k}")
        if params is not None:
            raise TypeError(f"{operation}: params is not supported; real faiss has search parameters")
        scores, ids = within_float32(*self._stored.search(queries, k), self._stored.metric)
        return _fill(operation, D, in_kind_of(x, scores)), _fill(operation, I, in_kind_of(x, ids))

    def assign(self, x: Any, k: int) -> Any:
        """The ids that `search` returns."""
        return self.search(x, k)[1]

    def range_search(self, x: Any, thresh: float, *, params: None = None) -> tuple[Any, Any, Any]:
        """Neighbours with score > thresh (inner product) or < thresh (L2) as (lims uint64 [n + 1], D, I).

        Those of query i are at lims[i]:lims[i + 1], in ascending order of id.
        """
        operation = self._named("range_search")
        if params is not None:
            raise TypeError(f"{operation}: params is not supported; real faiss has search parameters")
        lims, scores, ids = self._stored.range_search(float32_rows(operation, x, self.d), thresh)
        return in_kind_of(x, lims.to(torch.uint64)), in_kind_of(x, scores), in_kind_of(x, ids)

    def reconstruct(self, key: int, x: Any = None) -> Any:
        """A copy of vector `key`, [d] float32. Raises RuntimeError if there is none."""
        return self._rows("reconstruct", operator.index(key), 1, x, (self.d,))

    def reconstruct_n(self, n0: int = 0, ni: int = -1, x: Any = None) -> Any:
        """Copies of vectors n0 ... n0 + ni - 1, [ni, d] float32; ni = -1 means up to the last."""
        n0, ni = operator.index(n0), operator.index(ni)
        ni = self.ntotal - n0 if ni == -1 else ni
        if ni < 0:
            raise ValueError(f"{self._named('reconstruct_n')}: ni must not be negative, got {ni}")
        return self._rows("reconstruct_n", n0, ni, x, (ni, self.d))

    def _rows(self, operation: str, first: int, n: int, out: Any, shape: tuple[int, ...]) -> Any:
        if n and not 0 <= first <= self.ntotal - n:
            raise RuntimeError(
                f"{self._named(operation)}: vectors {first} to {first + n - 1} were asked for, "
                f"the index holds {self.ntotal}"
            )
        rows = self.vectors[first : first + n].numpy().reshape(shape).copy()
        return _fill(self._named(operation), out, rows)

    def _named(self, operation: str) -> str:
        return f"{type(self).__name__}.{operation}"


class IndexFlatIP(IndexFlat):
    """Exact search by inner product: faiss.IndexFlatIP(d)."""

    __slots__ = ()

    def __init__(self, d: int = 0) -> None:
        super().__init__(d, METRIC_INNER_PRODUCT)


class IndexFlatL2(IndexFlat):
    """Exact search by squared L2 distance: faiss.IndexFlatL2(d)."""

    __slots__ = ()

    def __init__(self, d: int = 0) -> None:
        super().__init__(d, METRIC_L2)


def _fill(operation: str, out: Any, result: Any) -> Any:
    """`result`, or the caller's array `out` filled with it."""
    if out is None:
        return result
    if tuple(out.shape) != tuple(result.shape):
        raise AssertionError(f"{operation}: the array to fill must be {list(result.shape)}, got {list(out.shape)}")
    if out.dtype != result.dtype:
        raise TypeError(f"{operation}: the array to fill must be {result.dtype}, got {out.dtype}")
    out[...] = result
    return out
