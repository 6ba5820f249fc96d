"""Contestants take turns, and pytest-benchmark's records hold what was measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks.contest import Effort, Outcome, ReplayedClock, Timings, round_robin
from benchmarks.exactness import float64_scores, ranking, share_correctly_rounded, share_of_equal_ids
from benchmarks.peers import PEER_VERSIONS, thread_counts, threads_of_all, under
from benchmarks.test_search import instruction_set

from fastret import _C

ROOT = Path(__file__).parents[2]


class FakeClock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def contest_of(duration_s: dict[str, float], effort: Effort) -> tuple[list[str], dict[str, Timings]]:
    """The order of turns and the timings of contestants that each let a fake clock advance."""
    clock = FakeClock()
    turns: list[str] = []

    def contestant(name: str) -> Any:
        def run() -> None:
            turns.append(name)
            clock.now_s += duration_s[name]

        return run

    runs = {name: contestant(name) for name in duration_s}
    return turns, round_robin(runs, effort, rest_s=0, wall_clock=clock, cpu_clock=clock)


def test_contestants_take_turns_and_the_first_turn_moves_on() -> None:
    turns, timings = contest_of({"a": 1.0, "b": 2.0, "c": 4.0}, Effort(4, 4, seconds_each=0))
    assert "".join(turns) == "abcbcacababc"
    assert timings["b"].wall_s == [2.0] * 4
    assert timings["b"].cores_used == 1.0


@pytest.mark.parametrize(
    ("effort", "rounds"),
    [
        (Effort(min_rounds=5, max_rounds=30, seconds_each=0.5), 5),
        (Effort(min_rounds=5, max_rounds=30, seconds_each=13.5), 9),
        (Effort(min_rounds=5, max_rounds=30, seconds_each=500), 30),
    ],
)
def test_rounds_go_on_while_there_is_time(effort: Effort, rounds: int) -> None:
    turns, _ = contest_of({"a": 1.0, "b": 2.0}, effort)
    assert len(turns) == 2 * rounds


def test_who_takes_long_sits_out_after_three_turns() -> None:
    turns, timings = contest_of({"slow": 5.0, "fast": 1.0}, Effort(6, 6, seconds_each=0, patience_s=10))
    assert timings["slow"].wall_s == [5.0] * 3
    assert timings["fast"].wall_s == [1.0] * 6
    assert turns[-3:] == ["fast"] * 3


def test_the_replayed_clock_tells_the_durations_measured_before() -> None:
    clock, seen = ReplayedClock(), []

    class Benchmark:
        def pedantic(self, target: Any, rounds: int) -> None:
            for _ in range(rounds):
                start = clock()
                target()
                seen.append(clock() - start)

    clock.replay(Benchmark(), [0.5, 0.25, 2.0])
    assert seen == [0.5, 0.25, 2.0]


def test_a_record_has_the_median_the_minimum_and_the_exactness() -> None:
    outcome = Outcome("clip 1x2x3", "search", 2, {"torch": Timings([3.0, 1.0, 2.0], [3.0, 2.0, 1.0])}, {"torch": 0.5})
    assert outcome.group == "search clip 1x2x3, 2 threads"
    record = outcome.record("torch")
    assert record["stats"] == {"median": 2.0, "min": 1.0, "rounds": 3}
    assert record["extra_info"]["exact_share"] == 0.5
    assert record["extra_info"]["cores_used"] == 1.0


def test_threads_are_held_and_given_back() -> None:
    before = torch.get_num_threads()
    with threads_of_all(1):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
    assert thread_counts() == sorted({1, before})


def test_a_setting_holds_during_a_run_and_no_longer() -> None:
    for isa in _C.available_isas():
        before = _C.get_isa()
        assert under(_C.get_isa, partial(instruction_set, isa))() == isa
        assert _C.get_isa() == before


def test_of_equal_scores_the_smaller_column_ranks_first() -> None:
    scores = torch.tensor([[1.0, 3.0, 3.0, 2.0]], dtype=torch.float64)
    assert ranking(scores, 3, largest=True).tolist() == [[1, 2, 3]]
    assert ranking(scores, 4, largest=False).tolist() == [[0, 3, 1, 2]]
    # 1 + 1e-12 is greater, and the same float32.
    assert ranking(torch.tensor([[1.0, 1.0 + 1e-12]], dtype=torch.float64), 1, largest=True).tolist() == [[0]]


def test_one_swapped_neighbour_lowers_the_share_of_equal_ids() -> None:
    expected = torch.tensor([[0, 1, 2, 3]])
    assert share_of_equal_ids(expected, expected) == 1
    assert share_of_equal_ids(torch.tensor([[1, 0, 2, 3]]), expected) == 0.5


@pytest.mark.parametrize("metric", ["ip", "cosine", "l2"])
def test_a_score_one_float32_away_is_not_correctly_rounded(metric: str) -> None:
    generator = torch.Generator().manual_seed(0)
    queries, keys = torch.randn(3, 8, generator=generator), torch.randn(5, 8, generator=generator)
    expected = float64_scores(queries, keys, metric)
    rounded = expected.float()
    assert share_correctly_rounded(rounded, expected) == 1
    rounded[1, 2] = torch.nextafter(rounded[1, 2], torch.tensor(torch.inf))
    assert share_correctly_rounded(rounded, expected) == pytest.approx(14 / 15)


def test_the_float64_distance_of_equal_vectors_is_zero() -> None:
    vectors = torch.randn(4, 64, generator=torch.Generator().manual_seed(0)) + 100
    assert float64_scores(vectors, vectors, "l2").diagonal().tolist() == [0.0] * 4


def run_quick(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(folder)}
    environment.pop("PYTEST_XDIST_WORKER", None)  # this run is no worker's, but one of its own
    command = [sys.executable, "-m", "pytest", "benchmarks", "--benchmark-enable", "--benchmark-only", "--quick"]
    return subprocess.run(
        [*command, "-p", "no:cacheprovider", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True
    )


def test_a_quick_run_records_every_contestant_of_a_file_of_embeddings(tmp_path: Path) -> None:
    import numpy as np

    pytest.importorskip("faiss")
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).normal(size=(300, 16)).astype(np.float16))
    result = tmp_path / "new" / "quick.json"
    run = run_quick(tmp_path, "-k", "rows", f"--embeddings={tmp_path / 'rows.npy'}", f"--benchmark-json={result}")
    assert run.returncode == 0, run.stdout + run.stderr
    assert str(tmp_path) not in result.read_text()  # results are for publishing
    written = json.loads(result.read_text())
    assert written["machine_info"]["quick"] and "node" not in written["machine_info"]
    infos = [record["extra_info"] for record in written["benchmarks"]]
    assert {info["work"] for info in infos} == {"rows 30x270x16 ip k=10", "rows 1x270x16 ip k=10"}
    installed = {name for name in ("usearch", "scann-core") if PEER_VERSIONS[name]}
    always = {"fastret", "faiss", "faiss, BLAS threshold 1", "torch"}
    assert {info["contestant"] for info in infos} == always | installed
    assert all(info["exact_share"] == 1 for info in infos if info["contestant"] == "fastret")
    assert all(record["stats"]["rounds"] == 2 for record in written["benchmarks"])
    assert "ratio of medians" in run.stdout


def test_without_a_peer_its_rows_are_left_out_and_a_line_says_so(tmp_path: Path) -> None:
    packages = {
        "faiss": ("faiss", "faiss-cpu"),
        "usearch": ("usearch", "usearch"),
        "scann": ("scann-core", "scann-core"),
    }
    for module in packages:
        (tmp_path / f"{module}.py").write_text("raise ImportError('blocked')\n")
    run = run_quick(tmp_path, "-k", "clip-1x2000x32 or select_k")
    assert run.returncode == 0, run.stdout + run.stderr
    for name, package in packages.values():
        assert f"{name} is not installed: its rows are left out (pip install {package} adds them)" in run.stdout
        assert f"| {name}" not in run.stdout
    assert "| torch" in run.stdout


def test_a_missing_file_of_embeddings_is_named(tmp_path: Path) -> None:
    run = run_quick(tmp_path, f"--embeddings={tmp_path / 'none.npy'}")
    assert run.returncode == 4
    assert f"--embeddings: there is no file {tmp_path / 'none.npy'}" in run.stderr
