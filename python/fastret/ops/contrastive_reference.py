"""What the tiles of a contrastive loss add up to: its definition in torch, differentiable, [R, C] at once."""

from __future__ import annotations

import torch
from torch import Tensor


def contrastive_losses(
    scores: Tensor,  # [R, C] of anchors with candidates
    positive: Tensor,  # [R, C] bool
    present: Tensor,  # [R, C] bool: candidates; positives always are
    temperature: Tensor | float,
    margin: float = 0.0,
    hardness: Tensor | float = 0.0,  # or [C], of each candidate
    label_smoothing: float = 0.0,
) -> Tensor:
    """[R]: cross-entropy of the worths with the positives, 0 without any."""
    present = present | positive
    negative_worth = scores / temperature + hardness * scores.detach()
    worth = torch.where(positive, (scores - margin) / temperature, negative_worth)
    log_sum = torch.where(present, worth, -torch.inf).logsumexp(1)
    positives, all_present = (mask.to(scores.dtype) for mask in (positive, present))
    targets = (1 - label_smoothing) * positives / positives.sum(1, keepdim=True).clamp_min(1)
    targets = targets + label_smoothing * all_present / all_present.sum(1, keepdim=True).clamp_min(1)
    losses = log_sum - torch.where(present, targets * worth, 0).sum(1)
    return torch.where(positive.any(1), losses, 0)


def sigmoid_losses(scores: Tensor, positive: Tensor, temperature: Tensor | float, bias: Tensor | float) -> Tensor:
    """[R]: sums of -log sigmoid(z) of positives and -log sigmoid(-z) of others, z = score / temperature + bias."""
    z = scores / temperature + bias
    return -torch.nn.functional.logsigmoid(torch.where(positive, z, -z)).sum(1)
