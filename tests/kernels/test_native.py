"""native/: the CPU kernels against plain definitions, under sanitizers and under emulation."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = Path(__file__).resolve().parent / "native"
SEARCH_PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # cmake, ninja from wheels
GROUPS = (
    "primitives", "first_pass", "tiles", "error_bound", "extra_scores", "candidates", "search", "search_in_threads",
    "range_search", "list_search", "select_k", "pairwise_scores", "pair_scores", "unit_rows", "hamming", "hnsw",
    "product_codes", "contrastive",
)  # fmt: skip


def build(sanitizers: str, *options: str, name: str = "plain") -> Path:
    """Configure and build native/ in build/native, where a repeated run finds everything made."""
    folder = ROOT / "build" / "native" / (sanitizers.replace(",", "-") or name)
    cmake = shutil.which("cmake", path=SEARCH_PATH)
    assert cmake is not None, "the native tests need cmake, as the build of fastret does"
    configure = [cmake, "-S", SOURCE, "-B", folder, "-G", "Ninja", f"-DFASTRET_SANITIZE={sanitizers}"]
    configure += ["-DCMAKE_EXPORT_COMPILE_COMMANDS=ON", *options]
    for command in (configure, [cmake, "--build", folder]):
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PATH": SEARCH_PATH})
        assert done.returncode == 0, done.stdout + done.stderr
    return folder


def run(program: Path, *groups: str) -> subprocess.CompletedProcess[str]:
    # Address randomisation beyond what GCC's thread sanitizer foresees makes it stop; setarch turns it off.
    plain = ["setarch", "-R"] if shutil.which("setarch") else []
    return subprocess.run([*plain, program, *groups], capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def address_build() -> Path:
    return build("address,undefined")


@pytest.fixture(scope="module")
def thread_build() -> Path:
    return build("thread")


@pytest.mark.parametrize("group", GROUPS)
def test_kernels_equal_their_definitions_and_stay_in_bounds(address_build: Path, group: str) -> None:
    result = run(address_build / "native_tests", group)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[0] == group


NEON_TOOLS = ("aarch64-linux-gnu-g++", "qemu-aarch64")
NEON_GROUPS = ("primitives", "first_pass", "tiles", "error_bound", "search")  # those that tell sets apart
needs_neon_tools = pytest.mark.skipif(
    not all(map(shutil.which, NEON_TOOLS)), reason=f"needs {' and '.join(NEON_TOOLS)}"
)


def build_for_neon() -> Path:
    processor = (
        "-DCMAKE_SYSTEM_NAME=Linux",
        "-DCMAKE_SYSTEM_PROCESSOR=aarch64",
        f"-DCMAKE_CXX_COMPILER={NEON_TOOLS[0]}",
    )
    return build("", *processor, "-DCMAKE_EXE_LINKER_FLAGS=-static", name="aarch64")


def emulate(program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([NEON_TOOLS[1], program, *arguments], capture_output=True, text=True, timeout=300)


@needs_neon_tools
def test_neon_equals_the_definitions_under_emulation() -> None:
    program = build_for_neon() / "native_tests"
    assert emulate(program, "--sets").stdout.split() == ["scalar", "neon", "neon_dotprod"]
    result = emulate(program, *NEON_GROUPS)
    assert result.returncode == 0, result.stderr


def test_every_group_is_run(address_build: Path) -> None:
    names = (SOURCE / "groups.h").read_text().split("kGroups[] = {")[1]
    assert tuple(names.split('"')[1::2]) == GROUPS


def test_threads_share_nothing_unguarded(thread_build: Path) -> None:
    groups = ("search_in_threads", "list_search", "select_k", "hamming", "hnsw", "product_codes", "contrastive")
    result = run(thread_build / "native_tests", *groups)
    assert result.returncode == 0, result.stderr
