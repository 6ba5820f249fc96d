"""The CUDA kernels, compiled unmodified by the host compiler, run thread by thread on the simulator of cuda/simt.h."""

from __future__ import annotations

from pathlib import Path

import pytest
from simulator import PlantedBug, Suite, run

SUITE = Suite("host_test.cpp", ("pair_scores.cu", "pairwise_scores.cu", "unit_rows.cu"))
CASES = ("pairs", "own_pairs", "unit_rows", "unit_rows_backward", "l2_rounds_each_step")


@pytest.fixture(scope="module")
def host_test(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return SUITE.build(tmp_path_factory.mktemp("cuda_host"))


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return SUITE.build_objects(tmp_path_factory.mktemp("cuda_host"))


def test_every_case_is_run(host_test: Path) -> None:
    assert tuple(run(host_test).stdout.split()) == CASES


@pytest.mark.parametrize("case", CASES)
def test_kernels_equal_their_definition(host_test: Path, case: str) -> None:
    result = run(host_test, case)
    assert result.returncode == 0, result.stderr


PLANTED_BUGS = {
    "a tile is overwritten while it is read": PlantedBug(
        "score_tile.cuh", {"kStageDims) {\n    __syncthreads();": "kStageDims) {"}, "pairs"
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
    "pieces beyond a row are read": PlantedBug(
        "row_span.cuh", {"if (within) words": "if (within || true) words"}, "unit_rows"
    ),
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
        "unit_rows.cu", {" - along * span.values[i]": " - 0 * along * span.values[i]"}, "unit_rows_backward"
    ),
    "a fused multiply-add": PlantedBug(
        "score_tile.cuh",
        {"__dadd_rn(sums[pair], __dmul_rn(difference, difference))": "fma(difference, difference, sums[pair])"},
        "l2_rounds_each_step",
    ),
}


@pytest.mark.parametrize("name", PLANTED_BUGS)
def test_a_planted_bug_is_found(name: str, objects: Path, tmp_path: Path) -> None:
    bug = PLANTED_BUGS[name]
    result = SUITE.run_with_bug(bug, objects, tmp_path)
    assert result.returncode != 0, f"{bug.case} passes in spite of: {name}"
