"""Real libraries give the same answers under real faiss and under the alias, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

PROGRAMS = sorted(path.stem for path in Path(__file__).parent.glob("with_*.py"))


def answers_of(*arguments: str) -> subprocess.Popen[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def answer(process: subprocess.Popen[str]) -> Any:
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return json.loads(output.splitlines()[-1])


def assert_same(ours: Any, theirs: Any, where: str) -> None:
    """Equal, floats up to the rounding of float32 sums of a few terms."""
    if isinstance(theirs, dict):
        assert ours.keys() == theirs.keys(), where
        for key in theirs:
            assert_same(ours[key], theirs[key], f"{where} {key}")
    elif isinstance(theirs, list):
        assert len(ours) == len(theirs), where
        for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            assert_same(one, other, f"{where} {number}")
    elif isinstance(theirs, float):
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-5, err_msg=where)
    else:
        assert ours == theirs, where


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_library_gives_the_same_answers(program: str) -> None:
    path = str(Path(__file__).with_name(f"{program}.py"))
    real, aliased = answers_of(path), answers_of("-m", "fastret.faiss", path)
    expected, found = answer(real), answer(aliased)
    assert expected
    assert_same(found, expected, program)


def test_there_are_programs_for_the_libraries_that_people_use() -> None:
    libraries = {name.removeprefix("with_") for name in PROGRAMS}
    assert libraries == {"datasets", "sentence_transformers", "mteb", "pytorch_metric_learning", "langchain"}
