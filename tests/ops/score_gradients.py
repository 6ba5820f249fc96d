"""Gradients of scores, for comparison with those of a formula."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor


def gradients(
    scores: Callable[..., Tensor], queries: Tensor, keys: Tensor, weights: Tensor, metric: str
) -> list[Tensor]:
    """Those of the weighted sum of scores(queries, keys, metric), with respect to queries and keys."""
    leaves = [queries.detach().clone().requires_grad_(), keys.detach().clone().requires_grad_()]
    (scores(*leaves, metric) * weights).sum().backward()
    return [leaf.grad for leaf in leaves]  # type: ignore[misc]
