"""Builds and runs CUDA kernels, unmodified, on the simulator of cuda/simt.h, and kernels with planted bugs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests" / "kernels" / "cuda"
COMPILE = (
    *os.environ.get("CXX", "g++").split(),
    *("-std=c++17", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas"),
    *(f"-I{TESTS / 'include'}", f"-I{TESTS}"),
)
# A device stops at a misaligned access, which most processors forgive.
STRICT_ALIGNMENT = ("-fsanitize=alignment", "-fsanitize-undefined-trap-on-error")
SANITIZE = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def compile_cpp(target: Path, csrc: Path, sources: Sequence[Path], *flags: str) -> Path:
    command = [*COMPILE, *flags, f"-I{csrc}", "-x", "c++", *map(str, sources), "-o", str(target)]
    subprocess.run(command, check=True)
    return target


def run(program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=240)


@dataclass(frozen=True)
class PlantedBug:
    file: str  # in csrc/kernels/cuda
    replacements: dict[str, str]
    case: str  # that must fail


@dataclass(frozen=True)
class Suite:
    """A program of test cases: its main file, and the kernels that it runs."""

    main: str  # in tests/kernels/cuda
    kernels: tuple[str, ...]  # in csrc/kernels/cuda

    def build(self, folder: Path) -> Path:
        return compile_cpp(folder / "program", ROOT / "csrc", [*self._kernels(ROOT / "csrc"), self._main], *SANITIZE)

    def build_comparisons(self, folder: Path) -> Path:
        """The main file alone, to be linked with kernels that hold a planted bug."""
        return compile_cpp(folder / "main.o", ROOT / "csrc", [self._main], "-O1", "-c")

    def run_with_bug(self, bug: PlantedBug, comparisons: Path, folder: Path) -> subprocess.CompletedProcess[str]:
        csrc = folder / "csrc"
        shutil.copytree(ROOT / "csrc" / "kernels", csrc / "kernels")
        path = csrc / "kernels" / "cuda" / bug.file
        source = path.read_text()
        for original, planted in bug.replacements.items():
            assert source.count(original) == 1
            source = source.replace(original, planted)
        path.write_text(source)
        kernels = compile_cpp(folder / "kernels.o", csrc, self._kernels(csrc), "-O0", "-r", *STRICT_ALIGNMENT)
        program = folder / "program"
        subprocess.run([*COMPILE, str(kernels), str(comparisons), "-o", str(program)], check=True)
        return run(program, bug.case)

    @property
    def _main(self) -> Path:
        return TESTS / self.main

    def _kernels(self, csrc: Path) -> list[Path]:
        return [csrc / "kernels" / "cuda" / name for name in self.kernels]
