"""FAISS's k-means: Clustering with its parameters and statistics, Clustering1D and kmeans_clustering."""

from __future__ import annotations

import math
import operator
import time
import warnings
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...ops.kmeans_steps import KMeansSteps, kmeans_steps
from ..arrays import code_rows, float32_rows
from ..flat import IndexFlat, IndexFlatL2
from ..index import Index
from ..metrics import METRIC_L2, is_similarity_metric
from ..pointers import Pointer, rev_swig_ptr
from ..random import SplitMix64RandomGenerator, permutation
from ..struct import FaissObject
from ..vectors import Float32Vector, ObjectVector, VectorField
from .centroids import Means, means_of, split_clusters
from .first_centroids import ClusteringInitMethod_RANDOM, first_centroids

_REDO_SEEDS = 15486557  # between the seeds of two runs
_AT_ONCE = 1 << 28  # multiplications of iterations at once: some milliseconds, after which Ctrl-C is heard


class ClusteringParameters(FaissObject):
    """What k-means is told.

    niter: iterations. nredo: runs, of which the best stays. spherical: normalise the centroids. int_centroids: round
    them. update_index: train the index after each iteration. frozen_centroids: keep the centroids that were given.
    min_points_per_centroid: fewer give a warning. max_points_per_centroid: more are sampled. seed: negative takes
    the clock's. early_stop_threshold: stop where the objective changes by no more than this share of it.
    """

    niter: int = 25
    nredo: int = 1
    verbose: bool = False
    spherical: bool = False
    int_centroids: bool = False
    update_index: bool = False
    frozen_centroids: bool = False
    min_points_per_centroid: int = 39
    max_points_per_centroid: int = 256
    seed: int = 1234
    decode_block_size: int = 32768
    check_input_data_for_NaNs: bool = True
    use_faster_subsampling: bool = False
    init_method: int = ClusteringInitMethod_RANDOM
    afkmc2_chain_length: int = 50
    early_stop_threshold: float = 0.0
    use_super_kmeans: bool = False

    def __setattr__(self, name: str, value: Any) -> None:
        default = getattr(type(self), name, None)
        if isinstance(default, bool):
            value = bool(value)
        elif isinstance(default, int):
            value = operator.index(value)
        super().__setattr__(name, value)

    def _copy(self, cp: ClusteringParameters) -> None:
        vars(self).update({name: getattr(cp, name) for name in ClusteringParameters.__annotations__})


class ClusteringIterationStats(FaissObject):
    """obj: sum of the scores of the points. time, time_search: seconds since the start. nsplit: empty clusters."""

    obj: float = 0.0
    time: float = 0.0
    time_search: float = 0.0
    imbalance_factor: float = 0.0
    nsplit: int = 0


class ClusteringIterationStatsVector(ObjectVector):
    def _empty(self) -> ClusteringIterationStats:
        return ClusteringIterationStats()


