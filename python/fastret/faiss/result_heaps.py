"""The best of results that come in parts: ResultHeap, merge_knn_results, kmin and kmax."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .arrays import FLT_MAX
from .pointers import NumpyArray
from .ranking import ranked


def kmin(array: Any, k: int) -> tuple[NumpyArray, NumpyArray]:
    """The k smallest values of each row of array [n, m] and their columns, of equal values the smaller column first."""
    return _columns("kmin", array, k, keep_max=False)


def kmax(array: Any, k: int) -> tuple[NumpyArray, NumpyArray]:
    """The k largest values of each row of array [n, m] and their columns, of equal values the smaller column first."""
    return _columns("kmax", array, k, keep_max=True)


class ResultHeap:
    """The k best results of nq queries, of which more may come: D [nq, k] float32 and I [nq, k] int64.

    They are in order at any time, of equal scores the smaller id first. keep_max: more is better.
    """

    def __init__(self, nq: int, k: int, keep_max: bool = False) -> None:
        self.nq, self.k, self.keep_max = operator.index(nq), operator.index(k), bool(keep_max)
        self.D = np.full((self.nq, self.k), -FLT_MAX if keep_max else FLT_MAX, np.float32)
        self.I = np.full((self.nq, self.k), -1, np.int64)

    def add_result(self, D: Any, I: Any) -> None:  # noqa: E741
        """Results of every query: D and I [nq, n], in any order. Raises AssertionError for other shapes."""
        if len(D) != self.nq or np.shape(I) != np.shape(D):
            raise AssertionError(
                f"ResultHeap.add_result: D and I must be [{self.nq}, n] both, "
                f"got {list(np.shape(D))} and {list(np.shape(I))}"
            )
        self.add_result_subset(np.arange(self.nq), D, I)

    def add_result_subset(self, subset: Any, D: Any, I: Any) -> None:  # noqa: E741
        """Results of the queries `subset` [s], each once: D [s, n], and I [s, n], or [n] for all of them."""
        subset = np.asarray(subset, np.int64)
        scores, ids = np.asarray(D, np.float32), np.asarray(I, np.int64)
        if scores.ndim != 2 or len(scores) != len(subset) or ids.shape not in (scores.shape, scores.shape[1:]):
            raise AssertionError(
                f"ResultHeap: D must be [{len(subset)}, n] and I of its shape or [n], "
                f"got {list(scores.shape)} and {list(ids.shape)}"
            )
        scores = np.concatenate([self.D[subset], scores], 1)
        ids = np.concatenate([self.I[subset], np.broadcast_to(ids, (len(subset), ids.shape[-1]))], 1)
        # As in FAISS's heaps, whatever surpasses the worst float32 is a result.
        found = torch.from_numpy(scores > -FLT_MAX if self.keep_max else scores < FLT_MAX)
        kept = torch.from_numpy(scores), torch.from_numpy(ids), self.k
        best, best_ids = ranked(*kept, similarity=self.keep_max, found=found)
        self.D[subset], self.I[subset] = best.numpy(), best_ids.numpy()

    def finalize(self) -> None:
        """Nothing to do: D and I are in order."""


def merge_knn_results(Dall: Any, Iall: Any, keep_max: bool = False) -> tuple[NumpyArray, NumpyArray]:
    """The k best of the results of several shards: D and I [n, k] of Dall and Iall [shards, n, k].

    Of equal scores the smaller id comes first; a negative id is no result. Raises AssertionError for other shapes.
    """
    scores, ids = np.asarray(Dall), np.asarray(Iall)
    if scores.ndim != 3 or scores.shape != ids.shape:
        raise AssertionError(
            "merge_knn_results: Dall and Iall must be [shards, n, k] both, "
            f"got {list(scores.shape)} and {list(ids.shape)}"
        )
    if scores.dtype not in (np.float32, np.int32) or ids.dtype != np.int64:
        raise TypeError(
            f"merge_knn_results: Dall must be float32 or int32 and Iall int64, got {scores.dtype} and {ids.dtype}"
        )
    best, best_ids = merged(torch.from_numpy(scores).float(), torch.from_numpy(ids), similarity=keep_max)
    if scores.dtype == np.int32:
        best = best.clamp(-(2**31), 2**31 - 128)  # the padding; the greatest float32 that an int32 can be
    return best.numpy().astype(scores.dtype), best_ids.numpy()


def merged(scores: Tensor, ids: Tensor, *, similarity: bool) -> tuple[Tensor, Tensor]:
    """The k best of scores and ids [shards, n, k], as `ranked`."""
    shards, n, k = scores.shape
    by_query = (n, shards * k)
    scores, ids = scores.transpose(0, 1).reshape(by_query), ids.transpose(0, 1).reshape(by_query)
    return ranked(scores, ids, k, similarity=similarity)


def _columns(operation: str, array: Any, k: int, *, keep_max: bool) -> tuple[NumpyArray, NumpyArray]:
    values = np.ascontiguousarray(array, np.float32)
    if values.ndim != 2:
        raise ValueError(f"{operation}: the array must be [n, m], got {list(values.shape)}")
    columns = torch.arange(values.shape[1]).expand(values.shape)
    best, ids = ranked(torch.from_numpy(values), columns, operator.index(k), similarity=keep_max)
    return best.numpy(), ids.numpy()
