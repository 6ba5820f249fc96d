"""How fast are the CUDA ops, in turns with their peers?

    python -m benchmarks.gpu.speed --out speed.json --budget-s 150

Times are medians of CUDA events over rounds in which every contestant runs once. Each row also tells what share of
the ids equals fastret's, which correctness.py holds to the definition.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import fastret
from benchmarks.vectors import embedding_like

from .peers import SEARCH_PEERS, Run, torch_scores
from .results_file import ResultsFile

FASTRET = "fastret"
MIN_ROUNDS, MAX_ROUNDS = 3, 30
ROUNDS_BUDGET_S = 3.0  # per work

SEARCHES = (  # Q, N, D, k
    (1000, 100_000, 512, 10),
    (1, 1_000_000, 768, 10),
    (16, 1_000_000, 768, 10),
    (1000, 100_000, 512, 1000),
    (10_000, 1_000_000, 768, 10),
)
SELECTIONS = (  # rows, columns, k, dtype
    (1000, 100_000, 10, torch.float32),
    (1, 10_000_000, 100, torch.float32),
    (100_000, 1000, 32, torch.float16),
    (100, 100_000, 4096, torch.float32),
)
SCORES = (  # B, Q, N, D
    (1, 1000, 100_000, 512),
    (64, 256, 256, 512),
)


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


def take_turns(runs: dict[str, Run], device: torch.device) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in runs}
    start_s = time.perf_counter()
    for rounds in range(MAX_ROUNDS):
        if rounds >= MIN_ROUNDS and time.perf_counter() - start_s > ROUNDS_BUDGET_S:
            break
        for name, run in runs.items():
            times[name].append(elapsed_s(run, device))
    return times


class Contest:
    """Measures works one after the other until the time is spent, and writes each as soon as it is known."""

    def __init__(self, results: ResultsFile, device: torch.device, budget_s: float) -> None:
        self._results = results
        self._device = device
        self._end_s = time.perf_counter() + budget_s

    def hold(
        self,
        op: str,
        work: str,
        operations: int,
        contestants: dict[str, Callable[[], Run]],
        agree: Callable[..., float],
    ) -> None:
        """`contestants` prepare and return what is timed; the first is fastret. `agree(answer, fastret's)` -> share."""
        if time.perf_counter() > self._end_s:
            self._results.add(op=op, work=work, skipped="the time was spent")
            return
        runs, shares = {}, {}
        own = None
        for name, prepare in contestants.items():
            try:
                run = prepare()
                answer = run()  # warms up as well: compilation, handles, caches
                if self._device.type == "cuda":
                    torch.cuda.synchronize()
            except Exception as error:  # a peer that is missing, or fails, does not end the contest
                self._results.add(op=op, work=work, contestant=name, error=f"{type(error).__name__}: {error}"[:300])
                if name == FASTRET:
                    return
                continue
            own = answer if name == FASTRET else own
            shares[name] = agree(answer, own)
            runs[name] = run
            del answer
        times = take_turns(runs, self._device)
        medians = {name: statistics.median(seconds) for name, seconds in times.items()}
        for name, median_s in medians.items():
            row = {
                "op": op,
                "work": work,
                "contestant": name,
                "median_s": median_s,
                "min_s": min(times[name]),
                "rounds": len(times[name]),
                "ratio": median_s / medians[FASTRET],
                "tflop_per_s": operations / median_s / 1e12,
                "share_equal": shares[name],
            }
            self._results.add(**row)
            print(f"{op} {work}: {name}: {median_s * 1e3:.3f} ms, {row['ratio']:.2f} of fastret", flush=True)


def share_of_equal_ids(answer: tuple[Tensor, Tensor], own: tuple[Tensor, Tensor]) -> float:
    return (answer[1] == own[1]).float().mean().item()


def share_of_equal_scores(answer: Tensor, own: Tensor) -> float:
    return (answer == own).float().mean().item()


def bind(function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
    return lambda: function(*arguments)


def hold_all(contest: Contest, device: torch.device, shrink: int = 1) -> None:
    """`shrink` divides rows and keys: 1 for a measurement, more for a rehearsal."""
    for num_queries, num_keys, dim, k in SEARCHES:
        num_queries, num_keys = max(1, num_queries // shrink), max(k, num_keys // shrink)
        # Drawn on the CPU, keys at most 100k and then with noise of their own: a million would take half a minute.
        drawn_keys, drawn_queries = embedding_like(min(num_keys, 100_000), num_queries, dim)
        keys, queries = drawn_keys.to(device), drawn_queries.to(device)
        copies = -(-num_keys // len(keys))
        keys = keys.repeat(copies, 1)[:num_keys]
        if copies > 1:
            keys += torch.randn_like(keys) * (0.3 / dim**0.5)
            keys = torch.nn.functional.normalize(keys, out=keys)
        contestants: dict[str, Callable[[], Run]] = {
            FASTRET: bind(bind, fastret.search, queries, keys, k),
            **{name: bind(prepare, queries, keys, k) for name, prepare in SEARCH_PEERS.items()},
        }
        work = f"{num_queries} x {num_keys} x {dim}, k = {k}"
        contest.hold("search", work, 2 * num_queries * num_keys * dim, contestants, share_of_equal_ids)
        del keys, queries, contestants
    for rows, columns, k, dtype in SELECTIONS:
        rows, columns = max(1, rows // shrink), max(k, columns // shrink)
        values = torch.randn(rows, columns, device=device).to(dtype)
        contestants = {
            FASTRET: bind(bind, fastret.select_k, values, k),
            "torch topk": bind(bind, torch.topk, values, k),
        }
        work = f"{rows} x {columns} {str(dtype).removeprefix('torch.')}, k = {k}"
        contest.hold("select_k", work, rows * columns, contestants, share_of_equal_ids)
    for batch, num_queries, num_keys, dim in SCORES:
        num_queries, num_keys = max(1, num_queries // shrink), max(1, num_keys // shrink)
        queries = torch.randn(batch, num_queries, dim, device=device)
        keys = torch.randn(batch, num_keys, dim, device=device)
        contestants = {
            FASTRET: bind(bind, fastret.cosine_scores, queries, keys),
            "torch normalize + matmul": bind(torch_scores, queries, keys),
        }
        work = f"{batch} x {num_queries} x {num_keys} x {dim}"
        operations = 2 * batch * num_queries * num_keys * dim
        contest.hold("cosine_scores", work, operations, contestants, share_of_equal_scores)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--budget-s", type=float, default=150)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--shrink", type=int, default=1, help="divide rows and keys: a rehearsal")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    torch.manual_seed(0)
    contest = Contest(ResultsFile(arguments.out, device), device, arguments.budget_s)
    hold_all(contest, device, arguments.shrink)


if __name__ == "__main__":
    main()
