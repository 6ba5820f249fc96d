"""The attack of native/test_error_bound.cpp finds every part of the error bound that is a tenth too small."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from test_native import ROOT, SOURCE, build, run

BOUND = ROOT / "csrc/kernels/cpu/error_bound.cpp"
ATTACK = SOURCE / "test_error_bound.cpp"


class Shrunk(NamedTuple):
    original: str
    planted: str
    file: str = "cpu/error_bound.cpp"  # below csrc/kernels


SHRUNK = {
    "the residual of a key": Shrunk("integers.residual + (25 * kU", "0.9 * integers.residual + (25 * kU"),
    "the residual of a query": Shrunk("integers.residual + (20 * kU", "0.9 * integers.residual + (20 * kU"),
    "the norm of a key": Shrunk("bounds.norm = up(reached)", "bounds.norm = up(0.9 * reached)"),
    "the norm of a query": Shrunk("facts.norm = up(reach *", "facts.norm = up(0.9 * reach *"),
    "the roundings of a float32 dot product": Shrunk("dot_error(double(dim))", "dot_error(0.9 * double(dim))"),
    "the rounding of the canonical score": Shrunk("canonical_ = (1 + 0x1p-10)", "canonical_ = 0.9"),
    "what all keys of a query share": Shrunk("return canonical_ * centred", "return 0.9 * canonical_ * centred"),
    "what underflows": Shrunk("underflow_ = (", "underflow_ = 0.9 * ("),
    "the lower end, by the key's part": Shrunk(
        "return double(query.facts.norm)", "return 0.9 * double(query.facts.norm)", "cpu/error_bound.h"
    ),
    "the lower end, by the query's part": Shrunk(
        "(double(query.facts.residual)", "(0.9 * double(query.facts.residual)", "cpu/error_bound.h"
    ),
    "the head of a key": Shrunk("weighted = kHeadWeight *", "weighted = 0.9 * kHeadWeight *"),
    "the head of a query": Shrunk("bounds.facts.norm / kHeadWeight", "0.9 * bounds.facts.norm / kHeadWeight"),
    "the defect of axes": Shrunk("bound.axes_error_ = axes_error", "bound.axes_error_ = 0.4 * axes_error"),
    # Sums of roundings that no rows can make agree: these are found where they are forgotten.
    "nothing for the rounding of a component": Shrunk("6 * kU * std::abs", "0 * std::abs"),
    "a third of the roundings of a squared norm": Shrunk(
        "(4 * kU + canonical_ / 2)", "0.3 * (4 * kU + canonical_ / 2)"
    ),
    "nothing for what underflows before a product": Shrunk("kTiny = 0x1p-120", "kTiny = 0"),
    "in place: what underflows is not scaled": Shrunk("bound.underflow_ /= std::sqrt(kLeastSquare)", "(void)0"),
    "in place: more lanes than there are": Shrunk("double(dim) / 4 + 16;", "double(dim) / 64 + 16;"),
    # Integers that overflow.
    "a level too many": Shrunk("largest / levels;", "largest / (levels + 1);"),
    "int16 norms whose products overflow": Shrunk("/ 45900", "/ 47000"),
}


class Command(NamedTuple):
    source: Path
    flags: list[str]
    output: Path


@pytest.fixture(scope="module")
def commands() -> Iterator[list[Command]]:
    """How the native tests are compiled; their objects are there."""
    folder = build("")
    entries = json.loads((folder / "compile_commands.json").read_text())
    split = [(Path(entry["file"]).resolve(), shlex.split(entry["command"])) for entry in entries]
    yield [Command(file, words[: words.index("-o")], folder / words[words.index("-o") + 1]) for file, words in split]


@pytest.fixture
def csrc(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "csrc/kernels", tmp_path / "csrc/kernels", ignore=shutil.ignore_patterns("cuda"))
    return tmp_path / "csrc"


def attack(commands: list[Command], csrc: Path, recompiled: tuple[Path, ...]) -> subprocess.CompletedProcess[str]:
    """The attack with some sources compiled against `csrc`."""
    fresh, kept = [], [command.output for command in commands if command.source not in recompiled]
    compilations = []
    for source, flags, _ in (command for command in commands if command.source in recompiled):
        fresh.append(csrc.parent / f"{source.stem}.o")
        moved = [word.replace(str(ROOT / "csrc"), str(csrc)) for word in flags]
        here = str(source).replace(str(ROOT / "csrc"), str(csrc))
        compilations.append(subprocess.Popen([*moved, "-Wno-error", "-o", fresh[-1], "-c", here]))
    assert [compilation.wait() for compilation in compilations] == [0] * len(recompiled)
    program = csrc.parent / "native_tests"
    # Fresh objects first: their inline functions are the ones that the linker keeps.
    compiler = os.environ.get("CXX", "c++").split()
    subprocess.run([*compiler, *fresh, *kept, "-o", program, "-pthread"], check=True)
    return run(program, "error_bound")


def test_the_whole_bound_withstands_the_attack(commands: list[Command], csrc: Path) -> None:
    result = attack(commands, csrc, (BOUND, ATTACK))
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("name", SHRUNK)
def test_a_shrunk_bound_does_not(name: str, commands: list[Command], csrc: Path) -> None:
    shrunk = SHRUNK[name]
    file = csrc / "kernels" / shrunk.file
    source = file.read_text()
    assert source.count(shrunk.original) == 1
    file.write_text(source.replace(shrunk.original, shrunk.planted))
    recompiled = (BOUND, ATTACK) if file.suffix == ".h" else (BOUND,)
    result = attack(commands, csrc, recompiled)
    assert "half widths from the middle" in result.stderr, f"the attack does not find: {name}"
