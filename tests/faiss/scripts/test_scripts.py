"""Scripts of the kinds that use FAISS print the same numbers under real faiss and under the alias."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def started(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def printed(process: subprocess.Popen[str]) -> tuple[str, str]:
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert output
    return output, errors


# Under the alias with the GPU names that faiss-cpu lacks, under real faiss without.
@pytest.mark.parametrize(
    ("script", "of_ours", "of_theirs"),
    [
        ("dense_retrieval.py", [["--use-gpu", "--k", "10"]], ["--k", "10"]),
        ("reidentification.py", [["raw"], ["shards"]], ["cpu"]),
        ("clustering.py", [["--gpu-index"]], []),
        ("hard_negatives.py", [[]], []),
        ("idioms.py", [[]], []),
    ],
)
def test_a_script_prints_the_same_numbers(script: str, of_ours: list[list[str]], of_theirs: list[str]) -> None:
    path = str(HERE / script)
    real = started(path, *of_theirs)
    ours = [started("-m", "fastret.faiss", path, *arguments) for arguments in of_ours]
    expected, _ = printed(real)
    for process in ours:
        output, errors = printed(process)
        assert output == expected
        assert len(re.findall("every other GPU name run on the CPU", errors)) <= 1
