"""What is right, in float64, so that nobody wins a comparison by being wrong.

These definitions do not use fastret. A whole float64 ranking would take longer than the measurements, so they are
asked about a sample of the queries.
"""

from __future__ import annotations

import torch
from torch import Tensor

CHECKED_ROWS = 100
KEYS_PER_BLOCK = 65_536


def checked_rows(num_rows: int) -> Tensor:
    """The sample [at most 100] of row numbers that is checked: evenly spaced, first and last among them."""
    return torch.linspace(0, num_rows - 1, min(num_rows, CHECKED_ROWS)).round().long()


def float64_scores(queries: Tensor, keys: Tensor, metric: str) -> Tensor:
    """Scores [..., Q, N] in float64; "l2" is the squared distance, from differences, without cancellation."""
    queries, keys = queries.double(), keys.double()
    if metric == "l2":
        return torch.cdist(queries, keys, compute_mode="donot_use_mm_for_euclid_dist").square_()
    scores = queries @ keys.mT
    if metric == "cosine":
        scores /= queries.norm(dim=-1).unsqueeze(-1) * keys.norm(dim=-1).unsqueeze(-2)
    return scores


def ranking(scores: Tensor, k: int, largest: bool) -> Tensor:
    """Columns [R, K] of the k best scores of each row, best first, of equal scores the smaller column first.

    Scores are compared after rounding to float32, as they are returned: two that round to one value are equal.
    """
    return torch.sort(scores.float(), dim=1, descending=largest, stable=True).indices[:, :k]


def float64_ranking(queries: Tensor, keys: Tensor, k: int, metric: str) -> Tensor:
    """The ids [Q, K] of the k best keys, as `ranking` orders them."""
    # Keys in blocks: all of them in float64 may not fit.
    scores = [float64_scores(queries, block, metric).float() for block in keys.split(KEYS_PER_BLOCK)]
    return ranking(torch.cat(scores, dim=1), k, largest=metric != "l2")


def share_of_equal_ids(ids: Tensor, expected: Tensor) -> float:
    """The share of places [R, K] that hold the expected id."""
    return (ids == expected).double().mean().item()


def share_correctly_rounded(scores: Tensor, expected: Tensor) -> float:
    """The share of float32 scores that are the float32 nearest to the expected float64 score."""
    magnitude = expected.float().abs()
    spacing = torch.nextafter(magnitude, torch.full_like(magnitude, torch.inf)).double() - magnitude.double()
    # The expected scores are themselves rounded, 2^29 times finer: where they say that two float32 are equally near
    # to within that, either is right.
    half = spacing * (0.5 + 1e-6)
    return ((scores.double() - expected).abs() <= half).double().mean().item()
