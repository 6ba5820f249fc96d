"""The softmax of some anchors: its tiles' stats, the losses that follow from them, and the gradient's coefficients."""

from __future__ import annotations

import torch
from torch import Tensor

from ..ops.contrastive import COUNT, EXP_SUM, LARGEST, POSITIVE_WORTH, WORTH_SUM, ColumnLists, empty_stats


class Softmax:
    """R anchors, each with candidates from any number of tiles."""

    def __init__(self, rows: int, positives: ColumnLists, label_smoothing: float, limits: Tensor | None) -> None:
        self.positives = positives
        self.label_smoothing = label_smoothing
        self.limits = limits  # [R] float64
        self.stats = empty_stats(rows, positives.bounds)
        self.num_positives = positives.bounds[1] - positives.bounds[0]  # [R]
        self.counted = (self.num_positives > 0).sum()  # anchors that have a loss

    def losses(self) -> Tensor:
        """[R] float64, at least 0; 0 of anchors without a positive."""
        stats, smoothing = self.stats, self.label_smoothing
        # Each a difference to the largest worth first: small numbers, so that little is rounded.
        to_positives = stats[LARGEST] - stats[POSITIVE_WORTH] / self.num_positives
        losses = stats[EXP_SUM].log() + to_positives
        if smoothing:
            to_all = stats[LARGEST] - stats[WORTH_SUM] / stats[COUNT]
            losses = stats[EXP_SUM].log() + (1 - smoothing) * to_positives + smoothing * to_all
        return torch.where(self.num_positives > 0, losses, 0)

    def coefficients(self, weights: Tensor, begin: int = 0, end: int | None = None) -> Tensor:
        """[4, R] float64, those of `contrastive_gradient_`, of the losses from begin to end times weights [R] or []."""
        part = slice(begin, end)
        stats, positives = self.stats[:, part], self.num_positives[part]
        weights = torch.where(positives > 0, weights if weights.dim() == 0 else weights[part], 0)
        # Beside an offset of inf every exp is 0.
        offset = torch.where(positives > 0, stats[LARGEST], torch.inf)
        factor = torch.where(positives > 0, weights / stats[EXP_SUM], 0)
        smoothing = self.label_smoothing * weights / stats[COUNT].clamp_min(1)
        target = (1 - self.label_smoothing) * weights / positives.clamp_min(1)
        return torch.stack([offset, factor, smoothing, target])
