"""The CUDA select_k, kernels and plans, run thread by thread on the simulator of cuda/simt.h."""

from __future__ import annotations

from pathlib import Path

import pytest
from simulator import PlantedBug, Suite, run

SUITE = Suite(
    "select_test.cpp",
    ("key_lists.cu", "select_k.cu", "select_k_filter.cu", "select_k_short.cu", "select_k_sort.cu"),
)
CASES = (
    "select_short_rows",
    "select_in_shared",
    "select_long_rows",
    "select_misled",
    "select_sorted",
    "select_far_rows",
)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return SUITE.build(tmp_path_factory.mktemp("cuda_select"))


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return SUITE.build_objects(tmp_path_factory.mktemp("cuda_select"))


def test_every_case_is_run(program: Path) -> None:
    assert tuple(run(program).stdout.split()) == CASES


@pytest.mark.parametrize("case", CASES)
def test_select_k_equals_its_definition(program: Path, case: str) -> None:
    result = run(program, case)
    assert result.returncode == 0, result.stderr


PLANTED_BUGS = {
    "the last key of a digit is missed": PlantedBug(
        "block_select.cuh", {"needed <= above + own": "needed < above + own"}, "select_in_shared"
    ),
    "-0 is selected after +0": PlantedBug(
        "ranked_rows.cuh", {"if (magnitude == 0) return kSignBit;": ""}, "select_short_rows"
    ),
    "a selected zero loses its sign": PlantedBug(
        "ranked_rows.cuh", {"if (ordered == kSignBit) bits = load(row, column);": ""}, "select_in_shared"
    ),
    "NaN is selected": PlantedBug("ranked_rows.cuh", {"magnitude > infinity": "false"}, "select_long_rows"),
    "float16 has the infinity of bfloat16": PlantedBug(
        "ranked_rows.cuh", {"DType::f16 ? 0x7c000000u": "DType::f16 ? 0x7f800000u"}, "select_in_shared"
    ),
    "rows are 2^31 elements apart at most": PlantedBug(
        "ranked_rows.cuh", {"row * row_stride + column": "int32_t(row * row_stride) + column"}, "select_far_rows"
    ),
    "rows of vectors are 2^31 elements apart at most": PlantedBug(
        "select_k_filter.cu", {"row * rows.row_stride": "int32_t(row * rows.row_stride)"}, "select_far_rows"
    ),
    "short rows are sorted into each other": PlantedBug(
        "block_select.cuh", {"size < run ? size : 0": "size"}, "select_short_rows"
    ),
    "a warp sorts before another's keys are there": PlantedBug(
        "block_select.cuh",
        {"threadIdx.x] = keys[i];\n        __syncthreads();": "threadIdx.x] = keys[i];"},
        "select_in_shared",
    ),
    "a barrier that some threads never reach": PlantedBug(
        "best_keys.cuh",
        {"sort_list(list, listed);": "if (threadIdx.x < 64) sort_list(list, listed);"},
        "select_in_shared",
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
    "segments of a row overlap": PlantedBug("select_k_filter.cu", {"vector < end ?": "true ?"}, "select_long_rows"),
    "candidates are written beyond their row": PlantedBug(
        "select_k_filter.cu", {"if (place < candidates.found.capacity) kept": "kept"}, "select_misled"
    ),
    "candidates share a place": PlantedBug(
        "select_k_filter.cu", {"+ inclusive - reaching": "+ inclusive - (reaching > 0)"}, "select_long_rows"
    ),
    "too few candidates are believed": PlantedBug(
        "select_k_filter.cu", {"count >= k || ": "true || "}, "select_misled"
    ),
    "too many candidates are believed": PlantedBug(
        "select_k_filter.cu", {"if (enough && count <= candidates.found.capacity)": "if (enough)"}, "select_misled"
    ),
    "candidates of one row join another's list": PlantedBug(
        "key_lists.cu", {"i < rows.counts[row] ?": "i < rows.counts[0] ?"}, "select_sorted"
    ),
    "later rows come first": PlantedBug("key_lists.cuh", {"rows - 1 - row": "row"}, "select_sorted"),
    "the lower half of float32 is not sorted": PlantedBug(
        "select_k_sort.cu", {"rows.element_bytes == 4 ? 0 : 16": "16"}, "select_sorted"
    ),
    "columns of equal candidates are not sorted": PlantedBug(
        "best_keys.cuh", {"chunk.keys, 0,": "chunk.keys, lists.position_bits,"}, "select_sorted"
    ),
    "every chunk of lists is that of the first rows": PlantedBug(
        "best_keys.cuh", {"rows.from(first)": "rows.from(0 * first)"}, "select_sorted"
    ),
    "padding of a sorted row is the next row": PlantedBug(
        "key_lists.cuh", {"listed = place < lists.length": "listed = true || place"}, "select_sorted"
    ),
}


@pytest.mark.parametrize("name", PLANTED_BUGS)
def test_a_planted_bug_is_found(name: str, objects: Path, tmp_path: Path) -> None:
    bug = PLANTED_BUGS[name]
    result = SUITE.run_with_bug(bug, objects, tmp_path)
    assert result.returncode != 0, f"{bug.case} passes in spite of: {name}"


def test_samples_of_long_rows_do_not_mislead(objects: Path, tmp_path: Path) -> None:
    """Sorted rows, ties, NaN: the sample's threshold serves them all, without the selection from whole rows."""
    believed = {"if (enough && count <= candidates.found.capacity)": "if (enough || true)"}
    without_selection = PlantedBug("select_k_filter.cu", believed, "select_long_rows")
    result = SUITE.run_with_bug(without_selection, objects, tmp_path)
    assert result.returncode == 0, result.stderr
