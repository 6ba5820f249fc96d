"""k-means of torch tensors, on their device."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...distances import knn
from ...gpu.distances import knn_gpu
from ...gpu.options import GpuResourcesProvider
from ..clustering import DatasetAssign as _OfArrays
from ..clustering import kmeans

__all__ = ["DatasetAssign", "DatasetAssignGPU", "kmeans"]


class DatasetAssign(_OfArrays):
    """Vectors x [n, d] of a tensor as `kmeans` needs them."""

    def __init__(self, x: Tensor) -> None:
        self.x = x

    def perform_search(self, centroids: Tensor) -> tuple[Tensor, Tensor]:
        scores, ids = knn(self.x, centroids, 1)
        return scores, ids

    def assign_to(self, centroids: Tensor, weights: Any = None) -> tuple[Any, Tensor, Tensor]:
        """As of arrays; the numbers of the centroids are numpy's."""
        distances, nearest = (answer.ravel() for answer in self.perform_search(centroids))
        weighted = self.x if weights is None else self.x * weights[:, None]
        sums = torch.zeros_like(centroids).index_add_(0, nearest, weighted)
        return nearest.cpu().numpy(), distances, sums


class DatasetAssignGPU(DatasetAssign):
    """The same through knn_gpu."""

    def __init__(self, res: GpuResourcesProvider, x: Tensor) -> None:
        super().__init__(x)
        self.res = res

    def perform_search(self, centroids: Tensor) -> tuple[Tensor, Tensor]:
        return knn_gpu(self.res, self.x, centroids, 1)
