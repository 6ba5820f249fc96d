"""How good search results are beside a reference, and the trade of quality for time."""

from __future__ import annotations

import time
import unittest
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..runtime import omp_get_max_threads, omp_set_num_threads

Array = NDArray[Any]


def knn_intersection_measure(I1: Array, I2: Array) -> float:
    """The share of ids [nq, k] that two results have in common, query by query."""
    if I1.shape != I2.shape:
        raise AssertionError(f"knn_intersection_measure: shapes must be equal, got {I1.shape} and {I2.shape}")
    common = sum(np.intersect1d(first, second).size for first, second in zip(I1, I2, strict=True))
    return common / I1.size


def filter_range_results(lims: Array, D: Array, I: Array, thresh: float) -> tuple[Array, Array, Array]:  # noqa: E741
    """The results of a range search with a distance below a threshold."""
    kept = thresh > D
    return np.concatenate([[0], np.cumsum(kept)])[lims.astype(np.int64)].astype(lims.dtype), D[kept], I[kept]


def range_PR(lims_ref: Array, Iref: Array, lims_new: Array, Inew: Array, mode: str = "overall") -> tuple[float, float]:
    """Precision and recall of the ids of a range search; modes as of `counts_to_PR`."""
    _check_queries("range_PR", lims_ref, lims_new)
    common = [
        len(np.intersect1d(reference, new))
        for reference, new in zip(_by_query(lims_ref, Iref), _by_query(lims_new, Inew), strict=True)
    ]
    return counts_to_PR(np.diff(lims_ref), np.diff(lims_new), np.array(common, np.int64), mode=mode)


def counts_to_PR(ngt: Array, nres: Array, ninter: Array, mode: str = "overall") -> tuple[float, float]:
    """Precision and recall from counts per query: true results, results, and those in common.

    "overall": of all queries together; "average": the means of the queries' own. A query without results has
    precision 1; one without true results recall 1 if it has no results, else 0.
    """
    if mode not in ("overall", "average"):
        raise AssertionError(f'counts_to_PR: mode must be "overall" or "average", got {mode!r}')
    if mode == "overall":
        ngt, nres, ninter = (np.array([counts.sum()]) for counts in (ngt, nres, ninter))
    ninter = ninter.astype(float)
    precisions = np.divide(ninter, nres, out=np.ones_like(ninter), where=nres > 0)
    recalls = np.divide(ninter, ngt, out=(nres == 0).astype(float), where=ngt > 0)
    return float(precisions.mean()), float(recalls.mean())


def sort_range_res_1(lims: Array, I: Array) -> Array:  # noqa: E741
    """The ids of every query in ascending order."""
    return np.concatenate([I[:0], *(np.sort(ids) for ids in _by_query(lims, I))])


def sort_range_res_2(lims: Array, D: Array, I: Array) -> tuple[Array, Array]:  # noqa: E741
    """The ids and distances of every query by ascending distance."""
    query = np.repeat(np.arange(len(lims) - 1), np.diff(lims).astype(np.int64))
    order = np.lexsort((D, query))
    return I[order], D[order]


def range_PR_multiple_thresholds(
    lims_ref: Array,
    Iref: Array,
    lims_new: Array,
    Dnew: Array,
    Inew: Array,
    thresholds: Sequence[float] | Array,
    mode: str = "overall",
    do_sort: str = "ref,new",
) -> tuple[Array, Array]:
    """Precisions and recalls [t] of a range search cut at each of t ascending thresholds.

    `do_sort` names what is not sorted yet: the reference by id, the new results by distance.
    """
    _check_queries("range_PR_multiple_thresholds", lims_ref, lims_new)
    if "ref" in do_sort:
        Iref = sort_range_res_1(lims_ref, Iref)
    if "new" in do_sort:
        Inew, Dnew = sort_range_res_2(lims_new, Dnew, Inew)
    nq = len(lims_ref) - 1
    counts = np.zeros((2, nq, len(thresholds)), np.int64)  # of results, and of true ones among them
    by_query = zip(_by_query(lims_ref, Iref), _by_query(lims_new, Inew), _by_query(lims_new, Dnew), strict=True)
    for query, (reference, ids, distances) in enumerate(by_query):
        results = np.searchsorted(distances, thresholds)
        true = np.concatenate([[0], np.cumsum(np.isin(ids, reference))])
        counts[:, query] = results, true[results]
    truths = np.diff(lims_ref).astype(np.int64)
    pairs = [counts_to_PR(truths, counts[0, :, t], counts[1, :, t], mode=mode) for t in range(len(thresholds))]
    precisions, recalls = np.array(pairs).reshape(-1, 2).T
    return precisions, recalls


