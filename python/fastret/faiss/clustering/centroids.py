"""The steps of k-means on tensors: means of the points of each cluster, and empty clusters split as FAISS does."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from ..random import RandomGenerator

_APART = 1 / 1024  # relative, between the halves of a split cluster: a bit above the epsilon of float16


class Means(NamedTuple):
    """of the points of each cluster"""

    means: Tensor  # [K, D] float32, zeros where there are no points
    weights: Tensor  # [K] float32: points, or the sum of their weights


def means_of(rows: Tensor, nearest: Tensor, k: int, weights: Tensor | None) -> Means:
    """Means of rows [N, D], which are multiplied by `weights` [N] already where these are given.

    `nearest` [N] int64: the cluster of each row. Sums are float32 in the order of the rows, as in FAISS, on every
    instruction set and for any number of threads.
    """
    counts = torch.bincount(nearest, minlength=k)
    # numpy sorts numbers of 16 bits by their digits.
    clusters = nearest.numpy().astype(np.uint16 if k <= 1 << 16 else np.int64)
    order = torch.from_numpy(np.argsort(clusters, kind="stable"))
    sums = embedding_bag(order, rows, counts.cumsum(0) - counts, mode="sum")
    if weights is not None:
        counts = torch.bincount(nearest, weights.double(), k)
    heights = counts.float()
    return Means(sums * torch.where(heights == 0, 1.0, 1 / heights)[:, None], heights)


def split_clusters(means: Means, n: int) -> int:
    """Give half of a large cluster to each empty one, in place; returns how many there were.

    n: points in all clusters. FAISS visits clusters in turn until a random number is below the share of the points
    that the visited one has, and after ten rounds takes the largest.
    """
    centroids, weights = means.means.numpy(), means.weights.numpy()
    k, d = centroids.shape
    empty = np.flatnonzero(weights == 0)
    if not len(empty):
        return 0
    draws = _Draws()
    stretch = np.where(np.arange(d) % 2 == 0, 1 + _APART, 1 - _APART).astype(np.float32)
    for cluster in empty:
        donor = _donor(weights, n - k, draws)
        centroids[cluster] = centroids[donor] * stretch
        centroids[donor] *= 2 - stretch
        weights[cluster] = weights[donor] / 2
        weights[donor] -= weights[cluster]
    return len(empty)


def _donor(weights: np.ndarray[tuple[int], np.dtype[np.float32]], spare: int, draws: _Draws) -> int:
    shares = ((weights - 1.0) / np.float32(spare)).astype(np.float32)
    for _ in range(10):
        hits = np.flatnonzero(draws.ahead(len(shares)) < shares)
        if len(hits):
            draws.used(int(hits[0]) + 1)
            return int(hits[0])
        draws.used(len(shares))
    return int(weights.argmax())


class _Draws:
    """The random floats of FAISS's generator, which can be looked at before they are used."""

    def __init__(self) -> None:
        self._generator = RandomGenerator(1234)
        self._drawn = self._generator._floats(0)

    def ahead(self, n: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        if len(self._drawn) < n:
            self._drawn = np.append(self._drawn, self._generator._floats(max(n, 4096)))
        return self._drawn[:n]

    def used(self, n: int) -> None:
        self._drawn = self._drawn[n:]
