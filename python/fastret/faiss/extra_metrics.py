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
    query_blocks = [block.double().T.contiguous()[:, :, None] for block in torch.split(queries, num_queries)]

    def score(first: int) -> None:
        x = keys[first : first + num_keys].double().T.contiguous()[:, None]
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
    similarity = is_similarity_metric(metric)
    answers = []
    for block in torch.split(queries, _QUERIES):
        best = block.new_full((len(block), k), torch.nan)
        ids = torch.full(best.shape, -1, device=block.device)
        for part_ids, scores in _parts(block, keys, metric, metric_arg, allowed):
            # FAISS's search begins with the worst float32, which no infinitely bad key surpasses.
            scores = scores.masked_fill_(scores == (-torch.inf if similarity else torch.inf), torch.nan)
            best, columns = select_k(torch.cat([best, scores], 1), k, similarity)
            ids = torch.cat([ids, part_ids.expand(len(block), -1)], 1)
            ids = F.pad(ids, (1, 0), value=-1).gather(1, columns + 1)  # column -1 reads the -1 in front
            best = best.masked_fill(ids < 0, torch.nan)
        answers.append((best, ids))
    scores, ids = (torch.cat(column) for column in zip(*answers, strict=True))
    return scores.masked_fill(ids < 0, -FLT_MAX if similarity else FLT_MAX), ids


def extra_range_search(
    queries: Tensor, keys: Tensor, radius: float, metric: int, metric_arg: float = 0.0, allowed: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """lims [Q + 1], scores and ids of the keys within a radius, by ascending id."""
    nothing = torch.empty(0, dtype=torch.int64, device=queries.device)
    found = [(nothing, nothing.float(), nothing)]
    for first in range(0, len(queries), _QUERIES):
        for ids, scores in _parts(queries[first : first + _QUERIES], keys, metric, metric_arg, allowed):
            query, column = (scores > radius if is_similarity_metric(metric) else scores < radius).nonzero().T
            found.append((query + first, scores[query, column], ids[column]))
    query, scores, ids = (torch.cat(column) for column in zip(*found, strict=True))
    order = query.argsort(stable=True)
    lims = F.pad(torch.bincount(query, minlength=len(queries)).cumsum(0), (1, 0))
    return lims, scores[order], ids[order]


def _parts(
    queries: Tensor, keys: Tensor, metric: int, metric_arg: float, allowed: Tensor | None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Ids [n], ascending from part to part, and the scores [Q, n] of those keys."""
    ids = torch.arange(len(keys), device=keys.device) if allowed is None else allowed
    for first in range(0, len(ids), _SCORES // _QUERIES):
        place = slice(first, first + _SCORES // _QUERIES)
        rows = keys[place] if allowed is None else keys[ids[place]]
        yield ids[place], extra_scores(queries, rows, metric, metric_arg)