def check_ref_knn_with_draws(
    Dref: Array, Iref: Array, Dnew: Array, Inew: Array, rtol: float = 1e-5, atol: float = 0
) -> None:
    """Raise AssertionError unless two results are equal but for the order of nearly equal distances."""
    np.testing.assert_allclose(Dref, Dnew, rtol=rtol, atol=atol)
    for distances, new_distances, ids, new_ids in zip(Dref, Dnew, Iref, Inew, strict=True):
        if np.array_equal(ids, new_ids):
            continue
        # Distances no further apart than the tolerance make one group; the last may have been cut by k.
        tolerance = rtol * distances.max() + atol
        every = np.sort(np.concatenate([distances, new_distances]))
        starts = every[np.diff(every, prepend=-np.inf) > tolerance]
        groups, new_groups = (np.searchsorted(starts, d, side="right") for d in (distances, new_distances))
        for group in np.unique(groups):
            if group != groups[-1]:
                expected, found = set(ids[groups == group].tolist()), set(new_ids[new_groups == group].tolist())
                unittest.TestCase().assertEqual(expected, found)


def check_ref_range_results(Lref: Array, Dref: Array, Iref: Array, Lnew: Array, Dnew: Array, Inew: Array) -> None:
    """Raise AssertionError unless two range searches found the same, in any order within a query."""
    np.testing.assert_array_equal(Lref, Lnew)
    query = np.repeat(np.arange(len(Lref) - 1), np.diff(Lref).astype(np.int64))
    order, new_order = (np.lexsort((ids, query)) for ids in (Iref, Inew))
    np.testing.assert_array_equal(Iref[order], Inew[new_order])
    np.testing.assert_array_almost_equal(Dref[order], Dnew[new_order], decimal=5)


class OperatingPoints(ABC):
    """Settings that were tried, each with a key, a performance and a time; keeps the Pareto-optimal ones."""

    def __init__(self) -> None:
        self.operating_points: list[tuple[Any, float, float]] = []
        self.suboptimal_points: list[tuple[Any, float, float]] = []

    @abstractmethod
    def compare_keys(self, k1: Any, k2: Any) -> int:
        """1 if k1 costs at least as much as k2 in everything, -1 the other way round, 0 if neither."""

    @abstractmethod
    def do_nothing_key(self) -> Any:
        """The key that costs nothing."""

    def is_pareto_optimal(self, perf_new: float, t_new: float) -> bool:
        return not any(perf >= perf_new and t <= t_new for _, perf, t in self.operating_points)

    def predict_bounds(self, key: Any) -> tuple[float, float]:
        """The best performance and the shortest time that a key can have, from what was tried."""
        tried = [(self.compare_keys(key, other), perf, t) for other, perf, t in self._all()]
        performance = min([1.0, *(perf for order, perf, _ in tried if order < 0)])
        return performance, max([0.0, *(t for order, _, t in tried if order > 0)])

    def should_run_experiment(self, key: Any) -> bool:
        return self.is_pareto_optimal(*self.predict_bounds(key))

    def add_operating_point(self, key: Any, perf: float, t: float) -> bool:
        """Whether it is Pareto-optimal among those before."""
        if not self.is_pareto_optimal(perf, t):
            self.suboptimal_points.append((key, perf, t))
            return False
        kept: list[tuple[Any, float, float]] = []
        for point in self.operating_points:
            beaten = perf >= point[1] and t <= point[2]
            (self.suboptimal_points if beaten else kept).append(point)
        self.operating_points = [*kept, (key, perf, t)]
        return True

    def _all(self) -> list[tuple[Any, float, float]]:
        return self.operating_points + self.suboptimal_points


