"""A contest: one work, one number of threads, several contestants that take turns.

Contestants measured one after the other each get another machine: it warms up, clocks down, and neighbours come and
go. Here each round runs every contestant once, and each round starts with the next one.
"""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from .peers import threads_of_all

Run = Callable[[], Any]
Prepare = Callable[[Any], Run]  # takes the inputs, does what is not timed, returns what is
MIN_TURNS = 3


class Work(Protocol):
    """Something that fastret and its peers can all do. `str(work)` names it in tables: kind, sizes, parameters."""

    op: ClassVar[str]

    def contestants(self, threads: int) -> dict[str, Prepare]:
        """Who takes part in a contest with so many threads, by name."""

    def inputs(self) -> Any:
        """What all contestants get."""

    def exact_share(self, inputs: Any, answer: Any) -> float:
        """The share of the answer that equals the float64 definition, from 0 to 1."""


@dataclass(frozen=True)
class Effort:
    """How long to measure: at least `min_rounds`, then on to `max_rounds` while there is time.

    A contestant that has had MIN_TURNS and taken `patience_s` over them sits the other rounds out.
    """

    min_rounds: int
    max_rounds: int
    seconds_each: float  # times the number of contestants: the time of a contest
    patience_s: float = math.inf


@dataclass
class Timings:
    wall_s: list[float]
    cpu_s: list[float]  # of all threads of the process

    @property
    def cores_used(self) -> float:
        """CPU seconds per second. With one thread: the share of a core that the machine let the contestant have."""
        return sum(self.cpu_s) / sum(self.wall_s)


@dataclass(frozen=True)
class Outcome:
    work: str
    op: str
    threads: int
    timings: dict[str, Timings]  # by contestant
    exact_share: dict[str, float]  # by contestant

    @property
    def group(self) -> str:
        return f"{self.op} {self.work}, {self.threads} thread{'s' if self.threads > 1 else ''}"

    def record(self, contestant: str) -> dict[str, Any]:
        """One contestant's part, in the form of an entry of pytest-benchmark's JSON."""
        timings = self.timings[contestant]
        return {
            "extra_info": {
                "op": self.op,
                "work": self.work,
                "threads": self.threads,
                "contestant": contestant,
                "exact_share": self.exact_share[contestant],
                "cores_used": timings.cores_used,
            },
            "stats": {
                "median": statistics.median(timings.wall_s),
                "min": min(timings.wall_s),
                "rounds": len(timings.wall_s),
            },
        }


def round_robin(
    runs: Mapping[str, Run],
    effort: Effort,
    *,
    rest_s: float = 0.02,
    wall_clock: Callable[[], float] = time.perf_counter,
    cpu_clock: Callable[[], float] = time.process_time,
) -> dict[str, Timings]:
    """Time every contestant once a round, each round in the next cyclic order.

    faiss and torch bring an OpenMP runtime each, and its threads spin for 4 to 10 ms after the last work before they
    sleep. `rest_s` before each turn keeps them from taking cores from the next contestant.
    """
    timings = {name: Timings([], []) for name in runs}
    order = list(runs)
    end_s = wall_clock() + effort.seconds_each * len(runs)
    rounds = 0
    while rounds < effort.min_rounds or (rounds < effort.max_rounds and wall_clock() < end_s):
        for name in order:
            if len(timings[name].wall_s) >= MIN_TURNS and sum(timings[name].wall_s) >= effort.patience_s:
                continue
            time.sleep(rest_s)
            wall_start, cpu_start = wall_clock(), cpu_clock()
            runs[name]()
            timings[name].wall_s.append(wall_clock() - wall_start)
            timings[name].cpu_s.append(cpu_clock() - cpu_start)
        order = order[1:] + order[:1]
        rounds += 1
    return timings


def hold_contest(work: Work, threads: int, effort: Effort) -> Outcome:
    """Warm every contestant up once, check that answer, then measure."""
    inputs = work.inputs()
    with threads_of_all(threads):
        runs = {name: prepare(inputs) for name, prepare in work.contestants(threads).items()}
        answers = {name: run() for name, run in runs.items()}
    exact_share = {name: work.exact_share(inputs, answer) for name, answer in answers.items()}
    del answers
    gc.collect()
    gc.disable()
    try:
        with threads_of_all(threads):
            timings = round_robin(runs, effort)
    finally:
        gc.enable()
    return Outcome(str(work), work.op, threads, timings, exact_share)


class ReplayedClock:
    """A pytest-benchmark timer that tells the durations of a contest that is over.

    pytest-benchmark measures one function to its end before the next. To give each contestant its own record all the
    same, its test replays what was measured in turns.
    """

    def __init__(self) -> None:
        self._now_s = 0.0

    def __call__(self) -> float:
        return self._now_s

    def __repr__(self) -> str:
        return "time.perf_counter, in turns"

    def replay(self, benchmark: Any, durations_s: list[float]) -> None:
        """Give the pytest-benchmark fixture `benchmark`, which must use this timer, one round per duration."""
        self._now_s = 0.0
        left = iter(durations_s)

        def let_time_pass() -> None:
            self._now_s += next(left)

        benchmark.pedantic(let_time_pass, rounds=len(durations_s))


clock = ReplayedClock()
