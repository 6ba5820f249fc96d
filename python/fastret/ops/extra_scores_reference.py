"""FAISS's metrics beyond inner product and L2: definitions in plain torch.

A sum runs in float64 over the dimensions in their order, so that a score's bits depend on its pair alone. Where a
metric does not apply, the score is NaN.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Term = Callable[[Tensor, Tensor], Tensor]  # of a dimension: q [Q, 1] and x [1, N] float64 to [Q, N]
Definition = Callable[[Tensor, Tensor, float], Tensor]  # of queries [D, Q, 1], keys [D, 1, N], the p of lp: [Q, N]


def _sum(queries: Tensor, keys: Tensor, term: Term) -> Tensor:
    total = queries.new_zeros(queries.shape[1], keys.shape[2])
    for q, x in zip(queries, keys, strict=True):
        total += term(q, x)
    return total


def _l1(queries: Tensor, keys: Tensor, p: float) -> Tensor:
    return _sum(queries, keys, lambda q, x: (q - x).abs_())


def _linf(queries: Tensor, keys: Tensor, p: float) -> Tensor:
    """The largest difference; NaN is passed over."""
    largest = queries.new_zeros(queries.shape[1], keys.shape[2])
    for q, x in zip(queries, keys, strict=True):
        torch.fmax(largest, (q - x).abs_(), out=largest)
    return largest


def _lp(queries: Tensor, keys: Tensor, p: float) -> Tensor:
    """The sum of |q - x|^p, without the root."""
    return _sum(queries, keys, lambda q, x: (q - x).abs_().pow_(p))


def _canberra(queries: Tensor, keys: Tensor, p: float) -> Tensor:
    return _sum(queries, keys, lambda q, x: (q - x).abs_().div_(q.abs() + x.abs()))


def _bray_curtis(queries: Tensor, keys: Tensor, p: float) -> Tensor:
    differences = _sum(queries, keys, lambda q, x: (q - x).abs_())
    return differences / _sum(queries, keys, lambda q, x: (q + x).abs_())


def _jensen_shannon(queries: Tensor, keys: Tensor, p: float) -> Tensor:
    """Half the divergences of both from their mean; NaN where an element is 0, as in FAISS."""

    def divergence(q: Tensor, x: Tensor) -> Tensor:
        mean = (q + x) / 2
        return -q * (mean / q).log_() - x * (mean / x).log_()

    return _sum(queries, keys, divergence) / 2


def _jaccard(queries: Tensor, keys: Tensor, p: float) -> Tensor:
    """The sum of the smaller elements over that of the larger ones: a similarity."""
    return _sum(queries, keys, torch.fmin) / _sum(queries, keys, torch.fmax)


def _nan_euclidean(queries: Tensor, keys: Tensor, p: float) -> Tensor:
    """Squared L2 over the dimensions that both have, scaled up to all."""
    squares = _sum(queries, keys, lambda q, x: (q - x).square_().nan_to_num_(0, torch.inf))
    return squares * (len(queries) / _present(queries, keys))


def _gower(queries: Tensor, keys: Tensor, p: float) -> Tensor:
    """The mean over the dimensions that both have: |q - x| of numbers in [0, 1], q != x of negative categories.

    NaN for the pair if a dimension mixes them or leaves their range.
    """
    sides = queries, keys
    numbers = [a.where((a >= 0) & (a <= 1), torch.nan) for a in sides]
    categories = [a.where(a < 0, torch.nan) for a in sides]
    num_numbers, num_categories, present = _present(*numbers), _present(*categories), _present(*sides)
    differences = _sum(numbers[0], numbers[1], lambda q, x: (q - x).abs_().nan_to_num_(0))
    differences += num_categories - _sum(categories[0], categories[1], torch.eq)
    return (differences / present).masked_fill_(num_numbers + num_categories != present, torch.nan)


def _present(queries: Tensor, keys: Tensor) -> Tensor:
    """In how many dimensions both are not NaN; whole numbers, exact in any order."""
    return (~queries[:, :, 0].isnan()).double().T @ (~keys[:, 0].isnan()).double()


DEFINITIONS: dict[str, Definition] = {
    "l1": _l1,
    "linf": _linf,
    "lp": _lp,
    "canberra": _canberra,
    "bray_curtis": _bray_curtis,
    "jensen_shannon": _jensen_shannon,
    "jaccard": _jaccard,
    "nan_euclidean": _nan_euclidean,
    "gower": _gower,
}


def extra_scores(queries: Tensor, keys: Tensor, metric: str, p: float = 0.0) -> Tensor:
    """The score of every query [Q, D] with every key [N, D], both float32: [Q, N] float32, rounded once."""
    return DEFINITIONS[metric](by_dimension(queries)[:, :, None], by_dimension(keys)[:, None], p).float()


def by_dimension(rows: Tensor) -> Tensor:
    """rows [n, D] as [D, n] float64: elements of a dimension side by side."""
    return rows.T.contiguous().double()
