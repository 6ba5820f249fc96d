"""One model on one task: embeddings in; metrics with intervals, per-query measures and the best ranks out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from fastret.ops import search
from fastret.ops.arrays import Array, Metric, to_tensor

from .dataset import Dataset, judgements
from .metrics import check_ks, measure_queries, metric_names, per_query_values
from .ranks import relevant_ranks, score_chunks
from .significance import Interval, bootstrap_intervals

DEFAULT_KS = (1, 5, 10)
# Neighbours kept per query for the run file, if no cut-off asks for more.
RUN_DEPTH = 100


@dataclass(frozen=True)
class Run:
    """The best candidates of each judged query, in the order of `fastret.search`."""

    scores: np.ndarray  # [J, K] float32
    rows: np.ndarray  # [J, K] int64, positions in the candidates; -1 pads
    candidate_ids: Sequence[str]  # [N]

    def of_query(self, query: int) -> Iterator[tuple[str, float]]:
        """(candidate id, score) of judged query number `query`, best first."""
        for score, row in zip(self.scores[query], self.rows[query], strict=True):
            if row >= 0:
                yield self.candidate_ids[row], float(score)


@dataclass(frozen=True)
class Evaluation:
    """What was measured. J judged queries: those with a relevant candidate.

    `per_query` holds [J] arrays: the measures of `fastret.evaluate.metrics`, `first_rank_optimistic` and
    `first_rank_pessimistic` (the first relevant candidate before or behind all candidates of its score),
    `tied_candidates` (how many those are) and `relevant_candidates`.
    `timings` have their units in the names.
    """

    model: str
    task: str
    metric: Metric  # the similarity: "cosine", "ip" or "l2"
    ks: tuple[int, ...]
    metrics: dict[str, float]
    intervals: dict[str, Interval | None]  # 95 % bootstrap; None where there is none
    query_ids: list[str]  # [J]
    per_query: dict[str, np.ndarray]
    run: Run
    tie_dependent_share: float  # of the queries whose first relevant rank depends on how ties are broken
    dataset: Mapping[str, object]  # facts: name, sizes, skipped records, queries without relevant candidates
    seed: int
    timings: dict[str, float]
    model_description: Mapping[str, str] = field(default_factory=dict)


def evaluate_embeddings(
    query_embeddings: Array,  # [Q, D]
    candidate_embeddings: Array,  # [N, D]
    dataset: Dataset,
    *,
    model: str,
    metric: Metric = "cosine",
    ks: Sequence[int] = DEFAULT_KS,
    seed: int = 0,
    model_description: Mapping[str, str] | None = None,
    timings: Mapping[str, float] | None = None,
) -> Evaluation:
    """Rank every candidate for every query and measure where the relevant ones are.

    Queries without a relevant candidate are left out and counted in `dataset["queries_without_relevant"]`.
    Embeddings are torch tensors, numpy or CuPy arrays of float32, bfloat16 or float16 and stay on their device. One
    that makes a score NaN is never retrieved; those with NaN or infinity in them are counted in
    `dataset["queries_not_finite"]` and `dataset["candidates_not_finite"]`. `seed` is that of the bootstrap.
    `model_description` and `timings` are passed on to the results.

    Raises ValueError where the shapes do not fit the data set, the metric or a cut-off is none, or no query
    has a relevant candidate; TypeError for embeddings of another kind or dtype.
    """
    ks = check_ks(ks)
    check_metric(metric)
    all_queries = to_tensor("evaluate_embeddings", "query_embeddings", query_embeddings).detach()
    candidates = to_tensor("evaluate_embeddings", "candidate_embeddings", candidate_embeddings).detach()
    _check_shapes(all_queries, candidates, dataset)
    judged = judgements(dataset)
    queries = all_queries[torch.from_numpy(judged.query_rows).to(all_queries.device)]

    start = time.perf_counter()
    run = _search(queries, candidates, judged.excluded, metric, max(*ks, RUN_DEPTH), dataset.candidates.ids)
    searched = time.perf_counter()
    ranks = relevant_ranks(score_chunks(queries, candidates, metric), judged)
    ranked = time.perf_counter()

    per_query = measure_queries(ranks, ks)
    metrics, intervals = _summaries(per_query, ks, seed)
    per_query |= {
        "first_rank_optimistic": ranks.first_optimistic,
        "first_rank_pessimistic": ranks.first_pessimistic,
        "tied_candidates": ranks.tied,
        "relevant_candidates": np.array([len(rows) for rows in judged.relevant]),
    }
    return Evaluation(
        model=model,
        task=dataset.task,
        metric=metric,
        ks=ks,
        metrics=metrics,
        intervals=intervals,
        query_ids=[dataset.queries.ids[row] for row in judged.query_rows],
        per_query=per_query,
        run=run,
        tie_dependent_share=float(np.mean(ranks.tied > 0)),
        dataset={
            **_facts(dataset, len(judged.query_rows), sum(map(len, judged.relevant))),
            "queries_not_finite": _rows_not_finite(all_queries),
            "candidates_not_finite": _rows_not_finite(candidates),
        },
        seed=seed,
        timings={
            **(timings or {}),
            "search_s": searched - start,
            "rank_s": ranked - searched,
            "statistics_s": time.perf_counter() - ranked,
        },
        model_description=dict(model_description or {}),
    )


def check_metric(metric: str) -> None:
    """Raises ValueError for an unknown similarity."""
    if metric not in get_args(Metric):
        raise ValueError(f"evaluate: metric must be one of {', '.join(get_args(Metric))}, got {metric!r}")


def _check_shapes(query_embeddings: Tensor, candidate_embeddings: Tensor, dataset: Dataset) -> None:
    shapes = list(query_embeddings.shape), list(candidate_embeddings.shape)
    if query_embeddings.ndim != 2 or candidate_embeddings.ndim != 2 or shapes[0][1] != shapes[1][1]:
        raise ValueError(
            f"evaluate_embeddings: embeddings must be matrices that share D, got {shapes[0]} and {shapes[1]}"
        )
    expected = len(dataset.queries), len(dataset.candidates)
    if (shapes[0][0], shapes[1][0]) != expected:
        raise ValueError(
            f"evaluate_embeddings: {dataset.name} has {expected[0]} queries and {expected[1]} candidates, "
            f"got embeddings {shapes[0]} and {shapes[1]}"
        )


def _rows_not_finite(embeddings: Tensor) -> int:
    """Rows with a NaN or an infinity, counted in pieces: a mask of all the embeddings would be large."""
    pieces = (embeddings[start : start + (1 << 16)] for start in range(0, len(embeddings), 1 << 16))
    return sum(len(rows) - int(torch.count_nonzero(rows.isfinite().all(dim=1))) for rows in pieces)


def _search(
    queries: Tensor,
    candidates: Tensor,
    excluded: np.ndarray,
    metric: Metric,
    depth: int,
    candidate_ids: Sequence[str],
) -> Run:
    one_more = bool((excluded >= 0).any())  # room for the query itself
    found = search(queries, candidates, min(depth, len(candidates)) + one_more, metric=metric)
    scores, rows = (tensor.cpu().numpy() for tensor in found)
    if one_more:
        # False sorts first: a stable sort moves the query itself to the end and keeps the others in order.
        order = np.argsort(rows == excluded[:, None], axis=1, kind="stable")[:, :-1]
        is_self = np.take_along_axis(rows == excluded[:, None], order, axis=1)
        scores = np.take_along_axis(scores, order, axis=1)
        rows = np.where(is_self, -1, np.take_along_axis(rows, order, axis=1))
    return Run(scores=scores, rows=rows, candidate_ids=candidate_ids)


def _summaries(
    per_query: dict[str, np.ndarray], ks: Sequence[int], seed: int
) -> tuple[dict[str, float], dict[str, Interval | None]]:
    values: dict[str, np.ndarray] = {}
    metrics: dict[str, float] = {}
    by_statistic: dict[Callable[..., Any], list[str]] = {}
    for name in metric_names(ks):
        values[name], statistic = per_query_values(name, per_query)
        metrics[name] = float(statistic(values[name]))
        by_statistic.setdefault(statistic, []).append(name)
    intervals: dict[str, Interval | None] = {}
    for statistic, names in by_statistic.items():
        intervals |= bootstrap_intervals({name: values[name] for name in names}, statistic, seed)
    return metrics, {name: intervals[name] for name in metrics}


def _facts(dataset: Dataset, judged_queries: int, relevant_pairs: int) -> dict[str, object]:
    return {
        "name": dataset.name,
        "queries": len(dataset.queries),
        "candidates": len(dataset.candidates),
        "queries_evaluated": judged_queries,
        "queries_without_relevant": len(dataset.queries) - judged_queries,
        "relevant_pairs": relevant_pairs,
        "exclude_self": dataset.exclude_self,
        "skipped": dict(dataset.skipped),
    }
