"""How good and how fast: FAISS's criteria of autotuning, and the settings that no other beats in both."""

from __future__ import annotations

import operator
from pathlib import Path
from typing import Any

import numpy as np

from .pointers import Pointer
from .struct import FaissObject
from .vectors import Float32Vector, Int64Vector, ObjectVector, VectorField


class AutoTuneCriterion(FaissObject):
    """A number from 0 to 1, higher is better, for the nnn neighbours found of each of nq queries."""

    nq: int = 0
    nnn: int = 0
    gt_nnn: int = 0
    gt_D = VectorField("_gt_D", Float32Vector)
    gt_I = VectorField("_gt_I", Int64Vector)

    def __init__(self, nq: int, nnn: int) -> None:
        self.nq, self.nnn = operator.index(nq), operator.index(nnn)
        self._gt_D, self._gt_I = np.empty((0, 0), np.float32), np.empty((0, 0), np.int64)

    def set_groundtruth(self, D: Any, I: Any) -> None:  # noqa: E741
        """The true neighbours I [nq, any number], and their scores D, which may be None."""
        self._gt_I = np.array(I, np.int64)
        if D is not None:
            if np.shape(D) != np.shape(I):
                raise AssertionError(f"set_groundtruth: D must be {list(np.shape(I))} as I, got {list(np.shape(D))}")
            self._gt_D = np.array(D, np.float32)
        self.nq, self.gt_nnn = self._gt_I.shape

    def evaluate(self, D: Any, I: Any) -> float:  # noqa: E741
        """The criterion for neighbours I [nq, nnn], arrays or pointers. Raises RuntimeError without ground truth."""
        raise RuntimeError(f"{type(self).__name__}.evaluate: take OneRecallAtRCriterion or IntersectionCriterion")

    def _found(self, I: Any, needed: int) -> np.ndarray[Any, Any]:  # noqa: E741
        name = f"{type(self).__name__}.evaluate"
        if self._gt_I.shape != (self.nq, self.gt_nnn) or self.gt_nnn < needed:
            raise RuntimeError(f"{name}: {needed} true neighbours are needed, see set_groundtruth, got {self.gt_nnn}")
        found = I.view(self.nq * self.nnn).reshape(self.nq, self.nnn) if isinstance(I, Pointer) else np.asarray(I)
        if found.shape != (self.nq, self.nnn):
            raise AssertionError(f"{name}: I must be [{self.nq}, {self.nnn}], got {list(found.shape)}")
        return found


class OneRecallAtRCriterion(AutoTuneCriterion):
    """The share of queries whose true nearest neighbour is among the first R."""

    R: int = 1

    def __init__(self, nq: int, R: int) -> None:
        super().__init__(nq, R)
        self.R = operator.index(R)

    def evaluate(self, D: Any, I: Any) -> float:  # noqa: E741
        found = self._found(I, 1)
        return float((found[:, : self.R] == self._gt_I[:, :1]).any(1).mean())


class IntersectionCriterion(AutoTuneCriterion):
    """The share of the R true neighbours that are among the first R."""

    R: int = 1

    def __init__(self, nq: int, R: int) -> None:
        super().__init__(nq, R)
        self.R = operator.index(R)

    def evaluate(self, D: Any, I: Any) -> float:  # noqa: E741
        pairs = zip(self._found(I, self.R)[:, : self.R].tolist(), self._gt_I[:, : self.R].tolist(), strict=True)
        return sum(len({*found} & {*true}) for found, true in pairs) / (self.nq * self.R)


class OperatingPoint(FaissObject):
    """A setting, its number and what it gave: perf by the criterion, t in seconds."""

    perf: float = 0.0
    t: float = 0.0
    key: str = ""
    cno: int = -1


class OperatingPointVector(ObjectVector):
    def _empty(self) -> OperatingPoint:
        return OperatingPoint()


class OperatingPoints(FaissObject):
    """all_pts: settings that were tried. optimal_pts: those that are better than all as fast, by rising perf."""

    all_pts = OperatingPointVector()
    optimal_pts = OperatingPointVector()

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Doing nothing is left, which takes no time for a perf of 0."""
        self.all_pts, self.optimal_pts = OperatingPointVector(), OperatingPointVector([OperatingPoint()])

    def add(self, perf: float, t: float, key: str, cno: int = 0) -> bool:
        """Whether this one is optimal so far."""
        point = OperatingPoint()
        point.perf, point.t, point.key, point.cno = float(perf), float(t), key, operator.index(cno)
        self.all_pts.push_back(point)
        optimal = self.optimal_pts._items
        if perf == 0 or any(other.perf >= perf and other.t <= t for other in optimal):
            return False
        kept = [other for other in optimal if other.perf > perf or other.t < t]
        self.optimal_pts._items = sorted([*kept, point], key=lambda other: other.perf)
        return True

    def merge_with(self, other: OperatingPoints, prefix: str = "") -> int:
        """Add all of others, `prefix` before their keys; how many are optimal."""
        return sum(self.add(point.perf, point.t, prefix + point.key, point.cno) for point in other.all_pts._items)

    def t_for_perf(self, perf: float) -> float:
        """The time of the fastest that reaches perf, 1e50 if none does."""
        return float(next((point.t for point in self.optimal_pts._items if point.perf >= perf), 1e50))

    def all_to_gnuplot(self, fname: str | Path) -> None:
        """A line "perf t key" each."""
        Path(fname).write_text("".join(f"{p.perf:g} {p.t:g} {p.key}\n" for p in self.all_pts._items))

    def optimal_to_gnuplot(self, fname: str | Path) -> None:
        """The optimal ones as steps, two lines each."""
        lines, reached = [], 0.0
        for point in self.optimal_pts._items:
            lines += [f"{reached:g} {point.t:g}\n", f"{point.perf:g} {point.t:g} {point.key}\n"]
            reached = point.perf
        Path(fname).write_text("".join(lines))

    def display(self, only_optimal: bool = True) -> None:
        """Print them; of all, those that are optimal with a star."""
        tried, optimal = self.all_pts._items, self.optimal_pts._items
        print(f"Tested {len(tried)} operating points, {len(optimal)} ones are Pareto-optimal:")
        best = {point.cno for point in optimal}
        for point in optimal if only_optimal else tried:
            star = "*" if not only_optimal and point.cno in best else ""
            print(f"cno={point.cno} key={point.key} perf={point.perf:.4f} t={point.t:.3f} {star}")
