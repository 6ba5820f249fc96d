"""One iteration of k-means (Lloyd: Least squares quantization in PCM, 1982), as its loop needs it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class KMeansStep(NamedTuple):
    """What an iteration finds."""

    means: Tensor  # [K, D] float32, zeros where there are no rows
    weights: Tensor  # [K] float32: sums of the weights
    sizes: Tensor  # [K] int64: rows
    objective: Tensor  # [] float32: the sum of the squared distances of the rows to their centroids


def kmeans_step(rows: Tensor, centroids: Tensor, weights: Tensor | None = None) -> KMeansStep:
    """The means of the rows that are nearest to each centroid, of equally near ones to the first.

    Equivalent to `nearest = torch.cdist(rows, centroids).argmin(1)` and the weighted means of `rows[nearest == c]`.
    Nearness is |c|^2 / 2 - x.c in float32 with fused multiply-adds, the mean of about 256 rows being the origin;
    sums are float32 in the order of the rows. On any instruction set and for any number of threads the same.

    Args:
        rows: [N, D] float32.
        centroids: [K, D] float32, K > 0.
        weights: [N] float32; None: 1.

    Raises:
        RuntimeError: arguments that do not fit each other.
    """
    return KMeansStep(
        *torch.ops.fastret.kmeans_step(
            rows.contiguous(), centroids.contiguous(), None if weights is None else weights.contiguous()
        )
    )


@torch.library.register_fake("fastret::kmeans_step")
def _(rows: Tensor, centroids: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    clusters = centroids.shape[0]
    return (
        torch.empty_like(centroids),
        rows.new_empty((clusters,)),
        rows.new_empty((clusters,), dtype=torch.int64),
        rows.new_empty(()),
    )
