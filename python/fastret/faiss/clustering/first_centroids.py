"""Where k-means starts: random vectors, k-means++ and AFK-MC2, with the random numbers that FAISS draws for them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...ops import cosine_scores
from ..random import permutation

ClusteringInitMethod_RANDOM = 0
ClusteringInitMethod_KMEANS_PLUS_PLUS = 1
ClusteringInitMethod_AFK_MC2 = 2

_WORD = 0xFFFFFFFFFFFFFFFF


def first_centroids(rows: Tensor, given: Tensor, k: int, method: int, seed: int, chain_length: int) -> Tensor:
    """k centroids [k, D]: those given [G, D], and K - G of rows [N, D].

    Methods by their FAISS numbers: random, k-means++ (Arthur and Vassilvitskii, 2007), AFK-MC2 (Bachem, Lucic, Hassani
    and Krause, 2016). Raises RuntimeError for others.
    """
    if method == ClusteringInitMethod_RANDOM:
        chosen = permutation(len(rows), seed, k)[len(given) :].tolist()
    elif method == ClusteringInitMethod_KMEANS_PLUS_PLUS:
        chosen = _plus_plus(rows, given, k, MersenneTwister64(seed))
    elif method == ClusteringInitMethod_AFK_MC2:
        chosen = _markov_chains(rows, given, k, MersenneTwister64(seed), chain_length)
    else:
        raise RuntimeError(f"Clustering.train: init_method must be a ClusteringInitMethod, from 0 to 2, got {method}")
    return torch.cat([given, rows[chosen]])


class MersenneTwister64:
    """std::mt19937_64 (Nishimura, 2000), and the standard library's distributions on it as gcc has them."""

    def __init__(self, seed: int) -> None:
        self._state = [seed & _WORD]
        for i in range(1, 312):
            last = self._state[-1]
            self._state.append((6364136223846793005 * (last ^ (last >> 62)) + i) & _WORD)
        self._next = 312

    def word(self) -> int:
        if self._next == 312:
            self._twist()
        x = self._state[self._next]
        self._next += 1
        x ^= (x >> 29) & 0x5555555555555555
        x ^= (x << 17) & 0x71D67FFFEDA60000
        x ^= (x << 37) & 0xFFF7EEE000000000
        return x ^ (x >> 43)

    def _twist(self) -> None:
        state, self._next = self._state, 0
        for i in range(312):
            x = (state[i] & 0xFFFFFFFF80000000) | (state[(i + 1) % 312] & 0x7FFFFFFF)
            state[i] = state[(i + 156) % 312] ^ (x >> 1) ^ (0xB5026F5AA96619E9 if x & 1 else 0)

    def below_one(self) -> float:
        """std::uniform_real_distribution(0, 1)"""
        return min(float(self.word()) / 2**64, 1 - 2**-53)

    def below(self, n: int) -> int:
        """std::uniform_int_distribution(0, n - 1), by Lemire's method (2019)"""
        product = self.word() * n
        while product & _WORD < 2**64 % n:
            product = self.word() * n
        return product >> 64


def _squared_distances(rows: Tensor, centroids: Tensor) -> NDArray[np.float64]:
    """[N], to the nearest of the centroids [C, D]"""
    return cosine_scores(rows, centroids, metric="l2").amin(1).double().numpy()  # type: ignore[no-any-return]


def _start(rows: Tensor, given: Tensor, random: MersenneTwister64) -> tuple[list[int], NDArray[np.float64]]:
    """The rows to begin with, none where centroids are given, and the distances from all of those."""
    chosen = [] if len(given) else [random.below(len(rows))]
    return chosen, _squared_distances(rows, given if len(given) else rows[chosen])


def _drawn(shares: NDArray[np.float64], random: MersenneTwister64) -> int:
    """A row, by the sums [N] of the shares of those up to each."""
    if shares[-1] <= 0:
        return random.below(len(shares))
    return min(int(np.searchsorted(shares, random.below_one() * shares[-1])), len(shares) - 1)


def _plus_plus(rows: Tensor, given: Tensor, k: int, random: MersenneTwister64) -> list[int]:
    chosen, distances = _start(rows, given, random)
    while len(given) + len(chosen) < k:
        chosen.append(_drawn(np.cumsum(distances), random))
        distances = np.minimum(distances, _squared_distances(rows, rows[chosen[-1:]]))
    return chosen


def _markov_chains(rows: Tensor, given: Tensor, k: int, random: MersenneTwister64, length: int) -> list[int]:
    """Each centroid is the end of a chain of rows, which are drawn by half their share of the first squared distances
    and half evenly, and taken by how much farther they are than the last.
    """
    chosen, distances = _start(rows, given, random)
    shares = 0.5 * distances / (distances.sum() or 1.0) + 0.5 / len(rows)
    sums = np.cumsum(shares)
    while len(given) + len(chosen) < k:
        taken = set(chosen)
        while (first := _drawn(sums, random)) in taken:
            pass
        chain, chances = [first], [0.0]
        for _ in range(length):
            row = _drawn(sums, random)
            if row not in taken:
                chain.append(row)
                chances.append(random.below_one())
        reached = _squared_distances(rows[chain], torch.cat([given, rows[chosen]]))
        best = 0
        for step in range(1, len(chain)):
            new, old = reached[step] / shares[chain[step]], reached[best] / shares[chain[best]]
            if reached[best] > 0 and chances[step] * old < new:
                best = step
        chosen.append(chain[best])
    return chosen
