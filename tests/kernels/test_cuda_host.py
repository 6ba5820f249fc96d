"""The CUDA kernels, compiled unmodified by the host compiler, run thread by thread on the simulator of cuda/simt.h."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests" / "kernels" / "cuda"
SOURCES = ("merge.cu", "pair_scores.cu", "pairwise_scores.cu", "search.cu", "select_k.cu")
CASES = (
    "search_off_tile",
    "search_ties",
    "search_sorted_keys",
    "search_any_k",
    "search_empty",
    "search_values",
    "search_plan",
    "search_allowed",
    "search_excluded",
    "search_allowed_and_excluded",
    "select_rows",
    "select_any_k",
    "pairs",
    "own_pairs",
    "l2_rounds_each_step",
)
COMPILE = (
    *os.environ.get("CXX", "g++").split(),
    *("-std=c++17", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas"),
    *(f"-I{TESTS / 'include'}", f"-I{TESTS}"),
)


def compile_cpp(target: Path, csrc: Path, sources: Sequence[Path], *flags: str) -> Path:
    command = [*COMPILE, *flags, f"-I{csrc}", "-x", "c++", *map(str, sources), "-o", str(target)]
    subprocess.run(command, check=True)
    return target


def kernels_of(csrc: Path) -> list[Path]:
    return [csrc / "kernels" / "cuda" / name for name in SOURCES]


def run(program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def host_test(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target, csrc = tmp_path_factory.mktemp("cuda_host") / "host_test", ROOT / "csrc"
    sanitize = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    return compile_cpp(target, csrc, [*kernels_of(csrc), TESTS / "host_test.cpp"], *sanitize)


@pytest.fixture(scope="module")
def comparisons(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """host_test.cpp alone, to be linked with kernels that hold a planted bug."""
    target = tmp_path_factory.mktemp("cuda_host") / "host_test.o"
    return compile_cpp(target, ROOT / "csrc", [TESTS / "host_test.cpp"], "-O1", "-c")


def test_every_case_is_run(host_test: Path) -> None:
    assert tuple(run(host_test).stdout.split()) == CASES


@pytest.mark.parametrize("case", CASES)
def test_kernels_equal_their_definition(host_test: Path, case: str) -> None:
    result = run(host_test, case)
    assert result.returncode == 0, result.stderr


@dataclass(frozen=True)
class PlantedBug:
    file: str
    replacements: dict[str, str]
    case: str


PLANTED_BUGS = {
    "equal values: the larger position first": PlantedBug(
        "rank_key.cuh", {"~position": "position", "~uint32_t(key)": "uint32_t(key)"}, "search_ties"
    ),
    "-0 ranks below +0": PlantedBug("rank_key.cuh", {"value + 0.0f": "value"}, "select_rows"),
    "NaN ranks": PlantedBug("rank_key.cuh", {"if (value != value) return 0;": ""}, "search_values"),
    "survivors share a place": PlantedBug("merge.cuh", {"(1u << lane) - 1": "(1u << lane) - 2"}, "search_off_tile"),
    "the last key of a digit is missed": PlantedBug(
        "block_select.cuh", {"needed <= above + own": "needed < above + own"}, "select_rows"
    ),
    "keys beyond the last one are found": PlantedBug(
        "search.cu",
        {"key < p.keys.rows && is_allowed(p.filter, key)": "is_allowed(p.filter, key)"},
        "search_any_k",
    ),
    "keys that are not allowed are found": PlantedBug(
        "search.cu", {" && is_allowed(p.filter, key)": ""}, "search_allowed"
    ),
    "every chunk asks for the first one's keys": PlantedBug(
        "key_filter.cuh", {"part.allowed += first_key": "part.allowed += 0 * first_key"}, "search_allowed"
    ),
    "excluded keys are found": PlantedBug("search.cu", {"p.filter.num_excluded > 0": "false"}, "search_excluded"),
    "excluded ids count from the chunk's first key": PlantedBug(
        "search.cu", {"p.first_id + first_key": "first_key"}, "search_excluded"
    ),
    "every pass excludes the first queries' ids": PlantedBug(
        "key_filter.cuh", {"first_query * part.num_excluded": "0 * first_query"}, "search_excluded"
    ),
    "only the first 32 ids are excluded": PlantedBug(
        "key_filter.cuh", {"i < filter.num_excluded": "i < filter.num_excluded && i < 32"}, "search_excluded"
    ),
    "excluded ids are compared in 32 bits": PlantedBug(
        "key_filter.cuh", {"uint64_t(excluded[i])": "uint32_t(excluded[i])"}, "search_excluded"
    ),
    "a tile is overwritten while it is read": PlantedBug(
        "score_tile.cuh", {"kStageDims) {\n    __syncthreads();": "kStageDims) {"}, "pairs"
    ),
    "a barrier that some threads never reach": PlantedBug(
        "merge.cu",
        {"bitonic_sort(list, length, 0);": "if (threadIdx.x < 64) bitonic_sort(list, length, 0);"},
        "search_ties",
    ),
    "ids of no key are looked up": PlantedBug("pair_scores.cu", {"key >= 0 && key < p.keys.rows": "true"}, "own_pairs"),
    "a query's own keys meet another query": PlantedBug(
        "pair_scores.cu", {"pair / p.num_pairs": "pair % p.queries.rows"}, "own_pairs"
    ),
    "a lane of a pair is not folded": PlantedBug(
        "pair_score.cuh", {"half = kLanes / 2": "half = kLanes / 4"}, "own_pairs"
    ),
    "a fused multiply-add of a pair": PlantedBug(
        "pair_score.cuh",
        {"__dadd_rn(sum, __dmul_rn(difference, difference))": "fma(difference, difference, sum)"},
        "own_pairs",
    ),
    "a fused multiply-add": PlantedBug(
        "score_tile.cuh",
        {"__dadd_rn(sums[pair], __dmul_rn(difference, difference))": "fma(difference, difference, sums[pair])"},
        "l2_rounds_each_step",
    ),
}


@pytest.mark.parametrize("name", PLANTED_BUGS)
def test_a_planted_bug_is_found(name: str, comparisons: Path, tmp_path: Path) -> None:
    bug = PLANTED_BUGS[name]
    csrc = tmp_path / "csrc"
    shutil.copytree(ROOT / "csrc" / "kernels", csrc / "kernels")
    path = csrc / "kernels" / "cuda" / bug.file
    source = path.read_text()
    for original, planted in bug.replacements.items():
        assert source.count(original) == 1
        source = source.replace(original, planted)
    path.write_text(source)
    kernels = compile_cpp(tmp_path / "kernels.o", csrc, kernels_of(csrc), "-O0", "-r")
    program = tmp_path / "host_test"
    subprocess.run([*COMPILE, str(kernels), str(comparisons), "-o", str(program)], check=True)
    result = run(program, bug.case)
    assert result.returncode != 0, f"{bug.case} passes in spite of: {name}"
