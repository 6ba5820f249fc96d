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
        sources = [TESTS / self.main, *(ROOT / "csrc" / "kernels" / "cuda" / name for name in self.kernels)]
        return compile_cpp(folder / "program", ROOT / "csrc", sources, *SANITIZE)

    def build_objects(self, folder: Path) -> Path:
        """Folder of an object file of each source, to be linked with those that hold a planted bug."""
        for source in (TESTS / self.main, *(ROOT / "csrc" / "kernels" / "cuda" / name for name in self.kernels)):
            compile_cpp(folder / f"{source.name}.o", ROOT / "csrc", [source], "-O1", "-c")
        return folder

    def run_with_bug(self, bug: PlantedBug, objects: Path, folder: Path) -> subprocess.CompletedProcess[str]:
        csrc = folder / "csrc"
        shutil.copytree(ROOT / "csrc" / "kernels", csrc / "kernels")
        path = csrc / "kernels" / "cuda" / bug.file
        source = path.read_text()
        for original, planted in bug.replacements.items():
            assert source.count(original) == 1
            source = source.replace(original, planted)
        path.write_text(source)
        affected = [bug.file] if bug.file in self.kernels else self.kernels
        changed = [csrc / "kernels" / "cuda" / name for name in affected]
        compile_cpp(folder / "changed.o", csrc, changed, "-O0", "-r", "-w", *STRICT_ALIGNMENT)
        unchanged = [objects / f"{name}.o" for name in (self.main, *self.kernels) if name not in affected]
        program = folder / "program"
        subprocess.run([*COMPILE, str(folder / "changed.o"), *map(str, unchanged), "-o", str(program)], check=True)
        return run(program, bug.case)
