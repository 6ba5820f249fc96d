"""The table of benchmarks/README.md is what its JSON files give, and says which peer, work and machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from benchmarks import table
from benchmarks.comparisons import comparisons
from benchmarks.goals import GOALS

MACHINE = {
    "cpu": {"brand_raw": "Some CPU", "family": 25},
    "cores": 2,
    "system": "Linux x86_64",
    "fastret": "0.1.0",
    "isa": "avx2",
    "compiler": "gcc 12",
    "faiss": "1.15.1",
    "torch": "2.13.0",
    "numpy": "2.4",
    "python": "3.11",
    "load_average": 0.1,
    "quick": False,
}
MARKERS = "before\n<!-- benchmark table: none -->\nold\n<!-- end of benchmark table -->\nafter\n"


def record(contestant: str, median: float, minimum: float, exact: float = 1.0, work: str = "clip 1x2x3") -> Any:
    info = {"op": "search", "work": work, "threads": 1, "contestant": contestant, "exact_share": exact}
    return {"extra_info": info | {"cores_used": 0.98}, "stats": {"median": median, "min": minimum}}


@pytest.fixture
def result(tmp_path: Path) -> Path:
    path = tmp_path / "results" / "some.json"
    path.parent.mkdir()
    written = {
        "machine_info": MACHINE,
        "benchmarks": [record("fastret", 0.010, 0.008), record("faiss", 0.025, 0.016, exact=0.99999)],
        "commit_info": {"id": "0123456789abcdef", "dirty": False},
        "datetime": "2025-01-02T03:04:05",
    }
    path.write_text(json.dumps(written))
    return path


def test_a_row_names_work_and_peer_and_gives_ratios_of_medians_and_of_minima() -> None:
    records = [record("fastret", 0.010, 0.008), record("faiss", 0.025, 0.016, exact=0.99999)]
    text = table.paragraphs(MACHINE, records)[-1]
    cells = [cell.strip() for cell in text.splitlines()[-1].strip("|").split("|")]
    # 99.999 % of equal ids is not all of them.
    assert cells == ["clip 1x2x3", "1", "faiss", "10", "25", "2.50", "2.00", "100 %", "99.99 %"]


def test_a_work_without_fastret_or_without_a_peer_has_no_row() -> None:
    both = [record("fastret", 1, 1), record("torch", 1, 1)]
    alone = [record("torch", 1, 1, work="no fastret"), record("fastret", 1, 1, work="no peer")]
    assert comparisons(both + alone) == comparisons(both)
    with pytest.raises(ValueError, match="no work was measured with both fastret and a peer"):
        comparisons(alone)


def test_goals_come_before_the_tables_of_the_ops() -> None:
    work = GOALS[0].work
    both = [record("fastret", 1, 1, work=work), record("faiss", 5, 5, work=work)]
    goals, search = table.paragraphs(MACHINE, both)[-2:]
    assert goals.startswith("### Goals") and "5.00 |        4 |   6 | at least" in goals
    assert search.startswith("### search")


def test_the_machine_is_described_with_versions_and_with_how_quiet_it_was() -> None:
    text = table.describe_machine(MACHINE, [record("fastret", 1, 1)])
    assert "Some CPU (family 25), 2 cores" in text and "faiss 1.15.1" in text
    assert "had 0.98 to 0.98 of a core" in text
    assert "faiss not installed" in table.describe_machine(MACHINE | {"faiss": None}, [])
    assert "scann-core 0.2" in table.describe_machine(MACHINE | {"scann-core": "0.2"}, [])


def test_the_script_writes_between_the_markers_and_a_second_time_changes_nothing(result: Path) -> None:
    readme = result.parent.parent / "README.md"
    readme.write_text(MARKERS)
    assert table.main([str(result), "--into", str(readme)]) == 0
    written = readme.read_text()
    assert written.startswith("before\n<!-- benchmark table: results/some.json -->\n")
    assert written.endswith("<!-- end of benchmark table -->\nafter\n")
    assert "old" not in written and "2025-01-02 at commit 0123456789." in written
    assert table.main(["--into", str(readme)]) == 0
    assert readme.read_text() == written
    assert [path.name for path in readme.parent.iterdir() if path.is_file()] == ["README.md"]


def test_check_writes_nothing_and_tells_a_stale_table(result: Path, capsys: pytest.CaptureFixture[str]) -> None:
    readme = result.parent.parent / "README.md"
    readme.write_text(MARKERS)
    assert table.main([str(result), "--check", "--into", str(readme)]) == 1
    assert readme.read_text() == MARKERS
    assert "is not what its results give; run python -m benchmarks.table" in capsys.readouterr().err
    table.main([str(result), "--into", str(readme)])
    assert table.main(["--check", "--into", str(readme)]) == 0


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (json.dumps({"machine_info": {"quick": True}, "benchmarks": []}), "is of a quick run"),
        ("{}", "is not a JSON file that these benchmarks wrote"),
        ("not json", "is not a JSON file that these benchmarks wrote"),
    ],
)
def test_a_result_that_means_nothing_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, sentence: str
) -> None:
    (tmp_path / "bad.json").write_text(content)
    (tmp_path / "README.md").write_text(MARKERS)
    assert table.main([str(tmp_path / "bad.json"), "--into", str(tmp_path / "README.md")]) == 1
    assert sentence in capsys.readouterr().err
    assert (tmp_path / "README.md").read_text() == MARKERS


def test_a_text_without_markers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one pair of markers, got 0"):
        table.with_table("no markers", tmp_path)


def test_the_committed_table_is_what_the_committed_results_give() -> None:
    assert table.main(["--check"]) == 0
