"""faiss.Kmeans: k-means of arrays."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..arrays import float32_rows
from ..flat import IndexFlatIP, IndexFlatL2
from ..gpu.index import index_cpu_to_all_gpus
from ..gpu_devices import devices_by_number, get_num_gpus
from ..index import Index
from .clustering import Clustering, ClusteringParameters
from .progressive import (
    GpuProgressiveDimIndexFactory,
    ProgressiveDimClustering,
    ProgressiveDimClusteringParameters,
    ProgressiveDimIndexFactory,
)

_STATISTICS = ("obj", "time", "time_search", "imbalance_factor", "nsplit")


class Kmeans:
    """k-means of vectors of d into k clusters: faiss.Kmeans(d, k, niter=25, spherical=False, gpu=False, ...).

    Keywords are the fields of ClusteringParameters; an AttributeError for others. gpu: True for all GPUs, or how many;
    without a GPU it runs on the CPU. progressive_dim_steps: k-means in ever more dimensions, as
    ProgressiveDimClustering. After `train`: centroids [k, d] float32, obj [iterations] (the objective of each) and
    iteration_stats, a list of dicts.
    """

    centroids: NDArray[np.float32] | None
    obj: NDArray[np.float64] | None
    iteration_stats: list[dict[str, Any]] | None
    index: Index

    def __init__(self, d: int, k: int, **kwargs: Any) -> None:
        self.d = operator.index(d)
        self.reset(k)
        self.gpu: bool | int = kwargs.pop("gpu", False)
        if self.gpu:
            devices_by_number("Kmeans(gpu=...)", [])
            self.gpu = min(get_num_gpus(), get_num_gpus() if self.gpu in (True, -1) else self.gpu)
        progressive = "progressive_dim_steps" in kwargs
        self.cp = ProgressiveDimClusteringParameters() if progressive else ClusteringParameters()
        for name, value in kwargs.items():
            getattr(self.cp, name)
            setattr(self.cp, name, value)
        self.set_index()

    def set_index(self) -> None:
        self.index = IndexFlatIP(self.d) if self.cp.spherical else IndexFlatL2(self.d)
        if self.gpu:
            self.index = index_cpu_to_all_gpus(self.index, ngpu=self.gpu)

    def reset(self, k: int | None = None) -> None:
        """Forget the centroids, for a clustering into k others."""
        if k is not None:
            self.k = int(k)
        self.centroids = self.obj = self.iteration_stats = None

    def train(self, x: Any, weights: Any = None, init_centroids: Any = None) -> float:
        """Cluster x [n, d], numpy of any real dtype or torch; returns the last objective.

        weights [n]: of the vectors in the means. init_centroids [<= k, d]: where to start. Raises what
        Clustering.train does.
        """
        rows = float32_rows("Kmeans.train", x, self.d)
        clustering: Clustering | ProgressiveDimClustering
        if isinstance(self.cp, ProgressiveDimClusteringParameters):
            clustering = self._train_progressively(rows, self.cp, weights, init_centroids)
        else:
            clustering = Clustering(self.d, self.k, self.cp)
            if init_centroids is not None:
                clustering._centroids = float32_rows("Kmeans.train", init_centroids, self.d)
            clustering.train(rows, self.index, weights)
        self.centroids = clustering._centroids.numpy()
        statistics = [clustering.iteration_stats.at(i) for i in range(clustering.iteration_stats.size())]
        self.obj = np.array([iteration.obj for iteration in statistics])
        self.iteration_stats = [{name: getattr(s, name) for name in _STATISTICS} for s in statistics]
        return float(self.obj[-1]) if len(self.obj) else 0.0

    def _train_progressively(
        self, rows: Tensor, cp: ProgressiveDimClusteringParameters, weights: Any, init_centroids: Any
    ) -> ProgressiveDimClustering:
        if weights is not None or init_centroids is not None or cp.spherical:
            raise AssertionError(
                "Kmeans.train: with progressive_dim_steps there are no weights, init_centroids or spherical centroids"
            )
        clustering = ProgressiveDimClustering(self.d, self.k, cp)
        factory = GpuProgressiveDimIndexFactory(self.gpu) if self.gpu else ProgressiveDimIndexFactory()
        clustering.train(len(rows), rows, factory)
        return clustering

    def assign(self, x: Any) -> tuple[Any, Any]:
        """Scores [n] and ids [n] of the nearest centroid of each vector x [n, d]."""
        if self.centroids is None:
            raise AssertionError("Kmeans.assign: there are no centroids; call train first")
        self.index.reset()
        self.index.add(torch.from_numpy(self.centroids))
        scores, ids = self.index.search(x, 1)
        return scores.reshape(-1), ids.reshape(-1)
