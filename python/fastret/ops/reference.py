"""What the ops compute: definitions in float64 torch, equal bit for bit to every kernel.

They hold a Q x N x 16 tensor and are for reading and for tests, not for use at scale.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .arrays import Metric

CANONICAL_LANES = 16


def canonical_sum(a: Tensor, b: Tensor, term: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """The sum of `term(a, b)` over the last axis in float64, in the order that all kernels share.

    Lane j of 16 adds the terms of dimensions j, j + 16, j + 32, ... from 0 on; then lanes fold in halves.

    Args:
        a, b: [..., D] of any floating-point dtype; the leading axes broadcast.

    Returns:
        [...] float64.
    """
    shape = torch.broadcast_shapes(a.shape[:-1], b.shape[:-1])
    lanes = torch.zeros(*shape, CANONICAL_LANES, dtype=torch.float64, device=a.device)
    for a_part, b_part in zip(a.split(CANONICAL_LANES, -1), b.split(CANONICAL_LANES, -1), strict=True):
        lanes[..., : a_part.shape[-1]] += term(a_part.double(), b_part.double())
    for half in (8, 4, 2, 1):
        lanes = lanes[..., :half] + lanes[..., half:]
    return lanes[..., 0]


def cosine_scores(queries: Tensor, keys: Tensor, metric: Metric = "cosine") -> Tensor:
    """The canonical score of every query with every key.

    Args:
        queries: [Q, D] or [B, Q, D] float32, bfloat16 or float16, each value taken exactly.
        keys: [N, D] or [B, N, D].
        metric: "cosine" (0 with a zero vector, NaN with a vector that holds one), "ip" or "l2" (squared).

    Returns:
        scores [Q, N] or [B, Q, N] float32, rounded once; -0 is +0.
    """
    q, x = queries.unsqueeze(-2), keys.unsqueeze(-3)
    if metric == "l2":
        return canonical_sum(q, x, lambda a, b: (a - b).square()).float()
    scores = canonical_sum(q, x, torch.mul)
    if metric == "cosine":
        q_square, x_square = canonical_sum(q, q, torch.mul), canonical_sum(x, x, torch.mul)
        zero = (q_square == 0) & ~x_square.isnan() | (x_square == 0) & ~q_square.isnan()
        scores = torch.where(zero, 0, scores / (_sqrt(q_square) * _sqrt(x_square)))
    return scores.float() + 0.0


def _sqrt(squares: Tensor) -> Tensor:
    # torch's float64 sqrt goes through MKL, whose last bit is not always IEEE 754's; numpy's is.
    return torch.from_numpy(np.sqrt(squares.numpy(force=True))).to(squares.device)


def search(
    queries: Tensor,
    keys: Tensor,
    k: int,
    metric: Metric = "ip",
    *,
    allowed: Tensor | None = None,
    excluded: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The k best keys of each query: the best scores first, of equal scores the smaller id.

    Args:
        queries: [Q, D] float32, bfloat16 or float16.
        keys: [N, D].
        k: neighbours per query; a row with fewer scores that are not NaN ends in id -1, score -inf ("l2": +inf).
        allowed: [N] bool: the keys that may be found.
        excluded: [Q, E] int64: ids that a query may not find, padded with -1.

    Returns:
        scores [Q, K] float32 and ids [Q, K] int64.
    """
    scores = filtered(cosine_scores(queries, keys, metric), allowed, excluded)
    return select_k(scores, k, largest=metric != "l2")


def range_search(
    queries: Tensor,
    keys: Tensor,
    threshold: float,
    metric: Metric = "ip",
    *,
    allowed: Tensor | None = None,
    excluded: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """The keys that score above a threshold, for "l2" below it, compared in float32; arguments as of `search`.

    Returns:
        lims [Q + 1] int64, scores float32 and ids int64: those of query i from lims[i] to lims[i + 1], ids ascending.
    """
    scores = filtered(cosine_scores(queries, keys, metric), allowed, excluded)
    found = scores < threshold if metric == "l2" else scores > threshold
    return F.pad(found.sum(1).cumsum(0), (1, 0)), scores[found], found.nonzero()[:, 1]


def filtered(scores: Tensor, allowed: Tensor | None, excluded: Tensor | None) -> Tensor:
    """`scores` [Q, N] with NaN, which is no neighbour, where a key may not be found."""
    may = torch.ones_like(scores, dtype=torch.bool)
    if allowed is not None:
        may &= allowed
    if excluded is not None:
        may &= ~(excluded[:, :, None] == torch.arange(scores.shape[1], device=scores.device)).any(1)
    return scores.masked_fill(~may, torch.nan)


def select_k(values: Tensor, k: int, largest: bool = True) -> tuple[Tensor, Tensor]:
    """The k largest or smallest values of each row: the best first, of equal values the smaller column.

    Args:
        values: [R, C] float32, bfloat16 or float16; -0 equals +0.
        k: values per row; a row with fewer that are not NaN ends in column -1, value -inf (smallest: +inf).

    Returns:
        selected [R, K] of the dtype of `values` and columns [R, K] int64.
    """
    worst = float("-inf" if largest else "inf")
    keys = -values.double() if largest else values.double()
    keys, columns = (part[:, :k] for part in torch.sort(keys, dim=1, stable=True))  # NaN sorts last
    selected = values.gather(1, columns).masked_fill(keys.isnan(), worst)
    columns = columns.masked_fill(keys.isnan(), -1)
    missing = (0, max(0, k - values.shape[1]))
    return F.pad(selected, missing, value=worst), F.pad(columns, missing, value=-1)
