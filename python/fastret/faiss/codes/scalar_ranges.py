"""How scalar quantizers learn the ranges that they cut into levels: FAISS's RangeStat, with its order of roundings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float32]]

_OPTIM_STEPS = 2000
_OPTIM_PATIENCE = 16  # steps without a change


def ranges_of_columns(columns: Floats, rangestat: int, argument: float, levels: int) -> Floats:
    """Where the range of each of columns [n, c] begins and how long it is, [2, c] float32.

    Args:
        rangestat: 0 minimum to maximum, widened on both sides by `argument` times their distance; 1 mean minus to mean
            plus `argument` standard deviations; 2 without the share `argument` of the values on either side; 3 the
            range whose `levels` levels have the least squared error.
    """
    with np.errstate(all="ignore"):  # values that are not finite have no range, which is no error in FAISS
        start, end = _STATISTICS[rangestat](columns, np.float32(argument), levels)
        return np.stack([start, end - start])


def _minmax(columns: Floats, argument: np.float32, levels: int) -> tuple[Floats, Floats]:
    smallest, greatest = np.fmin.reduce(columns), np.fmax.reduce(columns)
    margin = (greatest - smallest) * argument
    return smallest - margin, greatest + margin


def _meanstd(columns: Floats, argument: np.float32, levels: int) -> tuple[Floats, Floats]:
    n = len(columns)
    mean = (_sum(columns, np.float64) / n).astype(np.float32)
    variance = (_sum(columns * columns, np.float64) / n - mean * mean).astype(np.float32)
    spread = np.where(variance <= 0, np.float32(1), np.sqrt(variance)) * argument
    return mean - spread, mean + spread


def _quantiles(columns: Floats, argument: np.float32, levels: int) -> tuple[Floats, Floats]:
    n = len(columns)
    left_out = max(0, int(argument * np.float32(n)))
    if left_out > n - left_out:
        left_out = n // 2
    ordered = np.sort(columns, axis=0)
    return ordered[left_out], ordered[n - 1 - left_out]


def _optim(columns: Floats, argument: np.float32, levels: int) -> tuple[Floats, Floats]:
    """Alternately assigns values to levels and fits start and step to them, until the error stays the same."""
    n, last = np.float32(len(columns)), np.float32(levels - 1)
    sum_x = _sum(columns, np.float32)
    start = np.fmin.reduce(columns)
    step = (np.fmax.reduce(columns) - start) / last
    last_error, unchanged = np.full_like(start, -1), np.zeros(len(start), dtype=int)
    active = np.arange(len(start))
    for _ in range(_OPTIM_STEPS):
        values, first, width = columns[:, active], start[active], step[active]
        numbers = np.floor((values - first) / width + 0.5, dtype=np.float64).astype(np.float32)
        numbers = np.where(numbers < 0, np.float32(0), np.where(numbers >= levels, last, numbers))
        error = _sum((values - (numbers * width + first)) ** 2, np.float32)
        unchanged[active] = np.where(error == last_error[active], unchanged[active] + 1, 0)
        last_error[active] = error
        moving = unchanged[active] < _OPTIM_PATIENCE
        active, values, numbers = active[moving], values[:, moving], numbers[:, moving]
        if not len(active):
            break
        sum_n, sum_nn, sum_nx = (_sum(term, np.float32) for term in (numbers, numbers * numbers, numbers * values))
        determinant = sum_n * sum_n - sum_nn * n
        start[active] = (sum_n * sum_nx - sum_nn * sum_x[active]) / determinant
        step[active] = (sum_n * sum_x[active] - n * sum_nx) / determinant
    return start, start + step * last


def _sum(columns: Floats, dtype: Any) -> Any:
    """One value after the other, as FAISS does, where numpy's sum adds pairs."""
    return np.cumsum(columns, axis=0, dtype=dtype)[-1]


_STATISTICS: tuple[Callable[[Floats, np.float32, int], tuple[Floats, Floats]], ...] = (
    _minmax,
    _meanstd,
    _quantiles,
    _optim,
)
