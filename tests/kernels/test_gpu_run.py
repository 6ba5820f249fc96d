"""benchmarks/gpu/run.sh and the scripts that it calls, as far as a machine without a GPU can tell."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from benchmarks.gpu import table
from benchmarks.gpu.goals import BFLOAT16, COPY, FLOAT32, GEMM, GOALS, NOT_MEASURED, verdicts
from benchmarks.gpu.results_file import ResultsFile
from benchmarks.gpu.turns import Contest, Stage, share_of_equal_ids

ROOT = Path(__file__).resolve().parents[2]
RUN = ROOT / "benchmarks" / "gpu" / "run.sh"

# Plays python on a GPU machine: builds at once, fails the correctness stage, outlasts the whole run in the speed stage.
PYTHON = """#!/bin/bash
case "$*" in
  -c*) ;;
  *pip*) while [ "$1" != --target ]; do shift; done; mkdir "$2/fastret" ;;
  *correctness*) echo 'FAILED search: ids differ'; exit 1 ;;
  *speed*) exec sleep 60 ;;
  *table*) exec {python} "$@" ;;
esac
"""


def executable(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


def run_with(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "OUT": str(folder / "out"), **variables}
    return subprocess.run([RUN], env=environment, capture_output=True, text=True, timeout=60)


def test_without_a_gpu_it_says_so_in_one_sentence(tmp_path: Path) -> None:
    executable(tmp_path / "nvidia-smi", "#!/bin/sh\nexit 9\n")
    result = run_with(tmp_path)
    assert result.returncode == 2
    assert result.stderr == "benchmarks/gpu/run.sh: needs an NVIDIA GPU, and nvidia-smi shows none here\n"
    assert not (tmp_path / "out").exists()


def test_a_failed_stage_is_recorded_and_the_next_ones_run(tmp_path: Path) -> None:
    executable(tmp_path / "nvidia-smi", "#!/bin/sh\necho 'GPU 0: none'\n")
    executable(tmp_path / "compute-sanitizer", "#!/bin/sh\n")
    python = executable(tmp_path / "python", PYTHON.format(python=sys.executable))
    result = run_with(tmp_path, PY=str(python), LIMIT_S="3")
    assert result.returncode == 1, result.stderr
    lines = (tmp_path / "out" / "stages.jsonl").read_text().splitlines()
    assert {stage["stage"]: stage["result"] for stage in map(json.loads, lines)} == {
        "build": "passed",
        "correctness": "failed (1)",
        "speed": "ran out of time",
        "memcheck": "not run: no time left",
        "racecheck": "not run: no time left",
        "synccheck": "not run: no time left",
    }
    assert "FAILED search: ids differ" in result.stdout
    assert "| speed       | ran out of time       |" in (tmp_path / "out" / "table.md").read_text()


def test_the_build_is_for_the_device_alone(tmp_path: Path) -> None:
    executable(tmp_path / "nvidia-smi", '#!/bin/sh\ncase "$*" in *compute_cap*) echo 9.0 ;; *) echo GPU ;; esac\n')
    python = executable(tmp_path / "python", '#!/bin/sh\ncase "$*" in *pip*) echo "$@" ;; esac\n')
    assert run_with(tmp_path, PY=str(python), LIMIT_S="3").returncode == 0
    assert "FASTRET_CUDA_ARCHS=90a-real" in (tmp_path / "out" / "build.log").read_text()


def rehearse(folder: Path, script: str, *arguments: str) -> str:
    """Runs one of the scripts with the CPU as the device. Returns what it printed."""
    command = [sys.executable, "-m", f"benchmarks.gpu.{script}", "--device", "cpu", *arguments]
    # One thread: works so small are no faster with more, which would wait for one another.
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'ops'}", "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_tiny_shapes_are_right_on_the_cpu(tmp_path: Path) -> None:
    rehearse(tmp_path, "tiny_shapes")


def test_checks_pass_on_the_cpu(tmp_path: Path) -> None:
    rehearse(tmp_path, "correctness", "--every", "13", "--out", "correctness.json")
    rows = json.loads((tmp_path / "correctness.json").read_text())["rows"]
    assert all(row["ok"] for row in rows)
    for what in (
        "excluded",
        "ceilings",
        "margin",
        "search_planes",
        "split_rows_",
        "select_k",
        "by matmul",
        "gradients",
    ):
        assert any(what in row["check"] for row in rows), what


def test_a_failed_check_is_told_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "ops"))
    from benchmarks.gpu.correctness import run_checks

    def wrong() -> None:
        raise AssertionError("bits differ")

    path = tmp_path / "correctness.json"
    with ResultsFile(path, torch.device("cpu")) as results:
        assert run_checks(iter([("a", wrong), ("b", lambda: None)]), results, end_s=math.inf) == 1
        assert run_checks(iter([("late", lambda: None)]), results, end_s=-math.inf) == 1
    rows = json.loads(path.read_text())["rows"]
    assert [row["error"] for row in rows] == [
        "AssertionError: bits differ",
        None,
        "TimeoutError: not run: the time was spent",
    ]


def test_every_goal_has_a_work_and_a_rehearsal_says_what_it_is(tmp_path: Path) -> None:
    rehearse(tmp_path, "speed", "--shrink", "2000", "--rounds-s", "0", "--out", "speed.json")
    content = json.loads((tmp_path / "speed.json").read_text())
    timed = [row for row in content["rows"] if row.get("contestant") == "fastret"]
    assert {goal.name for goal in GOALS} <= {row["goal"] for row in timed}
    assert {row["op"] for row in timed} >= {"search", "mine_hard_negatives", "select_k", "unit_rows"}
    (tmp_path / "stages.jsonl").touch()
    report = table.report(tmp_path)
    assert report.startswith("A rehearsal on shrunken works: these figures mean nothing.")
    assert "| yes " not in report and "| no " not in report


def timed(goal: str, contestant: str, ratio: float, **more: float) -> dict[str, object]:
    return {"op": "search", "work": "W", "goal": goal, "contestant": contestant, "median_s": 1, "ratio": ratio, **more}


def test_goals_are_met_or_not_or_were_not_measured() -> None:
    by_gemm, by_bandwidth = "search 10000 x 1000000 x 768, k = 10", "search 1 x 10000000 x 768, k = 10"
    rows = [
        {"op": "floor", "work": "copy", "goal": None, "contestant": COPY, "median_s": 1, "ratio": 1, "gb_per_s": 3000},
        timed(by_gemm, "fastret", 1),
        timed(by_gemm, GEMM, 0.5),
        timed(by_gemm, FLOAT32, 9),
        {"op": "search", "work": "W", "goal": by_gemm, "contestant": BFLOAT16, "left_out": "out of memory"},
        timed(by_bandwidth, "fastret", 1, gb_per_s=2700),
    ]
    found = {(goal, asked): (measured, met) for goal, asked, measured, met in verdicts(rows)}
    assert found[by_gemm, f"at most 1.5 x {GEMM}"] == ("2.00 (W)", "no")
    assert found[by_gemm, f"at least 8 x as fast as {FLOAT32}"] == ("9.00 (W)", "yes")
    assert found[by_gemm, f"at least 2 x as fast as {BFLOAT16}"] == ("out of memory", NOT_MEASURED)
    assert found[by_bandwidth, f"at least 0.8 of the bandwidth of a {COPY}"] == ("0.90 (W)", "yes")
    others = [met for (goal, _), (_, met) in found.items() if goal not in (by_gemm, by_bandwidth)]
    assert others and set(others) == {NOT_MEASURED}


def test_a_contestant_that_fails_leaves_the_others_and_a_work_that_fails_the_next(tmp_path: Path) -> None:
    path = tmp_path / "speed.json"

    def missing() -> None:
        raise ImportError("no such peer")

    def no_memory() -> Contest:
        raise MemoryError("too large")

    answer = torch.tensor([[1.0]]), torch.tensor([[7]])
    contest = Contest(
        "op", "W", {"fastret": lambda: lambda: answer, "peer": missing, "other": lambda: lambda: answer},
        agree=share_of_equal_ids,
    )  # fmt: skip
    with ResultsFile(path, torch.device("cpu")) as results:
        stage = Stage(results, torch.device("cpu"), budget_s=60, rounds_s=0)
        stage.hold("op", "V", "the goal", no_memory)
        stage.hold("op", "W", None, lambda: contest)
        Stage(results, torch.device("cpu"), budget_s=-1, rounds_s=0).hold("op", "late", None, lambda: contest)
    rows = json.loads(path.read_text())["rows"]
    assert [(row["work"], row.get("contestant"), row.get("left_out")) for row in rows] == [
        ("V", None, "MemoryError: too large"),
        ("W", "peer", "ImportError: no such peer"),
        ("W", "fastret", None),
        ("W", "other", None),
        ("late", None, "TimeoutError: the time was spent"),
    ]
    assert [row["share_equal"] for row in rows if "median_s" in row] == [1.0, 1.0]
