"""The scans of the CUDA search, compiled unmodified by the host compiler, on simulated tensor cores, copies, barriers
and clusters: what they keep of small integers is exactly what their definition keeps."""

from __future__ import annotations

from pathlib import Path

import pytest
from simulator import ROOT, TESTS, PlantedBug, Suite, compile_cpp, run
from test_cuda_search import SUITE as SEARCH_SUITE

SUITE = Suite("scan_test.cpp", ("scan_choice.cpp", "scan_hopper.cu", "scan_mma.cu"))
KERNELS_OF_A_SEARCH = (*SEARCH_SUITE.kernels, "scan_choice.cpp", "scan_hopper.cu")
CASES = ("few_queries", "one_tile", "several_tiles", "nothing", "portable", "finer", "choice", "chosen")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return SUITE.build(tmp_path_factory.mktemp("cuda_scan"))


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return SUITE.build_objects(tmp_path_factory.mktemp("cuda_scan"))


def test_every_case_is_run(program: Path) -> None:
    assert tuple(run(program).stdout.split()) == CASES


@pytest.mark.parametrize("case", CASES)
def test_scans_keep_what_the_bound_leaves_possible(program: Path, case: str) -> None:
    result = run(program, case)
    assert result.returncode == 0, result.stderr


def test_a_search_by_the_hopper_scan_finds_the_same_bits(tmp_path: Path) -> None:
    sources = [ROOT / "csrc" / "kernels" / "cuda" / name for name in KERNELS_OF_A_SEARCH]
    # Each kernel is run with sanitizers elsewhere.
    searches = compile_cpp(tmp_path / "searches", ROOT / "csrc", [*sources, TESTS / "search_on_hopper.cpp"], "-O1")
    result = run(searches, "searches")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [(None, "portable"), ("", "portable"), ("portable", "portable"), ("hopper", "hopper"), ("auto", "auto")],
)
def test_the_environment_chooses_the_kernel(
    program: Path, wanted: str | None, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FASTRET_SEARCH_KERNEL", raising=False)
    if wanted is not None:
        monkeypatch.setenv("FASTRET_SEARCH_KERNEL", wanted)
    result = run(program, "chosen")
    assert set(result.stdout.split()) == {chosen}
    assert result.stderr == ""


def test_an_unknown_kernel_in_the_environment_is_told(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTRET_SEARCH_KERNEL", "fastest")
    result = run(program, "chosen")
    assert set(result.stdout.split()) == {"portable"}
    assert "FASTRET_SEARCH_KERNEL=fastest is not portable, hopper or auto; using portable" in result.stderr


# What is planted where, for what, and the case that finds it.
BUGS_OF_FILES = {
    "scan_hopper.cu": {
        "the CTAs of a cluster score the same queries": (
            "query_row = int((scan.schedule.query_group(cluster, tile) * scan.cluster_ctas + rank)",
            "query_row = int((scan.schedule.query_group(cluster, tile) * scan.cluster_ctas)",
            "several_tiles",
        ),
        "both CTAs of a cluster fetch the same keys": ("key_row + share,", "key_row,", "several_tiles"),
        "keys go to one CTA alone": ("uint16_t((1 << scan.cluster_ctas) - 1)", "uint16_t(1 << rank)", "several_tiles"),
        "the neighbour is not told that a stage is free": (
            "thread % 32 < scan.cluster_ctas",
            "thread % 32 < 1",
            "several_tiles",
        ),
        "a CTA leaves while its neighbour still arrives there": (
            "  cluster_sync();\n}\n\n//",
            "}\n\n//",
            "several_tiles",
        ),
        "scanned tiles are sought among all keys": ("p.only_scanned ? visit : p.order", "p.order", "few_queries"),
        "keys are numbered by their visits": (
            "first_key = p.order[p.first_visit + visit] * kKeyTile",
            "first_key = (p.first_visit + visit) * kKeyTile",
            "one_tile",
        ),
        "fewer bytes are announced than come": (
            "barrier_expect(full, Tile::stage_bytes)",
            "barrier_expect(full, Tile::key_bytes)",
            "one_tile",
        ),
        "products add to those of the tile before": ("step > 0 || k > 0", "step >= 0 || k > 0", "one_tile"),
        "a tile's facts change while its pairs are offered": (
            "    join();  // all have offered their pairs of the tile before\n",
            "",
            "one_tile",
        ),
        "keys are not scaled": ("facts.scale, facts.bias", "1.0f, facts.bias", "few_queries"),
    },
    "scan_mma.cu": {
        "a product of the wrong half": ("copy + lane / 8 % 2", "copy + lane / 16", "portable"),
        "a stage is read before it has come": (
            "wait_for_copies<kStages - 2>();",
            "wait_for_copies<kStages - 1>();",
            "portable",
        ),
        "a stage is overwritten while it is read": (
            "    __syncthreads();  // the stage has come",
            "    // the stage",
            "portable",
        ),
        "the last dimensions are left out": ("step < steps; ++step) {", "step < steps - 1; ++step) {", "portable"),
        "the finer scan forgets a product": ("kFiner ? 3 * steps", "kFiner ? 2 * steps", "finer"),
        "the finer scan multiplies middles by middles": (
            "kFiner && product == 0 ? p.finer.key_middles",
            "kFiner && product <= 1 ? p.finer.key_middles",
            "finer",
        ),
        "middles are sought where all keys are": (
            "p.only_scanned || (kFiner && product == 0) ? visit : tile",
            "p.only_scanned ? visit : tile",
            "finer",
        ),
        "the finer scan reads the first queries": (
            "kFiner ? query_at(p, first_query + row) : first_query + row",
            "first_query + row",
            "finer",
        ),
    },
    "scan_epilogue.cuh": {
        "a cut that forgets the width": ("cut = threshold - half - ", "cut = threshold - ", "portable"),
    },
}
PLANTED_BUGS = {
    name: PlantedBug(file, {original: planted}, case)
    for file, bugs in BUGS_OF_FILES.items()
    for name, (original, planted, case) in bugs.items()
}


@pytest.mark.parametrize("name", PLANTED_BUGS)
def test_a_planted_bug_is_found(name: str, objects: Path, tmp_path: Path) -> None:
    bug = PLANTED_BUGS[name]
    result = SUITE.run_with_bug(bug, objects, tmp_path)
    assert result.returncode != 0, f"{bug.case} passes in spite of: {name}"
