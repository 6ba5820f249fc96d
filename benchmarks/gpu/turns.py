"""Contestants that take turns on a device, and the rows that tell how long they took."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from .peers import Prepare, Run
from .results_file import ResultsFile

MIN_ROUNDS, MAX_ROUNDS = 3, 30
PATIENCE_S = 1.5  # whoever takes longer has one round


@dataclass(frozen=True)
class Contest:
    """One work and who does it. The first contestant, fastret, is whom the others are compared with."""

    op: str
    work: str  # sizes and parameters, in words
    contestants: Mapping[str, Prepare]
    goal: str | None = None  # of goals.py, which this is the work of
    operations: int = 0  # floating-point operations that the work asks for
    bytes_moved: int = 0  # the fewest that the first contestant must read and write
    agree: Callable[[Any, Any], float] | None = None  # (an answer, fastret's) -> the share that is equal
    facts: Mapping[str, Any] = field(default_factory=dict)  # beside the row of the first


def elapsed_s(run: Run, device: torch.device) -> float:
    if device.type != "cuda":
        start_s = time.perf_counter()
        run()
        return time.perf_counter() - start_s
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    run()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1e3


def take_turns(runs: Mapping[str, Run], device: torch.device, rounds_s: float) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in runs}
    start_s = time.perf_counter()
    for rounds in range(MAX_ROUNDS):
        if rounds >= MIN_ROUNDS and time.perf_counter() - start_s > rounds_s:
            break
        for name, run in runs.items():
            if not times[name] or times[name][0] <= PATIENCE_S:
                times[name].append(elapsed_s(run, device))
    return times


class Stage:
    """Holds contests one after the other until the time is spent, and writes each as soon as it is known."""

    def __init__(self, results: ResultsFile, device: torch.device, budget_s: float, rounds_s: float) -> None:
        self._results = results
        self._device = device
        self._end_s = time.perf_counter() + budget_s
        self._rounds_s = rounds_s

    def time_is_spent(self) -> bool:
        return time.perf_counter() > self._end_s

    def hold(self, op: str, name: str, goal: str | None, make: Callable[[], Contest]) -> None:
        """The contest that `make` makes, which is left out where there is no time or no memory for it."""
        self._tidy()
        try:
            if self.time_is_spent():
                raise TimeoutError("the time was spent")
            self._hold(make())
        except Exception as error:  # the next work may still go
            self._leave_out(error, op=op, work=name, goal=goal)

    def _hold(self, contest: Contest) -> None:
        runs, shares = self._prepare(contest)
        own = next(iter(contest.contestants))
        if own not in runs:
            return
        times = take_turns(runs, self._device, self._rounds_s)
        medians = {name: statistics.median(seconds) for name, seconds in times.items()}
        for name, median_s in medians.items():
            row = {
                **{"op": contest.op, "work": contest.work, "goal": contest.goal, "contestant": name},
                **{"median_s": median_s, "min_s": min(times[name]), "rounds": len(times[name])},
                **{"ratio": median_s / medians[own], "share_equal": shares.get(name)},
            }
            if contest.operations:
                row["tflop_per_s"] = contest.operations / median_s / 1e12
            if name == own:
                row |= contest.facts
                if contest.bytes_moved:
                    row["gb_per_s"] = contest.bytes_moved / median_s / 1e9
            self._results.add(**row)
            print(f"{contest.op} {contest.work}: {name}: {median_s * 1e3:.3f} ms, {row['ratio']:.2f}", flush=True)

    def _prepare(self, contest: Contest) -> tuple[dict[str, Run], dict[str, float]]:
        """Each contestant's run, done once, and how much of its answer is fastret's."""
        runs: dict[str, Run] = {}
        shares: dict[str, float] = {}
        own: Any = None
        for name, prepare in contest.contestants.items():
            try:
                if self.time_is_spent():
                    raise TimeoutError("the time was spent")
                run = prepare()
                answer = run()  # warms up as well: compilation, handles, caches
                if self._device.type == "cuda":
                    torch.cuda.synchronize()
            except Exception as error:  # a peer that is missing, or fails, does not end the contest
                self._leave_out(error, op=contest.op, work=contest.work, goal=contest.goal, contestant=name)
                if not runs:
                    break
                continue
            own = own if runs else answer
            if contest.agree and answer is not None:
                shares[name] = contest.agree(answer, own)
            runs[name] = run
            del answer
        return runs, shares

    def _leave_out(self, error: Exception, **what: Any) -> None:
        why = f"{type(error).__name__}: {error}"[:300]
        self._results.add(**what, left_out=why)
        print(f"{what['op']} {what['work']}: {what.get('contestant', 'all')}: {why}", flush=True)
        self._tidy()

    def _tidy(self) -> None:
        if self._device.type == "cuda":
            gc.collect()
            torch.cuda.empty_cache()


def share_of_equal_ids(answer: Any, own: Any) -> float:
    return float((answer[1] == own[1]).float().mean().item())
