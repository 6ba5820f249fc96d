"""k-means in ever more dimensions: ProgressiveDimClustering."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from ..arrays import float32_rows
from ..flat import IndexFlatL2
from ..gpu.index import index_cpu_to_all_gpus
from ..index import Index
from ..pointers import Pointer, rev_swig_ptr
from ..transforms.pca import PCAMatrix
from ..vectors import Float32Vector, VectorField
from .clustering import Clustering, ClusteringIterationStatsVector, ClusteringParameters


class ProgressiveDimClusteringParameters(ClusteringParameters):
    """progressive_dim_steps: how often k-means runs. apply_pca: in principal components."""

    niter: int = 10
    progressive_dim_steps: int = 10
    apply_pca: bool = True


class ProgressiveDimIndexFactory:
    """Called with a number of dimensions, gives the index that finds the nearest centroids."""

    def __call__(self, dim: int) -> Index:
        return IndexFlatL2(dim)


class GpuProgressiveDimIndexFactory(ProgressiveDimIndexFactory):
    """The same on `ngpu` GPUs, or on the CPU where there is none."""

    def __init__(self, ngpu: int) -> None:
        self._ngpu = operator.index(ngpu)

    def __call__(self, dim: int) -> Index:
        index: Index = index_cpu_to_all_gpus(IndexFlatL2(dim), ngpu=self._ngpu)
        return index


class ProgressiveDimClustering(ProgressiveDimClusteringParameters):
    """k-means in few dimensions, whose centroids start k-means in more, up to all d (Liu, Lu and Shao, 2015,
    https://arxiv.org/abs/1509.05195).
    """

    d: int = 0
    k: int = 0
    centroids = VectorField("_centroids", Float32Vector)
    iteration_stats = ClusteringIterationStatsVector()
    _centroids: Tensor  # [k, d] float32

    def __init__(self, d: int, k: int, cp: ProgressiveDimClusteringParameters | None = None) -> None:
        self.d, self.k = operator.index(d), operator.index(k)
        if cp is not None:
            self._copy(cp)
            self.progressive_dim_steps, self.apply_pca = cp.progressive_dim_steps, cp.apply_pca
        self.iteration_stats = ClusteringIterationStatsVector()
        self._centroids = torch.empty(0, self.d)

    def train(self, n: int, x: Pointer | Any, factory: ProgressiveDimIndexFactory) -> None:
        """Cluster x [n, d], a pointer or an array. Raises what Clustering.train does."""
        array = rev_swig_ptr(x, n * self.d).reshape(n, self.d) if isinstance(x, Pointer) else x
        rows = float32_rows("ProgressiveDimClustering.train", array, self.d)
        pca = PCAMatrix(self.d, self.d)
        if self.apply_pca:
            pca.train(rows)
            rows = pca.apply(rows)
        self._centroids = torch.empty(0, 0)  # [k, dimensions so far]
        for step in range(self.progressive_dim_steps):
            dim = int(np.power(self.d, (1.0 + step) / self.progressive_dim_steps))
            clustering = Clustering(dim, self.k, self)
            clustering._centroids = pad(self._centroids, (0, dim - self._centroids.shape[1]))
            clustering.train(rows[:, :dim].contiguous(), factory(dim))
            self._centroids = clustering._centroids
            self.iteration_stats._items += clustering.iteration_stats._items
        if self.apply_pca:
            self._centroids = pca.reverse_transform(self._centroids)