class OperatingPointsWithRanges(OperatingPoints):
    """Settings of several parameters, each one of a list of values that get slower and better.

    A key [parameters] int holds the position in each list.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ranges: list[tuple[str, list[Any]]] = []

    def add_range(self, name: str, values: list[Any]) -> None:
        self.ranges.append((name, values))

    def compare_keys(self, k1: Any, k2: Any) -> int:
        return 1 if np.all(k1 >= k2) else -1 if np.all(k2 >= k1) else 0

    def do_nothing_key(self) -> Array:
        return np.zeros(len(self.ranges), dtype=int)

    def num_experiments(self) -> int:
        return int(np.prod([len(values) for _, values in self.ranges]))

    def sample_experiments(self, n_autotune: int, rs: Any = np.random) -> list[int]:
        """At most n_autotune experiments (0: all) in a fixed random order, behind the first and the last.

        `rs` has no effect, as in FAISS, which draws from the same seed each time.
        """
        if n_autotune != 0 and n_autotune < 2:
            raise AssertionError(f"sample_experiments: n_autotune must be 0 or at least 2, got {n_autotune}")
        total = self.num_experiments()
        random = np.random.RandomState(123)
        if n_autotune == 0 or total < n_autotune:
            others = random.permutation(total - 2)
        else:
            others = random.choice(total - 2, size=n_autotune - 2, replace=False)
        return [0, total - 1, *(int(number) + 1 for number in others)]

    def cno_to_key(self, cno: int) -> Array:
        """The key of an experiment's number."""
        if not 0 <= cno < self.num_experiments():
            raise AssertionError(f"cno_to_key: there are {self.num_experiments()} experiments, got {cno}")
        return np.array(np.unravel_index(cno, [len(values) for _, values in self.ranges], order="F"), dtype=int)

    def get_parameters(self, k: Any) -> dict[str, Any]:
        """The values that a key stands for, by the names of their parameters."""
        return {name: values[at] for (name, values), at in zip(self.ranges, k, strict=True)}

    def restrict_range(self, name: str, max_val: Any) -> None:
        """Drop the values of a parameter from max_val on."""
        for other, values in self.ranges:
            if other == name:
                values[:] = [value for value in values if value < max_val]
                return
        raise RuntimeError(f"restrict_range: there is no parameter {name!r}")


class RepeatTimer:
    """Times each round of `for _ in timer:`, with `nt` threads (-1: as many as there are).

    It stops after `runs` rounds or max_secs seconds. The first `warmup` rounds do not count, unless time ran out.
    """

    def __init__(self, warmup: int = 0, nt: int = -1, runs: int = 1, max_secs: float = np.inf) -> None:
        if warmup >= runs:
            raise AssertionError(f"RepeatTimer: warmup must be below runs, got {warmup} of {runs}")
        self.warmup, self.nt, self.runs, self.max_secs = warmup, nt, runs, max_secs
        self.times: Array = np.empty(0)

    def __iter__(self) -> Iterator[None]:
        threads = omp_get_max_threads()
        if self.nt >= 0:
            omp_set_num_threads(self.nt)
        moments = [time.perf_counter()]
        try:
            while len(moments) <= self.runs and moments[-1] - moments[0] <= self.max_secs:
                yield None
                moments.append(time.perf_counter())
        finally:
            omp_set_num_threads(threads)
        times = np.diff(moments)
        self.times = times[self.warmup :] if len(times) == self.runs else times

    def ms(self) -> float:
        """The mean of the rounds that count, in milliseconds."""
        return float(np.mean(self.times) * 1000)

    def ms_std(self) -> float:
        return float(np.std(self.times) * 1000) if len(self.times) > 1 else 0.0

    def nruns(self) -> int:
        """How many rounds count."""
        return len(self.times)


def _by_query(lims: Array, values: Array) -> list[Array]:
    return np.split(values, lims[1:-1].astype(np.int64)) if len(lims) > 1 else []


def _check_queries(operation: str, lims_ref: Array, lims_new: Array) -> None:
    if len(lims_ref) != len(lims_new):
        raise AssertionError(
            f"{operation}: both need the same queries, got {len(lims_ref) - 1} and {len(lims_new) - 1}"
        )
