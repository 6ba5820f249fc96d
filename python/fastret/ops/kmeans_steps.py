"""Iterations of k-means (Lloyd: Least squares quantization in PCM, 1982), as its loop needs them."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class KMeansSteps(NamedTuple):
    """What I iterations find; means and weights are those of the last one."""

    means: Tensor  # [K, D] float32, zeros where there are no rows
    weights: Tensor  # [K] float32: sums of the weights
    sizes: Tensor  # [I, K] int64: rows
    objectives: Tensor  # [I] float32: the sums of the squared distances of the rows to their centroids


def kmeans_steps(
    rows: Tensor,
    centroids: Tensor,
    weights: Tensor | None = None,
    max_iterations: int = 1,
    previous_objective: float = math.nan,
    tolerance: float = 0.0,
) -> KMeansSteps:
    """Repeatedly the means of the rows that are nearest to each centroid, of equally near ones to the first.

    Each is equivalent to `nearest = fastret.search(rows, centroids, 1, metric="l2")[1][:, 0]` and the weighted means of
    `rows[nearest == c]`, which are the next one's centroids. A distance in the objective is a sum in float32 by 16
    strided lanes, lane[j] += lane[j + h] for h = 8, 4, 2, 1; other sums are float32 in the order of the rows. On any
    instruction set and for any number of threads the same.

    Args:
        rows: [N, D] float32.
        centroids: [K, D] float32, K > 0.
        weights: [N] float32; None: 1.
        max_iterations: at least 1. It ends before if a cluster is without weight, from which it could not go on, or if
        previous_objective: of the iteration before the first, or of the one before,
        tolerance: differs from an objective by no more than this share of it.

    Raises:
        RuntimeError: arguments that do not fit each other, a row without a finite distance from any centroid.
    """
    means, mean_weights, sizes, objectives, iterations = torch.ops.fastret.kmeans_steps(
        rows.contiguous(),
        centroids.contiguous(),
        None if weights is None else weights.contiguous(),
        max_iterations,
        previous_objective,
        tolerance,
    )
    n = int(iterations)
    return KMeansSteps(means, mean_weights, sizes[:n], objectives[:n])


@torch.library.register_fake("fastret::kmeans_steps")
def _(
    rows: Tensor,
    centroids: Tensor,
    weights: Tensor | None,
    max_iterations: int,
    previous_objective: float,
    tolerance: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    clusters = centroids.shape[0]
    return (
        torch.empty_like(centroids),
        rows.new_empty((clusters,)),
        rows.new_empty((max_iterations, clusters), dtype=torch.int64),
        rows.new_empty((max_iterations,)),
        rows.new_empty((), dtype=torch.int64),
    )
