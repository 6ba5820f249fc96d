"""The CUDA search, kernels and schedule, run thread by thread on the simulator of cuda/simt.h."""

from __future__ import annotations

from pathlib import Path

import pytest
from simulator import PlantedBug, Suite, run

SUITE = Suite(
    "search_test.cpp",
    (
        "dense.cu",
        "key_lists.cu",
        "query_list.cu",
        "rescore.cu",
        "scan_mma.cu",
        "search.cu",
        "split_rows.cu",
        "tighten.cu",
    ),
)
CASES = (
    "search_off_tile",
    "search_ties",
    "search_sorted_keys",
    "search_any_k",
    "search_empty",
    "search_values",
    "search_scans",
    "search_near_duplicates",
    "search_allowed",
    "search_excluded",
    "search_labels",
    "search_ceilings",
    "search_allowed_and_excluded",
)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return SUITE.build(tmp_path_factory.mktemp("cuda_search"))


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return SUITE.build_objects(tmp_path_factory.mktemp("cuda_search"))


def test_every_case_is_run(program: Path) -> None:
    assert tuple(run(program).stdout.split()) == CASES


@pytest.mark.parametrize("case", CASES)
def test_search_equals_its_definition(program: Path, case: str) -> None:
    result = run(program, case)
    assert result.returncode == 0, result.stderr


PLANTED_BUGS = {
    "equal values: the larger id first": PlantedBug(
        "rank_key.cuh", {"~position": "position", "~uint32_t(key)": "uint32_t(key)"}, "search_ties"
    ),
    "NaN ranks": PlantedBug("rank_key.cuh", {"if (value != value) return 0;": ""}, "search_values"),
    "a scan that reads the planes of another run": PlantedBug(
        "scan_mma.cu", {"p.only_scanned || (kFiner && product == 0) ? visit : tile": "visit"}, "search_scans"
    ),
    "thresholds from upper ends": PlantedBug(
        "tighten.cu", {"ordered_bits(interval.lower)": "ordered_bits(interval.upper)"}, "search_near_duplicates"
    ),
    "candidates are dropped by their lower ends": PlantedBug(
        "tighten.cu",
        {"lower_ends.ends_of(entry).upper >=": "lower_ends.ends_of(entry).lower >="},
        "search_near_duplicates",
    ),
    "an overflow goes unnoticed": PlantedBug(
        "tighten.cu", {"size < appended &&": "false &&"}, "search_near_duplicates"
    ),
    "a finer list whose first query stands for all": PlantedBug(
        "scan_epilogue.cuh", {"int64_t(list[1 + place])": "int64_t(list[1])"}, "search_near_duplicates"
    ),
    "what the first scan kept stays beside the finer one's": PlantedBug(
        "query_list.cu", {"counts[list[1 + place]] = 0;": ""}, "search_near_duplicates"
    ),
    "survivors share a place": PlantedBug(
        "dense.cu",
        {"held + __popc(keepers & ((1u << lane) - 1))": "held + __popc(keepers & (1u << lane))"},
        "search_any_k",
    ),
    "a full buffer is not emptied": PlantedBug(
        "dense.cu", {"if (buffers.counts[q] + kTileKeys > room)": "if (false)"}, "search_near_duplicates"
    ),
    "parts of a row overlap": PlantedBug("dense.cu", {" + part * room;": ";"}, "search_near_duplicates"),
    "keys beyond the last one are found": PlantedBug(
        "dense.cu", {"key < p.keys.rows.rows && is_allowed(p.filter, key)": "is_allowed(p.filter, key)"}, "search_any_k"
    ),
    "keys that are not allowed are found": PlantedBug(
        "scan_epilogue.cuh", {"key < p.num_keys && is_allowed(p.filter, key) ?": "key < p.num_keys ?"}, "search_allowed"
    ),
    "keys that are not allowed are found without a scan": PlantedBug(
        "dense.cu", {" && is_allowed(p.filter, key)": ""}, "search_allowed"
    ),
    "excluded keys are found": PlantedBug(
        "key_filter.cuh", {"if (excluded[i] == key) return true;": ""}, "search_excluded"
    ),
    "excluded keys are found without a scan": PlantedBug(
        "dense.cu", {"p.filter.num_excluded > 0 &&": "false &&"}, "search_excluded"
    ),
    "every pass excludes the first queries' ids": PlantedBug(
        "key_filter.cuh", {"first_query * part.num_excluded": "0 * first_query"}, "search_excluded"
    ),
    "only the first 32 ids are excluded": PlantedBug(
        "key_filter.cuh",
        {"i < filter.num_excluded; i += 32": "i < filter.num_excluded && i < 32; i += 32"},
        "search_excluded",
    ),
    "excluded ids are compared in 32 bits": PlantedBug(
        "key_filter.cuh", {"uint64_t(excluded[i])": "uint32_t(excluded[i])"}, "search_excluded"
    ),
    "every pass has the first queries' labels": PlantedBug(
        "key_filter.cuh", {"part.query_labels += first_query": "part.query_labels += 0 * first_query"}, "search_labels"
    ),
    "keys of the own label are found without a scan": PlantedBug(
        "dense.cu", {"p.filter.query_labels && keep": "false"}, "search_labels"
    ),
    "keys above the ceiling are found": PlantedBug(
        "rescore.cu", {"p.ceilings && beats_ceiling": "false && beats_ceiling"}, "search_ceilings"
    ),
    "keys that may beat the ceiling raise the threshold": PlantedBug(
        "tighten.cu", {"interval.upper > query.ceiling_low ? 0 : ": ""}, "search_ceilings"
    ),
    "keys at the ceiling are dropped unseen": PlantedBug(
        "scan_epilogue.cuh",
        {"interval.lower > facts.ceiling_high": "interval.upper > facts.ceiling_high"},
        "search_ceilings",
    ),
}


@pytest.mark.parametrize("name", PLANTED_BUGS)
def test_a_planted_bug_is_found(name: str, objects: Path, tmp_path: Path) -> None:
    bug = PLANTED_BUGS[name]
    result = SUITE.run_with_bug(bug, objects, tmp_path)
    assert result.returncode != 0, f"{bug.case} passes in spite of: {name}"
