"""What `kmeans_steps` computes: its definition in torch, equal bit for bit to every kernel."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .kmeans_steps import KMeansSteps
from .reference import search


def kmeans_steps(
    rows: Tensor,
    centroids: Tensor,
    weights: Tensor | None = None,
    max_iterations: int = 1,
    previous_objective: float = math.nan,
    tolerance: float = 0.0,
) -> KMeansSteps:
    weights = torch.ones(len(rows)) if weights is None else weights
    steps, previous = list[KMeansSteps](), previous_objective
    while True:
        steps.append(_step(rows, centroids, weights))
        centroids, objective = steps[-1].means, float(steps[-1].objectives)
        settled = abs(previous - objective) <= tolerance * abs(previous)
        if settled or bool((steps[-1].weights == 0).any()) or len(steps) == max_iterations:
            sizes, objectives = (torch.cat([step[i] for step in steps]) for i in (2, 3))
            return KMeansSteps(steps[-1].means, steps[-1].weights, sizes, objectives)
        previous = objective


def _step(rows: Tensor, centroids: Tensor, weights: Tensor) -> KMeansSteps:
    k, dim = centroids.shape
    nearest = search(rows, centroids, 1, metric="l2")[1][:, 0]
    sums, heights = torch.zeros(k, dim), torch.zeros(k, dtype=torch.float64)
    objective = torch.zeros(())
    for row, weight, cluster in zip(rows, weights, nearest.tolist(), strict=True):
        sums[cluster] += weight * row
        heights[cluster] += weight.double()
        objective = objective + _squared_distance(row, centroids[cluster])
    mean_weights = heights.float()
    means = sums * torch.where(mean_weights == 0, 1.0, 1 / mean_weights)[:, None]
    return KMeansSteps(means, mean_weights, torch.bincount(nearest, minlength=k)[None], objective[None])


def _squared_distance(row: Tensor, centroid: Tensor) -> Tensor:
    terms = torch.nn.functional.pad((row - centroid).square(), (0, -len(row) % 16))
    lanes = torch.zeros(16)
    for term in terms.reshape(-1, 16):
        lanes = lanes + term
    for half in (8, 4, 2, 1):
        lanes = lanes[:half] + lanes[half:]
    return lanes[0]
