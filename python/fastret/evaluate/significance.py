"""Bootstrap confidence intervals, and paired randomisation tests between models.

Queries are resampled as independent observations. Where many queries share a candidate (five captions of one
image) they are not quite, and the intervals come out a little narrow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

CONFIDENCE = 0.95
BOOTSTRAP_RESAMPLES = 2000
TEST_RESAMPLES = 9999
# Resampled values held at a time: 32 MiB of float64.
_VALUES_PER_BATCH = 1 << 22

Interval = tuple[float, float]


def bootstrap_intervals(
    values: Mapping[str, np.ndarray],  # [J] each
    statistic: Callable[..., np.ndarray],
    seed: int = 0,
) -> dict[str, Interval | None]:
    """95 % percentile bootstrap intervals of a statistic of each column (Efron 1979), from one set of
    resamples.

    None where there is no interval: fewer than two queries, or an infinite rank. Percentile rather than BCa,
    because BCa is undefined for a constant column (a metric of 0 or 1) and its jackknife fails for the
    median.
    """
    from scipy.stats import bootstrap

    columns = {name: column for name, column in values.items() if len(column) > 1 and np.isfinite(column).all()}
    intervals: dict[str, Interval | None] = dict.fromkeys(values)
    if columns:
        stacked = np.stack(list(columns.values()))
        result = bootstrap(
            (stacked,),
            statistic,
            axis=-1,
            vectorized=True,
            n_resamples=BOOTSTRAP_RESAMPLES,
            batch=max(1, _VALUES_PER_BATCH // stacked.size),
            confidence_level=CONFIDENCE,
            method="percentile",
            rng=np.random.default_rng(seed),
        ).confidence_interval
        for name, low, high in zip(columns, result.low, result.high, strict=True):
            intervals[name] = (float(low), float(high))
    return intervals


def randomisation_p_value(a: np.ndarray, b: np.ndarray, seed: int = 0) -> float:  # [J], [J]
    """Two-sided p-value of mean(a) - mean(b) under random exchange of each query's two values (Fisher's sign flip).

    Exact where all exchanges of the queries that differ are no more than 9,999, else from so many drawn ones. See
    Smucker, Allan and Carterette, "A comparison of statistical significance tests for information retrieval
    evaluation", CIKM 2007.
    """
    from scipy.stats import monte_carlo_test, permutation_test

    differences = (a - b)[a != b]  # an exchange of equal values changes nothing
    if len(differences) < 2:  # both exchanges of one query are equally extreme
        return 1.0
    options: dict[str, Any] = {
        "vectorized": True,
        "alternative": "two-sided",
        "batch": max(1, _VALUES_PER_BATCH // len(differences)),
    }
    if 2 ** len(differences) <= TEST_RESAMPLES:
        pair = (differences, np.zeros_like(differences))
        result = permutation_test(pair, _sum_of_differences, permutation_type="samples", n_resamples=np.inf, **options)
        return float(result.pvalue)
    # permutation_test would draw the same exchanges one element at a time, some fifty times slower.
    rng = np.random.default_rng(seed)

    def exchanged(size: tuple[int, ...]) -> np.ndarray:
        signed: np.ndarray = np.where(rng.integers(0, 2, size, dtype=np.int8), differences, -differences)
        return signed

    return float(monte_carlo_test(differences, exchanged, np.sum, n_resamples=TEST_RESAMPLES, **options).pvalue)


def _sum_of_differences(x: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
    total: np.ndarray = np.sum(x - y, axis=axis)
    return total


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number by Holm's step-down method (Scand. J. Statist., 1979)."""
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    adjusted = np.minimum(1.0, np.maximum.accumulate(np.asarray(p_values, dtype=np.float64)[order] * factors))
    inverse = np.argsort(order)
    return [float(p) for p in adjusted[inverse]]
