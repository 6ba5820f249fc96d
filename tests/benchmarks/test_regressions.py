"""A ratio that fell is reported and fails; a machine of which nothing is stored is told how to store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from benchmarks import regressions

MACHINE = {
    "cpu": {"brand_raw": "Some CPU", "family": 25},
    "cores": 2,
    "thread_counts": [1, 2],
    "isa": "avx2",
    "system": "Linux x86_64",
    "faiss": "1.15.1",
    "load_average": 0.1,
    "quick": False,
}


def write_run(
    path: Path, ratios: dict[str, float], machine: dict[str, Any] | None = None, date: str = "2025-01-02"
) -> Path:
    """A result in which fastret takes a second on every work, and faiss as many as the ratio says."""
    records = [
        {
            "extra_info": {"op": "search", "work": work, "threads": 1, "contestant": name},
            "stats": {"median": median_s, "min": median_s},
        }
        for work, ratio in ratios.items()
        for name, median_s in (("fastret", 1.0), ("faiss", ratio))
    ]
    path.parent.mkdir(exist_ok=True)
    written = {"machine_info": machine or MACHINE, "benchmarks": records, "datetime": f"{date}T03:04:05"}
    path.write_text(json.dumps(written | {"commit_info": {"id": "0123456789abcdef", "dirty": False}}))
    return path


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    write_run(tmp_path / "results" / "some.json", {"A": 4.0, "B": 2.0, "C": 1.0})
    return tmp_path / "results"


def check(new: Path, stored: Path, *arguments: str) -> int:
    return regressions.main([str(new), "--results", str(stored), *arguments])


def test_a_planted_regression_is_named_and_fails(
    tmp_path: Path, stored: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = write_run(tmp_path / "new.json", {"A": 3.3, "B": 2.4, "C": 1.0})
    assert check(new, stored) == 1
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in capsys.readouterr().out.splitlines()]
    assert rows[2:5] == [
        ["search", "A", "1", "faiss", "4.00", "3.30", "-18 %", "fell"],
        ["search", "B", "1", "faiss", "2.00", "2.40", "+20 %", ""],
        ["search", "C", "1", "faiss", "1.00", "1.00", "+0 %", ""],
    ]
    assert ["1 of 3 ratios fell by more than 15 %."] in rows


def test_what_stays_within_the_tolerance_passes(tmp_path: Path, stored: Path) -> None:
    new = write_run(tmp_path / "new.json", {"A": 3.5, "B": 1.8, "C": 5.0})
    assert check(new, stored) == 0
    assert check(new, stored, "--tolerance", "0.05") == 1
    assert check(write_run(tmp_path / "new.json", {"A": 2.9, "B": 2, "C": 1}), stored, "--tolerance", "0.3") == 0


def test_a_run_of_a_part_is_compared_in_that_part(
    tmp_path: Path, stored: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(write_run(tmp_path / "new.json", {"B": 2.0, "not stored": 0.1}), stored) == 0
    assert "0 of 1 ratios fell by more than 15 %.\n2 stored ratios were not measured now." in capsys.readouterr().out
    assert check(write_run(tmp_path / "new.json", {"not stored": 0.1}), stored) == 1
    assert capsys.readouterr().err == "regressions: the new run measured nothing that is stored\n"


@pytest.mark.parametrize("fact", [{"cpu": {"brand_raw": "Other CPU"}}, {"cores": 4}, {"thread_counts": [1]}])
def test_another_machine_is_told_to_store_a_run(
    tmp_path: Path, stored: Path, capsys: pytest.CaptureFixture[str], fact: dict[str, Any]
) -> None:
    assert check(write_run(tmp_path / "new.json", {"A": 4.0}, MACHINE | fact), stored) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"regressions: nothing in {stored} was measured on this machine (")
    assert error.endswith(f"store a run with `make bench BENCH=--benchmark-json={stored}/NAME.json`\n")


def test_another_version_or_instruction_set_is_compared_and_said(
    tmp_path: Path, stored: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = write_run(
        tmp_path / "new.json", {"A": 4.0}, MACHINE | {"faiss": "1.16", "isa": "scalar", "load_average": 2.0}
    )
    assert check(new, stored) == 0
    said = capsys.readouterr().out
    assert "isa was avx2 and is scalar, which may explain changes.\nfaiss was 1.15.1 and is 1.16, which" in said


def test_the_newest_run_of_the_machine_counts(tmp_path: Path, stored: Path) -> None:
    write_run(stored / "before.json", {"A": 9.0}, date="2024-12-31")
    new = write_run(tmp_path / "new.json", {"A": 4.0})
    assert check(new, stored) == 0
    write_run(stored / "after.json", {"A": 9.0}, date="2025-01-03")
    assert check(new, stored) == 1


def test_a_quick_run_is_refused(tmp_path: Path, stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(write_run(tmp_path / "new.json", {"A": 4.0}, MACHINE | {"quick": True}), stored) == 1
    assert (
        capsys.readouterr().err == f"regressions: {tmp_path / 'new.json'} is of a quick run; its figures mean nothing\n"
    )


def test_before_measuring_it_says_what_this_machine_is_compared_with(
    tmp_path: Path, stored: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks.machine import machine_facts

    assert regressions.main(["--results", str(stored)]) == 1
    here = write_run(stored / "here.json", {"A": 4.0}, machine_facts() | {"quick": False})
    capsys.readouterr()
    assert regressions.main(["--results", str(stored)]) == 0
    assert capsys.readouterr().err == f"compared with {here}\n"
