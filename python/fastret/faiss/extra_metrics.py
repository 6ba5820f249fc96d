"""FAISS's metrics beyond inner product and L2: what they are, and exact search by them.

A score is summed in float64 over the dimensions in their order, so that its bits depend on its pair alone, and rounded
to float32 once. Where a metric does not apply it is NaN, and such a pair is never found.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor
from torch.nn import functional as F

from ..ops.arrays import Metric
from ..ops.extra_scores import EXTRA_METRICS
from ..ops.extra_scores_reference import DEFINITIONS, Definition, by_dimension
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

# The names of the metrics in ops.extra_scores_reference.
_NAMES = {
    METRIC_L1: "l1",
    METRIC_Linf: "linf",
    METRIC_Lp: "lp",
    METRIC_Canberra: "canberra",
    METRIC_BrayCurtis: "bray_curtis",
    METRIC_JensenShannon: "jensen_shannon",
    METRIC_Jaccard: "jaccard",
    METRIC_NaNEuclidean: "nan_euclidean",
    METRIC_GOWER: "gower",
}


def is_extra_metric(metric: int) -> bool:
    """Whether it is one of these."""
    return metric in _NAMES


def extra_scores(queries: Tensor, keys: Tensor, metric: int, metric_arg: float = 0.0) -> Tensor:
    """The score of every query [Q, D] with every key [N, D], both float32 on one device: [Q, N] float32.

    `metric_arg` is the p of METRIC_Lp.
    """
    name = _NAMES[metric]
    if name in EXTRA_METRICS and queries.device.type == "cpu":
        scores: Tensor = torch.ops.fastret.extra_scores(queries, keys, EXTRA_METRICS.index(name))
        return scores
    return _scores_by_definition(queries, keys, DEFINITIONS[name], metric_arg)


def _scores_by_definition(queries: Tensor, keys: Tensor, definition: Definition, metric_arg: float) -> Tensor:
    """Block by block: for CUDA, and for logarithms and powers, which torch computes many at a time."""
    scores = queries.new_empty(len(queries), len(keys))
    if not scores.numel():
        return scores
    num_queries = min(_QUERIES, len(queries))
    num_keys = (_PAIRS if queries.device.type == "cpu" else _CUDA_PAIRS) // num_queries
    query_blocks = [by_dimension(block)[:, :, None] for block in torch.split(queries, num_queries)]

    def score(first: int) -> None:
        x = by_dimension(keys[first : first + num_keys])[:, None]
        for number, q in enumerate(query_blocks):
            rows = slice(number * num_queries, (number + 1) * num_queries)
            scores[rows, first : first + num_keys] = definition(q, x, metric_arg)

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

    def find(block: Tensor, rows: Tensor) -> Neighbours:
        scores, columns = select_k(extra_scores(block, rows, metric, metric_arg), k, similarity)
        # FAISS's search begins with the worst float32, which no infinitely bad key surpasses.
        return scores, columns.masked_fill(scores == (-torch.inf if similarity else torch.inf), -1)

    def search(block: Tensor) -> Neighbours:
        if len(keys) <= _SCORES // _QUERIES:
            return find(block, keys)
        parts = ((first, find(block, rows)) for first, rows in _runs(keys, _SCORES // _QUERIES))
        return neighbours_in_order(parts, block, k, direction)

    answers = [search(block) for block in torch.split(queries, _QUERIES)]
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
