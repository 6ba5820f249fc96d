"""FAISS's metrics beyond inner product and L2: what they are, and exact search by them.

A score is summed in float64 over the dimensions in their order, so that its bits depend on its pair alone, and rounded
to float32 once. Where a metric does not apply it is NaN, and such a pair is never found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor
from torch.nn import functional as F

from ..ops.arrays import Metric
from ..ops.merging import Neighbours, WithinRange, neighbours_in_order, ranges_in_order
from ..ops.select_k import select_k
from .arrays import FLT_MAX
from .metrics import (
    METRIC_GOWER,
    METRIC_L1,
    METRIC_BrayCurtis,
    METRIC_Canberra,
    METRIC_Jaccard,
    METRIC_JensenShannon,
    METRIC_Linf,
    METRIC_Lp,
    METRIC_NaNEuclidean,
    is_similarity_metric,
)

_QUERIES = 64
_PAIRS = 1 << 15  # summed at a time by one thread: they stay in its cache, and torch takes no further threads for them
_CUDA_PAIRS = 1 << 22
_SCORES = 1 << 22  # held at a time: 16 MiB

Term = Callable[[Tensor, Tensor], Tensor]  # of a dimension: q [Q, 1] and x [1, N] float64 to [Q, N]


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


# Of queries [D, Q, 1], keys [D, 1, N] float64 and metric_arg: [Q, N].
_METRICS: dict[int, Callable[[Tensor, Tensor, float], Tensor]] = {
    METRIC_L1: _l1,
    METRIC_Linf: _linf,
    METRIC_Lp: _lp,
    METRIC_Canberra: _canberra,
    METRIC_BrayCurtis: _bray_curtis,
    METRIC_JensenShannon: _jensen_shannon,
    METRIC_Jaccard: _jaccard,
    METRIC_NaNEuclidean: _nan_euclidean,
    METRIC_GOWER: _gower,
}


def is_extra_metric(metric: int) -> bool:
    """Whether it is one of these."""
    return metric in _METRICS


def extra_scores(queries: Tensor, keys: Tensor, metric: int, metric_arg: float = 0.0) -> Tensor:
    """The score of every query [Q, D] with every key [N, D], both float32 on one device: [Q, N] float32.

    `metric_arg` is the p of METRIC_Lp.
    """
    scores = queries.new_empty(len(queries), len(keys))
    if not scores.numel():
        return scores
    num_queries = min(_QUERIES, len(queries))
    num_keys = (_PAIRS if queries.device.type == "cpu" else _CUDA_PAIRS) // num_queries
    # Elements of a dimension side by side.
    query_blocks = [block.T.contiguous().double()[:, :, None] for block in torch.split(queries, num_queries)]

    def score(first: int) -> None:
        x = keys[first : first + num_keys].T.contiguous().double()[:, None]
        for number, q in enumerate(query_blocks):
            rows = slice(number * num_queries, (number + 1) * num_queries)
            scores[rows, first : first + num_keys] = _METRICS[metric](q, x, metric_arg)

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        list(pool.map(score, range(0, len(keys), num_keys)))
    return scores


def extra_search(
    queries: Tensor, keys: Tensor, k: int, metric: int, metric_arg: float = 0.0, allowed: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The k best keys of each query, of `allowed` [n] int64 (ascending) if given: scores and ids [Q, K].

    Best first, of equal scores the smaller id; padded with id -1 and the worst float32.
    """
    if allowed is not None:
        allowed = allowed.to(keys.device)
        keys = keys[allowed]
    similarity = is_similarity_metric(metric)
    direction: Metric = "ip" if similarity else "l2"  # all that a merge needs to know

    def parts(block: Tensor) -> Iterator[tuple[int, Neighbours]]:
        for first, rows in _runs(keys, _SCORES // _QUERIES):
            scores, columns = select_k(extra_scores(block, rows, metric, metric_arg), k, similarity)
            # FAISS's search begins with the worst float32, which no infinitely bad key surpasses.
            yield first, (scores, columns.masked_fill(scores == (-torch.inf if similarity else torch.inf), -1))

    answers = [neighbours_in_order(parts(block), block, k, direction) for block in torch.split(queries, _QUERIES)]
    scores, ids = (torch.cat(column) for column in zip(*answers, strict=True))
    scores = scores.masked_fill(ids < 0, -FLT_MAX if similarity else FLT_MAX)
    # Number -1 reads the -1 in front.
    return scores, ids if allowed is None else F.pad(allowed, (1, 0), value=-1)[ids + 1]


def extra_range_search(
    queries: Tensor, keys: Tensor, radius: float, metric: int, metric_arg: float = 0.0, allowed: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """lims [Q + 1], scores and ids of the keys within a radius, by ascending id."""
    if allowed is not None:
        allowed = allowed.to(keys.device)
        keys = keys[allowed]

    def parts() -> Iterator[tuple[int, WithinRange]]:
        for first, rows in _runs(keys, max(1, _SCORES // max(1, len(queries)))):
            scores = extra_scores(queries, rows, metric, metric_arg)
            query, column = (scores > radius if is_similarity_metric(metric) else scores < radius).nonzero().T
            lims = F.pad(torch.bincount(query, minlength=len(queries)).cumsum(0), (1, 0))
            yield first, (lims, scores[query, column], column)

    lims, scores, ids = ranges_in_order(parts(), queries)
    return lims, scores, ids if allowed is None else allowed[ids]


def _runs(keys: Tensor, size: int) -> Iterator[tuple[int, Tensor]]:
    return ((first, keys[first : first + size]) for first in range(0, len(keys), size))
