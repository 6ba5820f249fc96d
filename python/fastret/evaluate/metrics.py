"""Retrieval measures from exact ranks, defined as trec_eval defines them.

Per query with R relevant candidates at ranks r_1 < ... < r_R and grades g:

    recall@k           |{r <= k}| / R                     trec_eval recall_k
    hit@k              1 if r_1 <= k, else 0              trec_eval success_k; elsewhere often called recall@k
    precision@k        |{r <= k}| / k                     trec_eval P_k
    reciprocal_rank    1 / r_1                            trec_eval recip_rank
    average_precision  (1 / R) sum_i i / r_i              trec_eval map
    ndcg@k             sum_{r <= k} g / log2(1 + r), over the same sum of the best order; the gain is the
                       grade itself (Jaervelin and Kekaelaeinen 2002; trec_eval ndcg_cut_k), not 2^grade - 1
    first_rank         r_1

A metric over queries is the mean of one of these, or the median of first_rank. No ranking is cut off, so that
average precision and reciprocal rank see the whole corpus.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from .ranks import RelevantRanks

# Metrics that are not called like the per-query measure that they summarise.
_SUMMARIES: dict[str, tuple[str, Callable[..., np.ndarray]]] = {
    "mrr": ("reciprocal_rank", np.mean),
    "map": ("average_precision", np.mean),
    "median_rank": ("first_rank", np.median),
    "mean_rank": ("first_rank", np.mean),
}


def check_ks(ks: Sequence[int]) -> tuple[int, ...]:
    """The cut-offs in ascending order, each once. Raises ValueError unless they are integers of at least 1."""
    if not isinstance(ks, Sequence) or not ks or not all(_is_cut_off(k) for k in ks):
        raise ValueError(f"evaluate: the cut-offs k must be integers of at least 1, got {ks!r}")
    return tuple(sorted({int(k) for k in ks}))


def _is_cut_off(k: object) -> bool:
    return isinstance(k, (int, np.integer)) and not isinstance(k, bool) and int(k) >= 1


def metric_names(ks: Sequence[int]) -> list[str]:
    """Every metric, in the order of the results."""
    cut = [f"{measure}@{k}" for measure in ("recall", "hit", "precision", "ndcg") for k in ks]
    return [*cut, *_SUMMARIES]


def measure_queries(ranks: RelevantRanks, ks: Sequence[int]) -> dict[str, np.ndarray]:
    """Every per-query measure, [J] float64 each."""
    queries = len(ranks.starts)
    counts = np.diff(ranks.starts, append=len(ranks.ranks))
    owner = np.repeat(np.arange(queries), counts)
    nth = np.arange(len(owner)) - ranks.starts[owner] + 1  # 1-based among the relevant candidates of the query

    def per_query(values: np.ndarray) -> np.ndarray:
        return np.bincount(owner, weights=values, minlength=queries)

    gains = ranks.grades / np.log2(1 + ranks.ranks)
    ideal_gains = ranks.grades[np.lexsort((-ranks.grades, owner))] / np.log2(1 + nth)
    measures: dict[str, np.ndarray] = {}
    found = {k: per_query(ranks.ranks <= k) for k in ks}
    for k in ks:
        measures[f"recall@{k}"] = found[k] / counts
    for k in ks:
        measures[f"hit@{k}"] = (found[k] > 0).astype(np.float64)
    for k in ks:
        measures[f"precision@{k}"] = found[k] / k
    for k in ks:
        measures[f"ndcg@{k}"] = per_query(gains * (ranks.ranks <= k)) / per_query(ideal_gains * (nth <= k))
    measures["average_precision"] = per_query(nth / ranks.ranks) / counts
    measures["first_rank"] = ranks.ranks[ranks.starts]
    measures["reciprocal_rank"] = 1 / measures["first_rank"]
    return measures


def per_query_values(metric: str, per_query: Mapping[str, np.ndarray]) -> tuple[np.ndarray, Callable[..., np.ndarray]]:
    """The per-query values [J] behind a metric, and the statistic that makes the metric of them.

    Raises ValueError for an unknown metric.
    """
    measure, statistic = _SUMMARIES.get(metric, (metric, np.mean))
    if measure not in per_query:
        known = [name for name in per_query if "@" in name] + list(_SUMMARIES)
        raise ValueError(f"evaluate: the metric must be one of {', '.join(known)}, got {metric!r}")
    return per_query[measure], statistic
