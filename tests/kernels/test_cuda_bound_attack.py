"""The attack of cuda/bound_attack.cpp on cuda/error_bound.cuh finds every part of the bound that is too small."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
from simulator import ROOT, TESTS, compile_cpp, run

# How close to an end of the interval, in half widths, each attack has to come: where no less is planted below, the
# bound cannot be smaller by more than that.
CLOSEST = {
    "climbing": 0.99,
    "roundings of a key along the query": 0.99,
    "roundings of a query along the key": 0.99,
    "lost products": 0.64,
    "finer: roundings of a key along the query": 0.72,
    "finer: roundings of a query along the key": 0.72,
    "finer: roundings of both": 0.81,
    "l2 of zero keys": 0.49,
    "l2 of zero queries": 0.05,
}


class Shrunk(NamedTuple):
    original: str
    planted: str


SHRUNK = {
    # By a tenth.
    "the residual of a key": Shrunk("upward(scale * norms.residual)", "upward(0.9 * scale * norms.residual)"),
    "the norm of a key": Shrunk("upward(scale * norms.high)", "upward(0.9 * scale * norms.high)"),
    "the residual of a query": Shrunk(": 1) * norms.residual", ": 0.9) * norms.residual"),
    "the norm of a query": Shrunk(": norms.exact);", ": 0.9 * norms.exact);"),
    "the scale of a cosine": Shrunk("facts.scale = float(scale)", "facts.scale = float(0.9 * scale)"),
    # Sums of errors that known tensor cores, or any rows, cannot make agree to the full: these are found where
    # less is left than what they can.
    "the roundings of a sum": Shrunk("3.12 : 3.06", "3.12 : 1.95"),
    "the roundings of three sums": Shrunk("3.12 : 3.06", "1.95 : 3.06"),
    "what two bfloat16 leave of a key": Shrunk("0x1p-8 * norms.exact +", "0x1p-12 * norms.exact +"),
    "what two bfloat16 leave of a query": Shrunk("1.01 * 0x1p-8 : 1)", "1.01 * 0x1p-12 : 1)"),
    "the roundings of a query's distances": Shrunk("upward(w * square)", "upward(0.45 * w * square)"),
    "the roundings of a key's distances": Shrunk("upward(8 * 0x1p-24 + 1.02 *", "upward(0.04 *"),
    # Forgotten.
    "the scale of a residual": Shrunk("upward(scale * norms.residual)", "upward(norms.residual)"),
    "the scale of a norm": Shrunk("upward(scale * norms.high)", "upward(norms.high)"),
    "what underflows": Shrunk("kLeastNorm = 0x1p-30", "kLeastNorm = 0x1p-75"),
    "what overflows": Shrunk("kMostNorm = 0x1p60", "kMostNorm = 0x1p70"),
    "the rounding of a ceiling": Shrunk("slack = 0x1p-20 *", "slack = 0 *"),
    "the rounding of a ceiling next to zero": Shrunk(" - slack - 0x1p-149", " - slack"),
}


def attack(folder: Path, csrc: Path) -> subprocess.CompletedProcess[str]:
    program = compile_cpp(folder / "bound_attack", csrc, [TESTS / "bound_attack.cpp"], "-O1", "-Wno-error")
    return run(program)


def test_the_bound_withstands_the_attack(tmp_path: Path) -> None:
    result = attack(tmp_path, ROOT / "csrc")
    assert result.returncode == 0, result.stderr
    closest = {name: float(value) for name, value in (line.rsplit(": ", 1) for line in result.stdout.splitlines())}
    assert closest.keys() == CLOSEST.keys()
    for name, value in closest.items():
        assert CLOSEST[name] <= value <= 1, name


@pytest.mark.parametrize("name", SHRUNK)
def test_a_shrunk_bound_does_not(name: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "csrc/kernels", tmp_path / "csrc/kernels", ignore=shutil.ignore_patterns("cpu"))
    file = tmp_path / "csrc/kernels/cuda/error_bound.cuh"
    source = file.read_text()
    assert source.count(SHRUNK[name].original) == 1
    file.write_text(source.replace(*SHRUNK[name]))
    result = attack(tmp_path, tmp_path / "csrc")
    assert result.returncode != 0, f"the attack does not find: {name}"
    assert "half widths from the middle" in result.stderr or "ceilings" in result.stderr
