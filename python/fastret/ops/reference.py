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
    query_labels: Tensor | None = None,
    key_labels: Tensor | None = None,
    ceilings: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The k best keys of each query: the best scores first, of equal scores the smaller id.

    Args:
        queries: [Q, D] float32, bfloat16 or float16.
        keys: [N, D].
        k: neighbours per query; a row with fewer scores that are not NaN ends in id -1, score -inf ("l2": +inf).
        allowed: [N] bool: the keys that may be found.
        excluded: [Q, E] int64: ids that a query may not find, padded with -1.
        query_labels, key_labels: [Q] and [N] int64: a query does not find keys of its own label.
        ceilings: [Q] float32: nor keys that score better; NaN bounds nothing.

    Returns:
        scores [Q, K] float32 and ids [Q, K] int64.
    """
    scores = filtered(cosine_scores(queries, keys, metric), allowed, excluded, query_labels, key_labels)
    if ceilings is not None:
        beats = scores < ceilings[:, None] if metric == "l2" else scores > ceilings[:, None]
        scores = scores.masked_fill(beats, torch.nan)
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


def mine_hard_negatives(
    queries: Tensor,
    keys: Tensor,
    k: int,
    positives: Tensor | None = None,
    metric: Metric = "ip",
    *,
    query_labels: Tensor | None = None,
    key_labels: Tensor | None = None,
    absolute_margin: float | None = None,
    relative_margin: float | None = None,
    min_score: float | None = None,
    max_score: float | None = None,
    range_min: int = 0,
    range_max: int | None = None,
    allowed: Tensor | None = None,
    excluded: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The first k of a query's ranked non-positives, ranks range_min to range_max, whose scores are within bounds.

    Args:
        positives: [Q, P] int64 ids, padded with -1; the other arguments as of fastret.mine_hard_negatives.

    Returns:
        scores [Q, K] float32 and ids [Q, K] int64, padded as of `search`.
    """
    scores = cosine_scores(queries, keys, metric)
    none = torch.empty(len(queries), 0, dtype=torch.int64)
    is_positive = ((none if positives is None else positives)[:, :, None] == torch.arange(len(keys))).any(1)
    # The least similar positive decides; a query without one, and NaN, bounds nothing.
    unlike = float("-inf" if metric == "l2" else "inf")
    of_positives = F.pad(scores.masked_fill(~is_positive | scores.isnan(), unlike), (0, 1), value=unlike)
    worst = (of_positives.amax(1) if metric == "l2" else of_positives.amin(1)).double()

    sign = 1 if metric == "l2" else -1
    steps = [] if absolute_margin is None else [torch.full_like(worst, absolute_margin)]
    steps += [] if relative_margin is None else [relative_margin * worst.abs()]
    limits = [torch.where(worst.isinf(), worst, worst + sign * step) for step in steps]
    low = torch.full_like(worst, float("-inf") if min_score is None else min_score)
    high = torch.full_like(worst, float("inf") if max_score is None else max_score)
    for limit in limits:
        low, high = (low.maximum(limit), high) if metric == "l2" else (low, high.minimum(limit))

    scores = filtered(scores.masked_fill(is_positive, torch.nan), allowed, excluded, query_labels, key_labels)
    ranked, ids = (part[:, range_min:range_max] for part in select_k(scores, len(keys), largest=metric != "l2"))
    within = (ids >= 0) & (ranked >= low[:, None]) & (ranked <= high[:, None])
    mined, columns = select_k(ranked.masked_fill(~within, torch.nan), k, largest=metric != "l2")
    return mined, F.pad(ids, (0, 1), value=-1).gather(1, columns % (ids.shape[1] + 1))  # column -1: the padding


def filtered(
    scores: Tensor,
    allowed: Tensor | None,
    excluded: Tensor | None,
    query_labels: Tensor | None = None,
    key_labels: Tensor | None = None,
) -> Tensor:
    """`scores` [Q, N] with NaN, which is no neighbour, where a key may not be found."""
    may = torch.ones_like(scores, dtype=torch.bool)
    if allowed is not None:
        may &= allowed
    if excluded is not None:
        may &= ~(excluded[:, :, None] == torch.arange(scores.shape[1], device=scores.device)).any(1)
    if query_labels is not None and key_labels is not None:
        may &= query_labels[:, None] != key_labels
    return scores.masked_fill(~may, torch.nan)


def split_rows(rows: Tensor) -> tuple[Tensor, Tensor]:
    """The planes of rows [n, D]: `high` uint16, elements rounded to bfloat16 by their bits, and `low` int16, the rest.

    Every float32 comes back from `join_rows` with its bits, NaN and subnormals included: the sums are modulo 2^32.
    float16 has 11 significant bits, of which `high` holds 8; of bfloat16 rows `low` is 0.
    """
    bits = rows.float().contiguous().view(torch.int32)
    high = (bits + 0x8000) >> 16
    return high.to(torch.int16).view(torch.uint16), (bits - (high << 16)).to(torch.int16)


def join_rows(high: Tensor, low: Tensor) -> Tensor:
    """The float32 rows [n, D] of their planes."""
    return ((high.view(torch.int16).int() << 16) + low).view(torch.float32)


def plane_facts(rows: Tensor, metric: Metric) -> Tensor:
    """[n, 4] float32 beside the planes of rows x: scale, bias, and from above scale |x - high| and scale |high|.

    scale * (query . high) + bias is the first pass's value. A third fact of NaN: the row is never found; of +inf: the
    pass tells nothing about it. The bound that these are for is proven in csrc/kernels/cuda/error_bound.cuh.
    """
    x = rows.double()
    high = split_rows(rows)[0].view(torch.bfloat16).double()
    exact, residual, high_norm = (canonical_sum(part, part, torch.mul).sqrt() for part in (x, x - high, high))
    fits = (exact == 0) | (exact >= 2.0**-30) & (exact <= 2.0**60)
    scale = torch.where(exact == 0, 0, 1 / exact) if metric == "cosine" else torch.ones_like(exact)
    bias = -exact.square() / 2 if metric == "l2" else torch.zeros_like(exact)
    upward = 1 + 2.0**-20  # outweighs every rounding, here and where the facts are used
    bounded = torch.stack([scale, bias, scale * residual * upward, scale * high_norm * upward], 1)
    unbounded = x.new_tensor([1, 0, torch.inf, 0]).repeat(len(x), 1)
    unbounded[exact.isnan(), 2] = torch.nan
    return torch.where(fits[:, None], bounded, unbounded).float()


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
