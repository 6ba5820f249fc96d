"""FAISS's autotuning: the search-time parameters of an index by name, and which of their settings are worth it."""

from __future__ import annotations

import math
import operator
import re
import time
from typing import Any

import numpy as np
import torch

from .arrays import float32_rows
from .index import Index
from .nested import wrapped_index
from .operating_points import AutoTuneCriterion, OperatingPoint, OperatingPoints
from .random import permutation
from .struct import FaissObject
from .vectors import Float64Vector, ObjectVector, copy_array_to_vector, vector_to_array


class ParameterRange(FaissObject):
    """The values of a parameter, by rising cost."""

    name: str = ""
    values = Float64Vector()

    def __init__(self) -> None:
        self.values = Float64Vector()


class ParameterRangeVector(ObjectVector):
    def _empty(self) -> ParameterRange:
        return ParameterRange()


class ParameterSpace(FaissObject):
    """Settings of an index: nprobe, ht, max_codes, k_factor, k_factor_rf, efSearch, efConstruction, verbose, and those
    of the quantizer of inverted lists by quantizer_nprobe and so on.

    verbose: 1 prints what `explore` finds, 2 what it sets. n_experiments: of how many settings it tries (0: all).
    batchsize: queries that it searches at a time. min_test_duration: seconds for which it repeats a search.
    thread_over_batches has no effect: a batch is searched by all threads.
    """

    parameter_ranges = ParameterRangeVector()
    verbose: int = 1
    n_experiments: int = 500
    batchsize: int = 1 << 30
    thread_over_batches: bool = False
    min_test_duration: float = 0.0

    def __init__(self) -> None:
        self.parameter_ranges = ParameterRangeVector()

    def n_combinations(self) -> int:
        """How many settings there are."""
        return math.prod(len(values) for _, values in self._ranges())

    def combination_name(self, cno: int) -> str:
        """Setting number cno, as set_index_parameters takes it."""
        return ",".join(f"{name}={value:g}" for name, value in self._setting(cno))

    def combination_ge(self, c1: int, c2: int) -> bool:
        """Whether no parameter of setting c1 is below that of c2."""
        shape = [len(values) for _, values in self._ranges()]
        return all(a >= b for a, b in zip(_places(c1, shape), _places(c2, shape), strict=True))

    def display(self) -> None:
        """Print the ranges."""
        ranges = self._ranges()
        print(f"ParameterSpace, {len(ranges)} parameters, {self.n_combinations()} combinations:")
        for name, values in ranges:
            print(f"   {name}: [{','.join(f' {value:g}' for value in values)}]")

    def add_range(self, name: str) -> ParameterRange:
        """The range of a parameter, a new and empty one if there is none yet."""
        for existing in self.parameter_ranges._items:
            if existing.name == name:
                return existing  # type: ignore[no-any-return]
        added = ParameterRange()
        added.name = name
        self.parameter_ranges.push_back(added)
        return added

    def initialize(self, index: Any) -> None:
        """Add the ranges that make sense for an index."""
        index = index.index if hasattr(index, "chain") else index
        if hasattr(index, "base_index"):
            self._set_range("k_factor_rf", [1 << i for i in range(7)])
            index = index.base_index
        index = index.index if hasattr(index, "chain") else index
        if hasattr(index, "nprobe"):
            self._set_range("nprobe", [1 << i for i in range(13) if 1 << i < index.nlist])
            of_quantizer = ParameterSpace()
            of_quantizer.initialize(index.quantizer)
            for name, values in of_quantizer._ranges():
                self._set_range(f"quantizer_{name}", values)
            if type(index.quantizer).__name__ == "MultiIndexQuantizer":
                self._set_range("max_codes", [*(1 << i for i in range(8, 20)), math.inf])
        if hasattr(index, "polysemous_ht"):
            bits = 8 * index.pq.code_size
            # Polysemous codes are compared in units of 4 bytes.
            self._set_range("ht", [*(range(2, bits // 2 + 1, 2) if bits % 32 == 0 else ()), bits])
        if hasattr(index, "hnsw"):
            self._set_range("efSearch", [1 << i for i in range(2, 10)])

    def set_index_parameters(self, index: Any, setting: int | str) -> None:
        """Set parameters by the number of a combination or by a text such as "nprobe=16,ht=20".

        Raises RuntimeError for what cannot be read or does not exist.
        """
        if not isinstance(setting, str):
            for name, value in self._setting(operator.index(setting)):
                self.set_index_parameter(index, name, value)
            return
        for part in re.split(r"[ ,]+", setting.strip(" ,")) if setting.strip(" ,") else ():
            name, _, number = part.partition("=")
            try:
                value = float(number)
            except ValueError:
                raise RuntimeError(
                    f"ParameterSpace.set_index_parameters: {part!r} of {setting!r} is not name=number"
                ) from None
            self.set_index_parameter(index, name, value)

    def set_index_parameter(self, index: Any, name: str, val: float) -> None:
        """Set one parameter of an index, or of what it is made of. Raises RuntimeError if it has none of that name."""
        if self.verbose > 1:
            print(f"    set_index_parameter {name}={val:g}")
        if not _set(index, name, float(val)):
            raise RuntimeError(
                f"ParameterSpace.set_index_parameter: {type(index).__name__} has no parameter {name!r} to set"
            )

    def explore(self, index: Index, xq: Any, crit: AutoTuneCriterion) -> OperatingPoints:
        """Try settings on queries xq [nq, d], but not those that cannot be optimal.

        Raises AssertionError for another number of queries than the criterion's.
        """
        queries = float32_rows("ParameterSpace.explore", xq, index.d)
        if len(queries) != crit.nq:
            raise AssertionError(f"ParameterSpace.explore: the criterion is for {crit.nq} queries, got {len(queries)}")
        found, n = OperatingPoints(), self.n_combinations()
        for cno in self._experiments(n):
            perf, t = 1.0, 0.0
            for tried in found.all_pts._items:
                perf, t = self._bounds(cno, tried, perf, t)
            if self.n_experiments and found.t_for_perf(perf) <= t:
                continue
            self.set_index_parameters(index, cno)
            seconds, neighbours = self._timed(index, queries, crit.nnn)
            perf, name = crit.evaluate(None, neighbours), self.combination_name(cno)
            optimal = found.add(perf, seconds, name, cno)
            if self.verbose:
                print(f"  {cno}/{n}: {name} perf={perf:.3f} t={seconds:.3f} s {'*' if optimal else ''}")
        return found

    def _bounds(self, cno: int, op: OperatingPoint, perf: float, t: float) -> tuple[float, float]:
        """The most that setting cno can reach and the least time that it can take, given what another did."""
        t = max(t, op.t) if self.combination_ge(cno, op.cno) else t
        perf = min(perf, op.perf) if self.combination_ge(op.cno, cno) else perf
        return perf, t

    def _experiments(self, n: int) -> list[int]:
        """The settings to try: the fastest and the slowest first."""
        if self.n_experiments == 0 or n == 1:
            return list(range(n))
        if min(self.n_experiments, n) <= 2:
            raise RuntimeError(
                f"ParameterSpace.explore: more than 2 experiments are needed, got {self.n_experiments} for {n} settings"
            )
        between = permutation(n - 2, 1234) + 1
        return [0, n - 1, *between.tolist()][: self.n_experiments]

    def _timed(self, index: Index, queries: torch.Tensor, k: int) -> tuple[float, np.ndarray[Any, Any]]:
        """Seconds of a search, and what it found."""
        started, runs = time.perf_counter(), 0
        while True:
            ids = [index.search(part, k)[1] for part in torch.split(queries, self.batchsize)]
            runs += 1
            elapsed = time.perf_counter() - started
            if elapsed >= self.min_test_duration:
                return elapsed / runs, torch.cat(ids).cpu().numpy()

    def _ranges(self) -> list[tuple[str, list[float]]]:
        return [(entry.name, vector_to_array(entry.values).tolist()) for entry in self.parameter_ranges._items]

    def _set_range(self, name: str, values: Any) -> None:
        copy_array_to_vector(np.array([*values], np.float64), self.add_range(name).values)

    def _setting(self, cno: int) -> list[tuple[str, float]]:
        ranges = self._ranges()
        places = _places(cno, [len(values) for _, values in ranges])
        return [(name, values[place]) for (name, values), place in zip(ranges, places, strict=True)]


class GpuParameterSpace(ParameterSpace):
    """ParameterSpace: on a GPU the parameters are the same."""


def _places(cno: int, shape: list[int]) -> list[int]:
    """Combination cno as the place in each range, the first range changing fastest."""
    places = []
    for size in shape:
        cno, place = divmod(cno, size)
        places.append(place)
    return places


def _set(index: Any, name: str, value: float) -> bool:
    """Whether the index, or one in it, has the parameter, which is then set."""
    if name == "verbose":
        index.verbose = bool(value)
    if hasattr(index, "base_index") and name == "k_factor_rf":
        index.k_factor = float(int(value))
        return True
    if (inner := wrapped_index(index)) is not None:
        return _set(inner, name, value)
    if hasattr(index, "count") and hasattr(index, "at"):  # shards or replicas
        parts = [index.at(i) for i in range(index.count())]
        return sum(_set(part, name, value) for part in parts) == len(parts) > 0
    if name == "verbose":
        return True
    if name == "ht" and hasattr(index, "polysemous_ht"):
        _set_polysemous(index, value)
        return True
    if name in ("nprobe", "max_codes", "k_factor") and hasattr(index, "nprobe") and hasattr(index, name):
        setattr(index, name, int(value) if math.isfinite(value) else 0)
        return True
    with_graph = index if hasattr(index, "hnsw") else getattr(index, "quantizer", None)
    if name in ("efSearch", "efConstruction") and (graph := getattr(with_graph, "hnsw", None)):
        setattr(graph, name, int(value))
        return True
    if name.startswith("quantizer_") and hasattr(index, "quantizer"):
        return _set(index.quantizer, name.removeprefix("quantizer_"), value)
    return False


def _set_polysemous(index: Any, threshold: float) -> None:
    all_bits = threshold >= 8 * index.pq.code_size  # as many as a code has: no code is left out
    if hasattr(index, "search_type"):
        index.search_type = type(index).ST_PQ if all_bits else type(index).ST_polysemous
        index.polysemous_ht = index.polysemous_ht if all_bits else int(threshold)
    else:
        index.polysemous_ht = 0 if all_bits else int(threshold)
