"""Bootstrap confidence intervals, and paired randomisation tests between models.

Queries are resampled as independent observations. Where many queries share a candidate (five captions of one
image) they are not quite, and the intervals come out a little narrow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

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
    """Two-sided p-value of mean(a) - mean(b) under random exchange of each query's two values (Fisher's sign
    flip).

    Exact where all 2^n exchanges are no more than 9,999, else from so many drawn ones; see Smucker, Allan and
    Carterette, CIKM 2007.
    """
    from scipy.stats import permutation_test

    differs = a != b  # an exchange of equal values changes nothing
    if not differs.any():
        return 1.0
    a, b = a[differs], b[differs]
    if len(a) == 1:  # scipy asks for two; both signs are equally extreme
        return 1.0
    result = permutation_test(
        (a, b),
        lambda x, y, axis: np.sum(x - y, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=TEST_RESAMPLES,
        batch=max(1, _VALUES_PER_BATCH // (2 * len(a))),
        alternative="two-sided",
        rng=np.random.default_rng(seed),
    )
    return float(result.pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number by Holm's step-down method (Scand. J. Statist., 1979)."""
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    adjusted = np.minimum(1.0, np.maximum.accumulate(np.asarray(p_values, dtype=np.float64)[order] * factors))
    inverse = np.argsort(order)
    return [float(p) for p in adjusted[inverse]]
