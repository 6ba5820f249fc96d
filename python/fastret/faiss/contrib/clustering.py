"""k-means over data of any kind that can be assigned to centroids, in two levels, and with even sizes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse
import torch
from numpy.typing import NDArray

from ..clustering.kmeans import Kmeans
from ..distances import knn
from ..flat import IndexFlatL2
from ..gpu.index import index_cpu_to_all_gpus, index_cpu_to_gpu
from ..gpu.options import StandardGpuResources

Array = NDArray[Any]


def two_level_clustering(
    xt: Array,
    nc1: int,
    nc2: int,
    rebalance: bool = True,
    clustering_niter: int = 25,
    **args: Any,
) -> tuple[Array, list[Any]]:
    """nc2 centroids of xt [n, d] by clustering into nc1 clusters, and each of those by itself.

    rebalance: a cluster gets centroids in proportion to its size; else all get as many. `args` go to Kmeans. Returns
    the centroids [nc2, d] and the iteration statistics of each clustering.
    """
    d = xt.shape[1]
    coarse = Kmeans(d, nc1, niter=clustering_niter, max_points_per_centroid=2000, **args)
    coarse.train(xt)
    statistics = [coarse.iteration_stats]
    assigned = np.asarray(coarse.assign(xt)[1])
    sizes = np.bincount(assigned, minlength=nc1)
    before = np.cumsum(sizes) if rebalance else np.arange(1, nc1 + 1)
    counts = np.diff(before * nc2 // before[-1], prepend=0)
    by_cluster = np.split(assigned.argsort(), np.cumsum(sizes)[:-1])
    centroids = []
    for points, count in zip(by_cluster, counts, strict=True):
        fine = Kmeans(d, int(count), **args)
        fine.train(xt[points])
        statistics.append(fine.iteration_stats)
        centroids.append(np.asarray(fine.centroids))
    return np.vstack(centroids), statistics


def train_ivf_index_with_2level(index: Any, xt: Array, **args: Any) -> None:
    """Train an IVF index of L2, also behind transforms, with the centroids of `two_level_clustering`."""
    if hasattr(index, "chain"):
        for number in range(index.chain.size()):
            transform = index.chain.at(number)
            transform.train(xt)
            xt = transform.apply(xt)
        train_ivf_index_with_2level(index.index, xt, **args)
        index.is_trained = True
        return
    centroids, _ = two_level_clustering(xt, int(np.sqrt(index.nlist)), index.nlist, **args)
    index.quantizer.train(centroids)
    index.quantizer.add(centroids)
    index.train(xt)


def balanced_assignment_with_penalties(
    x: Array, centroids: Array, alpha: float = 0.03, num_iter: int = 20, maxk: int = 100
) -> tuple[Array, dict[str, Any]]:
    """Assign x [n, d] to centroids [k, d] so that clusters are of more even size: ids [n], and statistics.

    Each round of num_iter multiplies a cluster's penalty, whose square is added to squared distances, by
    (its size / the mean size) ** alpha; only the maxk nearest centroids of a vector are considered. Tavenard et al.,
    "Balancing clusters to reduce response time variability in large scale image search", CBMI 2011.
    """
    k, n = len(centroids), len(x)
    distances, near = knn(x, centroids, maxk)
    penalties = np.ones(k, np.float32)
    for _ in range(num_iter):
        best = (distances + (penalties**2)[near]).argmin(axis=1)
        assigned = np.take_along_axis(near, best[:, None], axis=1)[:, 0]
        sizes = np.bincount(assigned, minlength=k)
        penalties *= (sizes / (n / k)) ** alpha
    return assigned, {
        "alpha": alpha,
        "imf": imbalance_factor(k, assigned),
        "mse": ((x - centroids[assigned]) ** 2).sum(1).mean(),
        "binsize_min": int(sizes.min()),
        "binsize_max": int(sizes.max()),
        "penalty_min": penalties.min(),
        "penalty_max": penalties.max(),
    }


class DatasetAssign:
    """Vectors x [n, d] float32 as `kmeans` needs them; subclasses find and sum their own way."""

    x: Any

    def __init__(self, x: Any) -> None:
        self.x = np.ascontiguousarray(x, dtype=np.float32)

    def count(self) -> int:
        return int(self.x.shape[0])

    def dim(self) -> int:
        return int(self.x.shape[1])

    def get_subset(self, indices: Array) -> Any:
        """The vectors with these numbers."""
        return self.x[indices]

    def perform_search(self, centroids: Any) -> tuple[Any, Any]:
        """The distance to the nearest centroid of each vector, and its number."""
        return knn(self.x, centroids, 1)

    def assign_to(self, centroids: Any, weights: Any = None) -> tuple[Array, Any, Any]:
        """The nearest centroid of each vector [n], the distances [n], and the weighted sums of clusters [k, d]."""
        distances, nearest = (answer.ravel() for answer in self.perform_search(centroids))
        sums = np.zeros(centroids.shape, np.float32)
        np.add.at(sums, nearest, self.x if weights is None else weights[:, None] * self.x)
        return nearest, distances, sums


class DatasetAssignGPU(DatasetAssign):
    """The same on GPU number gpu_id, -1: on all."""

    def __init__(self, x: Any, gpu_id: int, verbose: bool = False) -> None:
        super().__init__(x)
        index = IndexFlatL2(self.dim())
        on_all = gpu_id < 0
        self.index = index_cpu_to_all_gpus(index) if on_all else index_cpu_to_gpu(StandardGpuResources(), gpu_id, index)

    def perform_search(self, centroids: Any) -> tuple[Any, Any]:
        self.index.reset()
        self.index.add(centroids)
        found: tuple[Any, Any] = self.index.search(self.x, 1)
        return found


class DatasetAssignSparse(DatasetAssign):
    """Vectors that are the rows of a scipy.sparse.csr_matrix."""

    def __init__(self, x: scipy.sparse.csr_matrix) -> None:
        if not scipy.sparse.issparse(x) or x.format != "csr":
            raise AssertionError(f"DatasetAssignSparse: x must be a csr_matrix, got {type(x).__name__}")
        self.x = x
        self.squared_norms = np.asarray(x.power(2).sum(1))

    def get_subset(self, indices: Array) -> Array:
        subset: Array = self.x[indices].toarray()
        return subset

    def perform_search(self, centroids: Any) -> tuple[Any, Any]:
        return sparse_assign_to_dense_blocks(self.x, centroids, xq_norms=self.squared_norms)

    def assign_to(self, centroids: Any, weights: Any = None) -> tuple[Array, Any, Any]:
        distances, nearest = self.perform_search(centroids)
        n = self.count()
        weights = np.ones(n, np.float32) if weights is None else weights
        membership = scipy.sparse.csc_matrix((weights, nearest, np.arange(n + 1)), shape=(len(centroids), n))
        return nearest, distances, (membership @ self.x).toarray()


def sparse_assign_to_dense(
    xq: Any, xb: Array, xq_norms: Array | None = None, xb_norms: Array | None = None
) -> tuple[Array, Array]:
    """The squared distance of sparse rows xq [n, d] to the nearest of xb [k, d], and its number. Norms are squared."""
    xb_norms = (xb**2).sum(1) if xb_norms is None else xb_norms
    xq_norms = np.asarray(xq.power(2).sum(1)) if xq_norms is None else xq_norms
    partial = xb_norms - 2 * (xq @ xb.T)
    nearest = partial.argmin(axis=1)
    return np.take_along_axis(partial, nearest[:, None], 1)[:, 0] + xq_norms.ravel(), nearest


def sparse_assign_to_dense_blocks(
    xq: Any,
    xb: Array,
    xq_norms: Array | None = None,
    xb_norms: Array | None = None,
    qbs: int = 16384,
    bbs: int = 16384,
    nt: int | None = None,
) -> tuple[Array, Array]:
    """`sparse_assign_to_dense` in blocks of qbs rows and bbs centroids, for little memory; `nt` has no effect."""
    xb_norms = (xb**2).sum(1) if xb_norms is None else xb_norms
    distances, nearest = np.full(xq.shape[0], np.inf, np.float32), np.full(xq.shape[0], -1, np.int64)
    for rows in _blocks(xq.shape[0], qbs):
        norms = None if xq_norms is None else xq_norms[rows]
        for keys in _blocks(len(xb), bbs):
            found, ids = sparse_assign_to_dense(xq[rows], xb[keys], norms, xb_norms[keys])
            nearer = found < distances[rows]
            distances[rows][nearer], nearest[rows][nearer] = found[nearer], ids[nearer] + keys.start
    return distances, nearest


def imbalance_factor(k: int, assign: Any) -> float:
    """k times the sum of the squared shares of the clusters: 1 if all of k are of one size."""
    sizes = np.bincount(np.asarray(assign, np.int64), minlength=k).astype(float)
    return float(k * (sizes**2).sum() / sizes.sum() ** 2)


def check_if_torch(x: Any) -> bool:
    """Whether x is a tensor; a TypeError for what is no array either."""
    if not isinstance(x, np.ndarray | torch.Tensor):
        raise TypeError(f"check_if_torch: an array or a tensor is needed, got {type(x).__name__}")
    return isinstance(x, torch.Tensor)


def reassign_centroids(hassign: Array, centroids: Any, rs: Any = None) -> int:
    """Put each centroid of an empty cluster beside one that is split in two, in place; returns how many there were.

    hassign [k]: sizes of the clusters, kept up to date. Larger clusters are chosen more often.
    """
    random = np.random if rs is None else rs
    k = len(hassign)
    step = torch.ones_like(centroids[0]) if check_if_torch(centroids) else np.ones_like(centroids[0])
    step[::2] += 1 / 1024
    step[1::2] -= 1 / 1024
    empty = np.flatnonzero(hassign == 0)
    splits = len(empty)
    while len(empty):
        weights = np.maximum(hassign.astype(float) - 1, 0)
        count = min(int((weights > 0).sum()), len(empty))
        chosen = random.choice(k, size=count, p=weights / weights.sum())
        for to, source in zip(empty[:count], chosen, strict=True):
            centroid = centroids[source]
            centroids[to], centroids[source] = centroid * step, centroid / step
            hassign[to] = hassign[source] // 2
            hassign[source] -= hassign[to]
        empty = empty[count:]
    return splits


def kmeans(
    k: int,
    data: Any,
    niter: int = 25,
    seed: int = 1234,
    checkpoint: Any = None,
    verbose: bool = True,
    return_stats: bool = False,
) -> Any:
    """The centroids [k, d] of Lloyd's algorithm on a DatasetAssign, numpy or torch as its vectors.

    The first centroids are k vectors drawn with `seed`. `checkpoint`: a file that gets the centroids of every
    iteration. With return_stats also a list with a dict per iteration: obj, imbalance_factor, nsplit.
    """
    random = np.random.RandomState(seed)  # the stream that FAISS draws from
    centroids = data.get_subset(random.choice(data.count(), size=k, replace=False))
    statistics = []
    for iteration in range(niter):
        assigned, distances, sums = data.assign_to(centroids)
        sizes = np.bincount(assigned, minlength=k)
        divisors = np.maximum(sizes, 1).astype(np.float32)[:, None]
        centroids = sums / (torch.from_numpy(divisors).to(sums.device) if check_if_torch(sums) else divisors)
        statistics.append(
            {
                "obj": float(distances.sum()),
                "imbalance_factor": imbalance_factor(k, assigned),
                "nsplit": reassign_centroids(sizes, centroids, random),
            }
        )
        if verbose:
            print(f"iteration {iteration}: {statistics[-1]}")
        if checkpoint is not None:
            torch.save(centroids, checkpoint) if check_if_torch(centroids) else np.save(checkpoint, centroids)
    return (centroids, statistics) if return_stats else centroids


def _blocks(n: int, size: int) -> Iterator[slice]:
    for first in range(0, n, size):
        yield slice(first, min(n, first + size))
