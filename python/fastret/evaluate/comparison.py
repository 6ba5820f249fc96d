"""Two models on the same queries: the difference, its interval and whether chance explains it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from .evaluation import Evaluation
from .metrics import per_query_values
from .significance import Interval, bootstrap_intervals, holm, randomisation_p_value


@dataclass(frozen=True)
class Comparison:
    """`difference` is model_a's value minus model_b's, with its paired 95 % bootstrap interval.

    `p_value` is that of the paired randomisation test; `p_value_holm` is adjusted for all pairs of models
    that were compared on the task and measure.
    """

    model_a: str
    model_b: str
    task: str
    measure: str
    value_a: float
    value_b: float
    difference: float
    interval: Interval | None
    p_value: float
    p_value_holm: float
    queries: int
    seed: int


def compare(a: Evaluation, b: Evaluation, measure: str = "recall@1", *, seed: int = 0) -> Comparison:
    """Compare two evaluations of one task query by query.

    Raises ValueError where their tasks or queries differ, and for a measure that is no mean over queries.
    """
    if a.task != b.task or a.query_ids != b.query_ids:
        raise ValueError(
            f"compare: both evaluations must be of the same queries and task, got {a.model} on {a.task} with "
            f"{len(a.query_ids)} queries and {b.model} on {b.task} with {len(b.query_ids)}"
        )
    values_a, statistic = per_query_values(measure, a.per_query)
    values_b, _ = per_query_values(measure, b.per_query)
    if statistic is not np.mean:
        raise ValueError(f"compare: the measure must be a mean over queries, got {measure!r}")
    p_value = randomisation_p_value(values_a, values_b, seed)
    value_a, value_b = float(np.mean(values_a)), float(np.mean(values_b))
    return Comparison(
        model_a=a.model,
        model_b=b.model,
        task=a.task,
        measure=measure,
        value_a=value_a,
        value_b=value_b,
        difference=value_a - value_b,
        interval=bootstrap_intervals({measure: values_a - values_b}, np.mean, seed)[measure],
        p_value=p_value,
        p_value_holm=p_value,
        queries=len(values_a),
        seed=seed,
    )


def compare_all(
    evaluations: Iterable[Evaluation], measures: Sequence[str] | None = None, *, seed: int = 0
) -> list[Comparison]:
    """Every pair of models on every task and measure, p-values adjusted by Holm's method over the pairs.

    `measures` defaults to `default_measures`.
    """
    by_task: dict[str, list[Evaluation]] = {}
    for evaluation in evaluations:
        by_task.setdefault(evaluation.task, []).append(evaluation)
    comparisons = []
    for of_task in by_task.values():
        for measure in measures or default_measures(of_task[0].ks):
            family = [compare(a, b, measure, seed=seed) for a, b in combinations(of_task, 2)]
            adjusted = holm([comparison.p_value for comparison in family])
            comparisons += [replace(comparison, p_value_holm=p) for comparison, p in zip(family, adjusted, strict=True)]
    return comparisons


def default_measures(ks: Sequence[int]) -> list[str]:
    """What models are compared by: recall at every cut-off, nDCG at the last, MRR and MAP."""
    return [*(f"recall@{k}" for k in ks), f"ndcg@{ks[-1]}", "mrr", "map"]