class Clustering(ClusteringParameters):
    """k-means of vectors of d into k clusters (Lloyd's algorithm) with an index that finds the nearest centroids.

    For the same seed and data: the samples, first centroids, iterations and centroids of FAISS, up to rounding.
    Centroids that are there before `train` are where it starts. Afterwards the index holds the centroids.
    """

    d: int = 0
    k: int = 0
    centroids = VectorField("_centroids", Float32Vector)
    iteration_stats = ClusteringIterationStatsVector()
    _centroids: Tensor  # [k, d] float32

    def __init__(self, d: int, k: int, cp: ClusteringParameters | None = None) -> None:
        self.d, self.k = operator.index(d), operator.index(k)
        if cp is not None:
            self._copy(cp)
        self.iteration_stats = ClusteringIterationStatsVector()
        self._centroids = torch.empty(0, self.d)

    def train(self, x: Any, index: Index, weights: Any = None) -> None:
        """Cluster the vectors x [n, d], of weight 1 or `weights` [n] in the means.

        Raises AssertionError for another d or shape of the weights, RuntimeError for fewer than k vectors, an index
        of another d, NaN and infinities.
        """
        rows = float32_rows(self._named("train"), x, self.d)
        self._check("train", len(rows), index)
        if self.check_input_data_for_NaNs and not _all_finite(rows):
            raise RuntimeError(f"{self._named('train')}: vectors must be finite, got NaN or infinity")
        sample, seed = self._sample(len(rows))
        self._train(rows[sample], index, self._weights("train", weights, len(rows), sample), seed)

    def train_encoded(self, x: Any, codec: Index, index: Index, weights: Any = None) -> None:
        """`train` on codes x [n, codec.sa_code_size()] uint8, of which those that are sampled are decoded."""
        codes = code_rows(self._named("train_encoded"), x, codec.sa_code_size())
        if codec.d != index.d:
            raise AssertionError(f"{self._named('train_encoded')}: codec.d is {codec.d}, index.d {index.d}")
        self._check("train_encoded", len(codes), index)
        sample, seed = self._sample(len(codes))
        rows = torch.from_numpy(codec.sa_decode(codes[sample]))
        self._train(rows, index, self._weights("train_encoded", weights, len(codes), sample), seed)

    def post_process_centroids(self) -> None:
        """Normalise or round the centroids where the parameters say so."""
        self._centroids = self._finished(self._centroids.reshape(-1, self.d))

    def _check(self, operation: str, n: int, index: Index) -> None:
        if n < self.k:
            raise RuntimeError(f"{self._named(operation)}: {self.k} clusters need as many training vectors, got {n}")
        if index.d != self.d:
            raise RuntimeError(f"{self._named(operation)}: the index must be of d = {self.d}, got {index.d}")
        if min(self.d, self.k, self.max_points_per_centroid, self.nredo) <= 0:
            raise RuntimeError(
                f"{self._named(operation)}: d, k, max_points_per_centroid and nredo must be positive, "
                f"got {self.d}, {self.k}, {self.max_points_per_centroid} and {self.nredo}"
            )
        if self._centroids.numel() % self.d or self._centroids.numel() > self.k * self.d:
            raise RuntimeError(
                f"{self._named(operation)}: centroids must be empty or at most {self.k} of d = {self.d}, "
                f"got {self._centroids.numel()} numbers"
            )
        self._centroids = self._centroids.reshape(-1, self.d)

    def _sample(self, n: int) -> tuple[Tensor | slice, int]:
        """Which of n vectors to train on, and the seed."""
        seed = self.seed if self.seed >= 0 else time.time_ns()
        most, least = self.k * self.max_points_per_centroid, self.k * self.min_points_per_centroid
        if n < least:
            warnings.warn(
                f"{type(self).__name__}: {n} vectors for {self.k} clusters, at least {least} are advised", stacklevel=4
            )
        if n <= most:
            return slice(None), seed
        self._say(f"Sampling {most} of {n} vectors")
        if self.use_faster_subsampling:
            words = SplitMix64RandomGenerator(seed)._words(most) & np.uint64(0x7FFFFFFFFFFFFFFF)
            return torch.from_numpy((words % np.uint64(n)).astype(np.int64)), seed
        return torch.from_numpy(permutation(n, seed, most)), seed

    def _weights(self, operation: str, weights: Any, n: int, sample: Tensor | slice) -> Tensor | None:
        if weights is None:
            return None
        weights = torch.as_tensor(weights, dtype=torch.float32, device="cpu")
        if weights.shape != (n,):
            raise AssertionError(f"{self._named(operation)}: weights must be [{n}], got {list(weights.shape)}")
        chosen: Tensor = weights[sample]
        return chosen

    def _train(self, rows: Tensor, index: Index, weights: Tensor | None, seed: int) -> None:
        if len(rows) == self.k:  # each is a centroid
            self._centroids = rows.clone()
            self.iteration_stats.push_back(_statistics(imbalance_factor=1.0))
            index.reset()
            index.add(self._centroids)
            return
        given = len(self._centroids)
        self._say(f"Clustering {len(rows)} vectors of d = {self.d} to {self.k} clusters, {given} given")
        sign = -1 if is_similarity_metric(index.metric_type) else 1
        started, best, searched = time.perf_counter(), (np.inf, self._centroids, self.iteration_stats._items), 0.0
        for redo in range(self.nredo):
            self._say(f"Run {redo + 1} of {self.nredo}")
            # Given centroids, or what the run before made of them.
            start, run_seed = self._centroids[:given], seed + 1 + redo * _REDO_SEEDS
            self._centroids = self._finished(
                first_centroids(rows, start, self.k, self.init_method, run_seed, self.afkmc2_chain_length)
            )
            if not index.is_trained:
                index.train(self._centroids)
            objective, searched = self._iterate(rows, weights, index, given, started, searched)
            if sign * objective < best[0]:
                best = sign * objective, self._centroids, list(self.iteration_stats._items)
        if self.nredo > 1:
            _, self._centroids, self.iteration_stats._items = best
            _refill(index, self._centroids)

    def _iterate(
        self, rows: Tensor, weights: Tensor | None, index: Index, given: int, started: float, searched: float
    ) -> tuple[float, float]:
        """The last objective, and the seconds that searches have taken so far."""
        frozen = given if self.frozen_centroids else 0
        weighted = rows if weights is None else rows * weights[:, None]
        natively = type(index) in (IndexFlat, IndexFlatL2) and index.metric_type == METRIC_L2
        only_means = natively and not (frozen or self.spherical or self.int_centroids or self.verbose)
        at_once = max(1, _AT_ONCE // (rows.numel() * self.k)) if only_means else 1
        if not natively:
            _refill(index, self._centroids)
        queries = rows.to(index._device)
        objective, i = math.nan, 0
        while i < self.niter:
            begun = time.perf_counter()
            if natively:
                most = min(at_once, self.niter - i)
                steps = kmeans_steps(rows, self._centroids, weights, most, objective, self.early_stop_threshold)
                searched += time.perf_counter() - begun
            else:
                scores, nearest = (found[:, 0].cpu() for found in index.search(queries, 1))
                searched += time.perf_counter() - begun
                steps = self._step(weighted, scores, nearest, weights)
            means = Means(steps.means[frozen:], steps.weights[frozen:])
            splits = split_clusters(means, len(rows))
            self._centroids = self._finished(torch.cat([self._centroids[:frozen], means.means]))
            if not natively:
                index.reset()
                if self.update_index:
                    index.train(self._centroids)
                index.add(self._centroids)
            done, each = len(steps.objectives), (time.perf_counter() - begun) / len(steps.objectives)
            settled = False
            for step, (reached, imbalance) in enumerate(
                zip(steps.objectives.tolist(), _imbalances(steps.sizes).tolist(), strict=True), 1
            ):
                settled = abs(objective - reached) <= self.early_stop_threshold * abs(objective)
                objective, split = reached, splits if step == done else 0
                passed = begun + step * each - started
                self.iteration_stats.push_back(_statistics(objective, passed, searched, imbalance, split))
                self._say(
                    f"  iteration {i}: objective {objective:g}, {split} empty clusters, searches {searched:.2f} s"
                )
                i += 1
            if settled:
                break
        if natively:
            _refill(index, self._centroids)
        return objective, searched

    def _step(self, weighted: Tensor, scores: Tensor, nearest: Tensor, weights: Tensor | None) -> KMeansSteps:
        if int(nearest.min()) < 0:
            raise RuntimeError(f"{self._named('train')}: the index found no centroid for some of the vectors")
        # Summed as in FAISS: from this depends where it stops.
        objective = torch.from_numpy(np.cumsum(scores.numpy(), dtype=np.float32))[-1:]
        means = means_of(weighted, nearest, self.k, weights)
        return KMeansSteps(*means, torch.bincount(nearest, minlength=self.k)[None], objective)

    def _finished(self, centroids: Tensor) -> Tensor:
        if self.spherical:
            # In float64, whatever the order of the sum, its float32 is the same.
            norms = centroids.double().square().sum(1, keepdim=True).sqrt().float()
            centroids = torch.where(norms > 0, centroids * (1 / norms), centroids)
        if self.int_centroids:
            centroids = (centroids + torch.full_like(centroids, 0.5).copysign(centroids)).trunc()
        return centroids

    def _say(self, line: str) -> None:
        if self.verbose:
            print(line, flush=True)

    def _named(self, operation: str) -> str:
        return f"{type(self).__name__}.{operation}"


def _all_finite(rows: Tensor) -> bool:
    # A sum is faster, but it overflows where no element does.
    return bool(rows.sum().isfinite()) or bool(rows.isfinite().all())


def _refill(index: Index, centroids: Tensor) -> None:
    index.reset()
    index.add(centroids)


def _statistics(
    obj: float = 0.0, time: float = 0.0, time_search: float = 0.0, imbalance_factor: float = 0.0, nsplit: int = 0
) -> ClusteringIterationStats:
    statistics = ClusteringIterationStats()
    statistics.obj, statistics.time, statistics.time_search = obj, time, time_search
    statistics.imbalance_factor, statistics.nsplit = imbalance_factor, nsplit
    return statistics


def imbalance_factor(nearest: Tensor, k: int) -> float:
    """k times the sum of the squared shares of the clusters: 1 where all are of a size."""
    return float(_imbalances(torch.bincount(nearest, minlength=k)[None])[0])


def _imbalances(sizes: Tensor) -> NDArray[np.float64]:
    """[I], of the clusters' sizes [I, K]"""
    shares = sizes.numpy().astype(np.float64)
    factors: NDArray[np.float64] = shares.shape[1] * np.square(shares).sum(1) / shares.sum(1) ** 2
    return factors


def kmeans_clustering(d: int, n: int, k: int, x: Pointer, centroids: Pointer) -> float:
    """k-means of x [n, d] with default parameters into `centroids` [k, d]; returns the last objective."""
    clustering = Clustering(d, k)
    clustering.train(rev_swig_ptr(x, n * d).reshape(n, d), IndexFlatL2(d))
    rev_swig_ptr(centroids, k * d)[:] = clustering._centroids.reshape(-1).numpy()
    return cast(float, clustering.iteration_stats.at(clustering.iteration_stats.size() - 1).obj)
