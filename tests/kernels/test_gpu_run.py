"""benchmarks/gpu/run.sh and the scripts that it calls, as far as a machine without a GPU can tell."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RUN = ROOT / "benchmarks" / "gpu" / "run.sh"

# Plays python on a GPU machine: builds at once, fails the correctness stage, outlasts the speed stage.
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
        "memcheck": "passed",
        "racecheck": "passed",
        "synccheck": "passed",
        "speed": "ran out of time",
    }
    assert "FAILED search: ids differ" in result.stdout
    assert "| speed | ran out of time |" in (tmp_path / "out" / "table.md").read_text()


@pytest.mark.parametrize(
    "arguments",
    [
        ("tiny_shapes",),
        ("correctness", "--out", "correctness.json"),
        ("speed", "--shrink", "1000", "--out", "speed.json"),
    ],
)
def test_scripts_can_be_rehearsed_on_the_cpu(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    script, *rest = arguments
    command = [sys.executable, "-m", f"benchmarks.gpu.{script}", "--device", "cpu", *rest]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'ops'}"}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    if script == "correctness":
        rows = json.loads((tmp_path / "correctness.json").read_text())["rows"]
        assert any("excluded" in row["check"] for row in rows) and all(row["ok"] for row in rows)
    if script == "speed":
        rows = json.loads((tmp_path / "speed.json").read_text())["rows"]
        assert {row["op"] for row in rows if row.get("contestant") == "fastret"} == {
            "search",
            "select_k",
            "cosine_scores",
        }
