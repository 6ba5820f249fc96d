"""native/: the CPU kernels against plain definitions, under sanitizers, and with bugs planted on purpose."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = Path(__file__).resolve().parent / "native"
SEARCH_PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # cmake, ninja from wheels
GROUPS = ("primitives", "error_bound", "search", "search_in_threads", "select_k", "pairwise_scores")


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


@pytest.mark.skipif(not all(map(shutil.which, NEON_TOOLS)), reason=f"needs {' and '.join(NEON_TOOLS)}")
def test_neon_equals_the_definitions_under_emulation() -> None:
    compiler, emulator = NEON_TOOLS
    processor = ("-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=aarch64", f"-DCMAKE_CXX_COMPILER={compiler}")
    program = build("", *processor, "-DCMAKE_EXE_LINKER_FLAGS=-static", name="aarch64") / "native_tests"
    result = subprocess.run([emulator, program, *GROUPS], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    assert "neon, l2" in result.stdout


def test_every_group_is_run(address_build: Path) -> None:
    names = (SOURCE / "groups.h").read_text().split("kGroups[] = {")[1]
    assert tuple(names.split('"')[1::2]) == GROUPS


def test_threads_share_nothing_unguarded(thread_build: Path) -> None:
    result = run(thread_build / "native_tests", "search_in_threads", "select_k")
    assert result.returncode == 0, result.stderr


@pytest.fixture(scope="module")
def plain_build() -> Path:
    return build("")


@dataclass(frozen=True)
class PlantedBug:
    file: str  # below csrc/kernels
    original: str
    planted: str
    group: str  # that must fail
    recompiled: str = "cpu/search.cpp"


PLANTED_BUGS = {
    "no error bound": PlantedBug(
        "cpu/first_pass.cpp", "dot_ = ", "dot_ = 0 * ", "error_bound", "cpu/first_pass.cpp"
    ),
    "half an error bound": PlantedBug(
        "cpu/first_pass.cpp", "canonical_ = ", "canonical_ = 0.5 * ", "error_bound", "cpu/first_pass.cpp"
    ),
    "keys that the pass cannot hold are forgotten": PlantedBug(
        "cpu/first_pass.cpp", "unbounded.push_back(key)", "(void)key", "search", "cpu/first_pass.cpp"
    ),
    "a key that reaches the threshold exactly is dropped": PlantedBug(
        "cpu/plain_loops.h", "uppers[i] >= threshold", "uppers[i] > threshold", "primitives", "cpu/scalar.cpp"
    ),
    "the last dimension of a row is missed": PlantedBug(
        "cpu/scalar.cpp", "j < width", "j < width - (width < 16)", "primitives", "cpu/scalar.cpp"
    ),
    "a lane is not folded": PlantedBug(
        "canonical.h", "j < half", "j < half - (half == 4)", "primitives", "cpu/scalar.cpp"
    ),
    "a fused multiply-add": PlantedBug(
        "cpu/scalar.cpp",
        "lanes[j] += term == Term::product ? x * y : (x - y) * (x - y)",
        "lanes[j] = term == Term::product ? lanes[j] + x * y : __builtin_fma(x - y, x - y, lanes[j])",
        "primitives",
        "cpu/scalar.cpp",
    ),
    "equal scores: the larger id first": PlantedBug("canonical.h", "id_a < id_b", "id_a > id_b", "search"),
    "a candidate that could tie is dropped": PlantedBug(
        "cpu/candidates.h", "c.upper < threshold_", "c.upper <= threshold_", "search"
    ),
    "a query with too many candidates is left unanswered": PlantedBug(
        "cpu/search.cpp", "exact_.push_back(bounded_[size_t(b)])", "(void)b", "search"
    ),
    "a part of the keys is not merged": PlantedBug(
        "cpu/search.cpp", "part = 1; part < key_parts_; ++part) merged", "part = 2; part < key_parts_; ++part) merged",
        "search_in_threads",
    ),
    "two tasks report the same unbounded keys": PlantedBug(
        "cpu/search.cpp", "groups.begin == 0 ?", "groups.begin >= 0 ?", "search_in_threads"
    ),
    "-0 sorts before +0": PlantedBug(
        "cpu/select_k.cpp", "value + 0.0f", "value", "select_k", "cpu/select_k.cpp"
    ),
    "equal values: the larger column first": PlantedBug(
        "cpu/select_k.cpp", "std::sort(keys.begin(), keys.end(), std::greater<uint64_t>())",
        "std::sort(keys.begin(), keys.end(), [](auto a, auto b) { return a >> 32 == b >> 32 ? a < b : a > b; })",
        "select_k", "cpu/select_k.cpp",
    ),
    "an infinitely bad value is no value": PlantedBug(
        "cpu/select_k.cpp", "(!full && values[c] >= threshold)", "false", "select_k", "cpu/select_k.cpp"
    ),
}  # fmt: skip


@pytest.fixture
def csrc(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "csrc" / "kernels", tmp_path / "csrc/kernels", ignore=shutil.ignore_patterns("cuda"))
    return tmp_path / "csrc"


def test_without_a_planted_bug_nothing_is_found(plain_build: Path, csrc: Path, tmp_path: Path) -> None:
    result = run(link_with("cpu/search.cpp", csrc, plain_build, tmp_path))
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("name", PLANTED_BUGS)
def test_a_planted_bug_is_found(name: str, plain_build: Path, csrc: Path, tmp_path: Path) -> None:
    bug = PLANTED_BUGS[name]
    mutated = csrc / "kernels" / bug.file
    source = mutated.read_text()
    assert source.count(bug.original) == 1
    mutated.write_text(source.replace(bug.original, bug.planted))
    program = link_with(bug.recompiled, csrc, plain_build, tmp_path)
    result = run(program, bug.group)
    assert "FAILED" in result.stderr, f"{bug.group} passes in spite of: {name}"


def link_with(source: str, csrc: Path, folder: Path, target: Path) -> Path:
    """native_tests as it is in `folder`, but with `source` compiled from `csrc`."""
    mutant, program = target / "mutant.o", target / "native_tests"
    objects = []
    for entry in json.loads((folder / "compile_commands.json").read_text()):
        command = shlex.split(entry["command"])
        if Path(entry["file"]).resolve() != ROOT / "csrc" / "kernels" / source:
            objects.append(folder / command[command.index("-o") + 1])
            continue
        moved = shlex.split(entry["command"].replace(str(Path(entry["file"]).parents[2]), str(csrc)))
        flags = [*moved[: moved.index("-o")], "-O0", "-Wno-error"]
        subprocess.run([*flags, "-o", mutant, "-c", csrc / "kernels" / source], check=True, cwd=folder)
    # First in the list: its inline functions are the ones that the linker keeps.
    compiler = os.environ.get("CXX", "c++").split()
    subprocess.run([*compiler, mutant, *objects, "-o", program, "-pthread"], check=True)
    return program
