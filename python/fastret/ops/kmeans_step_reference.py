"""What `kmeans_step` computes: its definition in torch, equal bit for bit to every kernel."""

from __future__ import annotations

import torch
from torch import Tensor

from .kmeans_step import KMeansStep


def fused_multiply_add(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """x * y + z of float32, rounded once.

    The float64 product is exact. Its sum with z is rounded to odd, after which rounding to float32 is right (Boldo,
    Melquiond: Emulation of FMA and correctly rounded sums, 2008).
    """
    product, addend = x.double() * y.double(), z.double()
    total = product + addend
    part = total - product
    rest = (product - (total - part)) + (addend - part)  # what the sum lost, exactly (Knuth's TwoSum)
    bits = total.view(torch.int64)
    towards = torch.where((rest > 0) == (total > 0), bits + 1, bits - 1)
    odd = torch.where((rest != 0) & rest.isfinite() & (bits & 1 == 0), towards, bits)
    return odd.view(torch.float64).float()


def kmeans_step(rows: Tensor, centroids: Tensor, weights: Tensor | None = None) -> KMeansStep:
    k, dim = centroids.shape
    centre = torch.zeros(dim, dtype=torch.float64)
    some = rows[:: max(1, len(rows) // 256)].double()
    for row in some:
        centre = centre + row
    centre = centre / max(1, len(some))
    spread = (some - centre).abs().amax() if some.numel() else torch.zeros(())
    if spread.isfinite() and spread > 0:  # on a grid about as wide as the rows differ: whole numbers stay whole
        grid = torch.ldexp(torch.ones((), dtype=torch.float64), torch.frexp(spread).exponent - 1)
        centre = (centre / grid).round() * grid
    centre = centre.float()
    halves = torch.zeros(k, dtype=torch.float64)
    for d in range(dim):
        halves = halves + (centroids[:, d] - centre[d]).double().square()
    values = (halves / 2).float().expand(len(rows), k)
    for d in range(dim):
        x, c = rows[:, d] - centre[d], centroids[:, d] - centre[d]
        values = fused_multiply_add(-x[:, None], c.expand(len(rows), k), values)
    values = values.nan_to_num(torch.inf, torch.inf)
    nearest = torch.where(values == values.amin(1, keepdim=True), torch.arange(k), k).amin(1)

    weights = torch.ones(len(rows)) if weights is None else weights
    sums, heights = torch.zeros(k, dim), torch.zeros(k, dtype=torch.float64)
    objective = torch.zeros(())
    for row, weight, cluster in zip(rows, weights, nearest.tolist(), strict=True):
        sums[cluster] += weight * row
        heights[cluster] += weight.double()
        distance = torch.zeros(())
        for d in range(dim):
            distance = distance + (row[d] - centroids[cluster, d]).square()
        objective = objective + distance
    mean_weights = heights.float()
    means = sums * torch.where(mean_weights == 0, 1.0, 1 / mean_weights)[:, None]
    return KMeansStep(means, mean_weights, torch.bincount(nearest, minlength=k), objective)
