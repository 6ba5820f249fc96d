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
SOURCES = (
    "merge.cu",
    "pair_scores.cu",
    "pairwise_scores.cu",
    "search.cu",
    "select_k.cu",
    "select_k_filter.cu",
    "select_k_short.cu",
    "select_k_sort.cu",
    "unit_rows.cu",
)
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
    "select_short_rows",
    "select_in_shared",
    "select_long_rows",
    "select_misled",
    "select_sorted",
    "select_far_rows",
    "pairs",
    "own_pairs",
    "unit_rows",
    "unit_rows_backward",
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
    return [*(csrc / "kernels" / "cuda" / name for name in SOURCES), TESTS / "sort_keys_host.cpp"]


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
    "NaN ranks": PlantedBug("rank_key.cuh", {"if (value != value) return 0;": ""}, "search_values"),
    "survivors share a place": PlantedBug("merge.cuh", {"(1u << lane) - 1": "(1u << lane) - 2"}, "search_off_tile"),
    "the last key of a digit is missed": PlantedBug(
        "block_select.cuh", {"needed <= above + own": "needed < above + own"}, "select_in_shared"
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
    "-0 is selected after +0": PlantedBug(
        "ranked_rows.cuh", {"if (magnitude == 0) return kSignBit;": ""}, "select_short_rows"
    ),
    "a selected zero loses its sign": PlantedBug(
        "ranked_rows.cuh", {"if (ordered == kSignBit) bits = load(row, column);": ""}, "select_in_shared"
    ),
    "NaN is selected": PlantedBug("ranked_rows.cuh", {"magnitude > infinity_": "false"}, "select_long_rows"),
    "float16 has the infinity of bfloat16": PlantedBug(
        "ranked_rows.cuh", {"DType::f16 ? 0x7c000000u": "DType::f16 ? 0x7f800000u"}, "select_in_shared"
    ),
    "rows are 2^31 elements apart at most": PlantedBug(
        "ranked_rows.cuh", {"row * p_.values.row_stride": "int32_t(row * p_.values.row_stride)"}, "select_far_rows"
    ),
    "rows of vectors are 2^31 elements apart at most": PlantedBug(
        "select_k_filter.cu", {"row * p.values.row_stride": "int32_t(row * p.values.row_stride)"}, "select_far_rows"
    ),
    "short rows are sorted into each other": PlantedBug(
        "block_select.cuh",
        {"bitonic_join(keys, length, 0, 0, run / 2)": "bitonic_join(keys, length, 0, run, run / 2)"},
        "select_short_rows",
    ),
    "padding of a short row is the next row": PlantedBug(
        "select_k_short.cu", {"place < row_length ?": "place < kSortInBlock ?"}, "select_short_rows"
    ),
    "columns count from the vector's address": PlantedBug(
        "select_k_filter.cu",
        {"vector * kElements - before + element": "vector * kElements + element"},
        "select_long_rows",
    ),
    "what precedes a row is selected": PlantedBug(
        "select_k_filter.cu", {"first + i < 0 || first + i >= columns": "first + i >= columns"}, "select_long_rows"
    ),
    "what follows a row is selected": PlantedBug(
        "select_k_filter.cu", {"first + i < 0 || first + i >= columns": "first + i < 0"}, "select_long_rows"
    ),
    "segments of a row overlap": PlantedBug(
        "select_k_filter.cu", {"vector < end ? vector : INT64_MAX / 16": "vector"}, "select_long_rows"
    ),
    "candidates are written beyond their row": PlantedBug(
        "select_k_filter.cu", {"if (place < candidates.capacity) kept": "kept"}, "select_misled"
    ),
    "candidates share a place": PlantedBug(
        "select_k_filter.cu", {"+ inclusive - reaching": "+ inclusive - (reaching > 0)"}, "select_long_rows"
    ),
    "too few candidates are believed": PlantedBug(
        "select_k_filter.cu", {"count >= k || ": "true || "}, "select_misled"
    ),
    "too many candidates are believed": PlantedBug(
        "select_k_filter.cu", {"if (enough && count <= candidates.capacity)": "if (enough)"}, "select_misled"
    ),
    "candidates of one row join another's list": PlantedBug(
        "select_k_sort.cu", {"i < candidates.counts[row] ?": "i < candidates.counts[0] ?"}, "select_sorted"
    ),
    "later rows come first": PlantedBug("select_k_sort.cu", {"rows - 1 - row": "row"}, "select_sorted"),
    "the lower half of float32 is not sorted": PlantedBug(
        "select_k_sort.cu", {"DType::f32 ? 0 : 16": "DType::f32 ? 16 : 16"}, "select_sorted"
    ),
    "columns of equal candidates are not sorted": PlantedBug(
        "select_k_sort.cu", {"lists, buffers, 0);": "lists, buffers, lists.column_bits);"}, "select_sorted"
    ),
    "padding of a sorted row is the next row": PlantedBug(
        "select_k_sort.cu", {"place < lists.length ?": "true ?"}, "select_sorted"
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
    "a span of a long row is not read again": PlantedBug(
        "unit_rows.cu", {"    if (first + length < dim) span.load(p.rows, row, first);\n": ""}, "unit_rows"
    ),
    "pieces beyond a row are read": PlantedBug("row_span.cuh", {"if (within) words": "words"}, "unit_rows"),
    "elements beyond a row are written": PlantedBug(
        "row_span.cuh", {"if (d + i < rows.dim) store": "if (d < rows.dim) store"}, "unit_rows_backward"
    ),
    "one warp's sum stands for its block's": PlantedBug(
        "unit_rows.cu", {"value += of_warp;": "value = of_warp;"}, "unit_rows"
    ),
    "squares overflow": PlantedBug("unit_rows.cu", {"double(value) * value": "value * value"}, "unit_rows"),
    "a zero row is divided by its norm": PlantedBug(
        "../unit_scale.h", {"inverse_norm == 0 ? 0.0f : ": ""}, "unit_rows"
    ),
    "the gradient keeps its part along the row": PlantedBug(
        "unit_rows.cu", {" - along * span.values[i]": ""}, "unit_rows_backward"
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
    # A device stops at a misaligned access, which this processor would forgive.
    aligned = ("-fsanitize=alignment", "-fsanitize-undefined-trap-on-error")
    kernels = compile_cpp(tmp_path / "kernels.o", csrc, kernels_of(csrc), "-O0", "-r", *aligned)
    program = tmp_path / "host_test"
    subprocess.run([*COMPILE, str(kernels), str(comparisons), "-o", str(program)], check=True)
    result = run(program, bug.case)
    assert result.returncode != 0, f"{bug.case} passes in spite of: {name}"
