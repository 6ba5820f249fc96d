"""Exact k-means of numbers: kmeans1d and Clustering1D."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..arrays import float32_rows
from ..pointers import Pointer, rev_swig_ptr
from .clustering import Clustering, ClusteringIterationStats, ClusteringParameters


class Clustering1D(Clustering):
    """The clusters of numbers whose squared distances from the centroids are the least that is possible."""

    def __init__(self, k: int, cp: ClusteringParameters | None = None) -> None:
        super().__init__(1, k, cp)

    def train_exact(self, x: Any) -> None:
        """Cluster x [n, 1] into centroids [k, 1] that ascend. Raises RuntimeError for fewer than k numbers."""
        rows = float32_rows(self._named("train_exact"), x, 1)
        if len(rows) > self.k * self.max_points_per_centroid:
            rows = rows[self._sample(len(rows))[0]]
        centroids, imbalance = _clustered(rows[:, 0].numpy(), self.k)
        self._centroids = torch.from_numpy(centroids)[:, None]
        statistics = ClusteringIterationStats()
        statistics.imbalance_factor = imbalance
        self.iteration_stats.push_back(statistics)


def kmeans1d(x: Pointer, n: int, nclusters: int, centroids: Pointer) -> float:
    """Exact clusters of x [n] into `centroids` [nclusters]; returns the imbalance factor."""
    found, imbalance = _clustered(rev_swig_ptr(x, n), operator.index(nclusters))
    rev_swig_ptr(centroids, nclusters)[:] = found
    return imbalance


def _clustered(x: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], float]:
    if len(x) < k or k < 1:
        raise RuntimeError(f"kmeans1d: {k} clusters need as many numbers, got {len(x)}")
    if len(x) == k:
        return x.copy(), 0.0
    numbers = np.sort(x).astype(np.float64)
    starts = _best_starts(numbers, k)
    sizes = np.diff(starts, append=len(x))
    means = np.add.reduceat(numbers, starts) / sizes
    return means.astype(np.float32), float(k * np.square(sizes / len(x)).sum())


def _best_starts(numbers: NDArray[np.float64], k: int) -> NDArray[np.int64]:
    """Where each of k clusters of sorted numbers begins (Groenlund et al., 2017, https://arxiv.org/abs/1701.07204).

    costs[m]: of the numbers 0 ... m in so many clusters as yet. For one cluster more, the last one begins the later,
    the later m is: the best begins of every second m bound those of the m between them.
    """
    n = len(numbers)
    sums, squares = (np.concatenate([[0.0], np.cumsum(values)]) for values in (numbers, np.square(numbers)))

    def cost(first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.float64]:
        total = sums[last + 1] - sums[first]
        return squares[last + 1] - squares[first] - total * total / (last + 1 - first)  # type: ignore[no-any-return]

    everything = np.arange(n)
    costs, begins = cost(np.zeros(n, np.int64), everything), []
    for cluster in range(1, k):
        best = np.full(n, cluster)
        cheapest = np.full(n, np.inf)
        stride = 1 << (n - 1).bit_length()
        while stride:
            ends = np.arange(cluster + stride - 1, n, 2 * stride)
            low = np.where(ends >= cluster + stride, best[np.maximum(ends - stride, 0)], cluster)
            after = ends + stride
            high = np.where(after < n, best[np.minimum(after, n - 1)], ends)
            tried = np.minimum(high, ends) - low + 1
            offsets = np.cumsum(tried) - tried
            first = np.arange(tried.sum()) - np.repeat(offsets - low, tried)
            values = costs[first - 1] + cost(first, np.repeat(ends, tried))
            cheapest[ends] = np.minimum.reduceat(values, offsets)
            hits = np.flatnonzero(values == np.repeat(cheapest[ends], tried))
            best[ends] = first[hits[np.searchsorted(hits, offsets)]]
            stride //= 2
        costs = cheapest
        begins.append(best)
    starts = [n]
    for best in reversed(begins):
        starts.append(int(best[starts[-1] - 1]))
    return np.array([0, *starts[:0:-1]], np.int64)
