"""The ratios that the CUDA ops are to reach, and what a run says about them. Needs neither fastret nor torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

FASTRET = "fastret"
GEMM = "bfloat16 GEMM alone"
FLOAT32, BFLOAT16 = "torch float32 matmul + topk", "torch bfloat16 matmul + topk"
TOPK, SORT = "torch topk", "torch sort"
COPY = "device copy"

NOT_MEASURED = "not measured"

Row = Mapping[str, Any]


@dataclass(frozen=True)
class AtMost:
    """fastret takes at most so many times as long as another contestant."""

    other: str
    times: float

    def __str__(self) -> str:
        return f"at most {self.times:g} x {self.other}"

    def measured(self, rows: Mapping[str, Row], bandwidth: float | None) -> float | None:
        return 1 / rows[self.other]["ratio"] if self.other in rows else None

    def met(self, value: float) -> bool:
        return value <= self.times


@dataclass(frozen=True)
class AtLeast:
    """Another contestant takes at least so many times as long as fastret."""

    other: str
    times: float

    def __str__(self) -> str:
        return f"at least {self.times:g} x as fast as {self.other}"

    def measured(self, rows: Mapping[str, Row], bandwidth: float | None) -> float | None:
        return float(rows[self.other]["ratio"]) if self.other in rows else None

    def met(self, value: float) -> bool:
        return value >= self.times


@dataclass(frozen=True)
class Bandwidth:
    """fastret reads what it must at so much of the bandwidth of a copy within the device's memory."""

    share: float

    def __str__(self) -> str:
        return f"at least {self.share:g} of the bandwidth of a {COPY}"

    def measured(self, rows: Mapping[str, Row], bandwidth: float | None) -> float | None:
        return float(rows[FASTRET]["gb_per_s"]) / bandwidth if FASTRET in rows and bandwidth else None

    def met(self, value: float) -> bool:
        return value >= self.share


Criterion = AtMost | AtLeast | Bandwidth


@dataclass(frozen=True)
class Goal:
    name: str  # of the work, as it is meant; where memory does not suffice a smaller one was measured
    criteria: tuple[Criterion, ...]


def _searches(dim: int) -> Iterable[Goal]:
    for k, times in ((10, 1.5), (100, 1.5), (1000, 2.5)):
        criteria = AtMost(GEMM, times), AtLeast(FLOAT32, 8), AtLeast(BFLOAT16, 2)
        yield Goal(f"search 10000 x 1000000 x {dim}, k = {k}", criteria)


GOALS = (
    *_searches(768),
    *_searches(1536),
    *(Goal(f"search {queries} x 10000000 x 768, k = 10", (Bandwidth(0.8),)) for queries in (1, 16)),
    Goal("mine_hard_negatives 32768 x 32768 x 1024, k = 16", (AtMost(GEMM, 1.8), AtLeast(BFLOAT16, 3))),
    *(
        Goal(f"select_k {size}, k = {k}", (AtLeast(TOPK, 2),))
        for size in ("1000 x 100000", "1 x 5000000")
        for k in (10, 100, 2048)
    ),
    *(
        Goal(f"select_k {rows} x {columns}, k = {columns}", (AtLeast(SORT, 1),))
        for rows, columns in ((1000, 100_000), (1, 5_000_000))
    ),
)


def verdicts(rows: Iterable[Row]) -> list[tuple[str, str, str, str]]:
    """(goal, what it asks, what was measured and on which work, whether it is met), for each criterion."""
    rows = list(rows)
    bandwidth = next((row["gb_per_s"] for row in rows if row.get("contestant") == COPY and "gb_per_s" in row), None)
    found = []
    for goal in GOALS:
        own = [row for row in rows if row.get("goal") == goal.name]
        timed = {row["contestant"]: row for row in own if "median_s" in row}
        for criterion in goal.criteria:
            value = criterion.measured(timed, bandwidth)
            if value is None:
                found.append((goal.name, str(criterion), _why(own, criterion), NOT_MEASURED))
            else:
                measured = f"{value:.2f} ({timed[FASTRET]['work']})"
                found.append((goal.name, str(criterion), measured, "yes" if criterion.met(value) else "no"))
    return found


def _why(rows: Iterable[Row], criterion: Criterion) -> str:
    """Why a ratio is missing, as far as the rows tell."""
    concerned = (None, FASTRET, getattr(criterion, "other", COPY))
    reasons = (row["left_out"] for row in rows if "left_out" in row and row.get("contestant") in concerned)
    return next(reasons, "")
