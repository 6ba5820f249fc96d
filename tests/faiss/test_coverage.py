"""The list of FAISS's names is complete, and a name that is not here says what to do."""

from __future__ import annotations

import re
import types
from pathlib import Path

import pytest

import fastret.faiss as ours
from fastret.faiss.faiss_names import FAMILIES

theirs = pytest.importorskip("faiss")

LISTED = [name for family in FAMILIES for name in family.names.split()]


def test_every_name_of_faiss_is_listed_once() -> None:
    if theirs.__version__ != ours.__version__:
        pytest.skip(f"the list is of FAISS {ours.__version__}, and {theirs.__version__} is installed")
    public = {
        name
        for name in dir(theirs)
        if not name.startswith("_") and not isinstance(getattr(theirs, name), types.ModuleType)
    }
    assert len(LISTED) == len(set(LISTED))
    assert public <= set(LISTED)
    # What only builds with GPU kernels have, whose names faiss-cpu cannot tell.
    of_gpus = {symbol.name for symbol in ours.coverage().symbols if re.search("GPU|CAGRA", symbol.family)}
    assert set(LISTED) - public <= of_gpus


def test_every_tier_can_be_asked_for() -> None:
    covered = ours.coverage()
    assert "IndexFlatIP" in covered.names("1", here=True)
    assert "GpuIndexFlatL2" in covered.names("1", here=True)
    assert "IndexRaBitQ" in covered.names("beyond", here=False)
    assert sorted(covered.names(here=True) + covered.names(here=False)) == sorted(covered.names()) == sorted(LISTED)
    for name in covered.names(here=True):
        assert hasattr(ours, name)
    for name in covered.names(here=False):
        assert not hasattr(ours, name)


def test_the_table_counts_and_names_what_is_missing() -> None:
    lines = str(ours.coverage()).splitlines()
    assert lines[0].split() == ["tier", "names", "here", "of"]
    assert re.fullmatch(r"1 +GPU names +\d+ +\d+", next(line for line in lines if " GPU names " in line))
    assert "Not here, other graphs; instead: IndexHNSWFlat" in lines
    assert max(map(len, lines)) <= 120
    assert repr(ours.coverage()).startswith("<Coverage: ")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("IndexNSGFlat", "fastret.faiss has no IndexNSGFlat: use IndexHNSWFlat instead, or real faiss: pip install "),
        ("GpuIndexCagra", "real faiss: pip install faiss-gpu, import faiss"),
        ("IndexFlatEarth", "fastret.faiss has no 'IndexFlatEarth', nor has FAISS; faiss.coverage() lists"),
    ],
)
def test_a_missing_name_says_what_to_use(name: str, sentence: str) -> None:
    with pytest.raises(AttributeError, match=re.escape(sentence)):
        getattr(ours, name)
    with pytest.raises(ImportError):
        exec(f"from fastret.faiss import {name}")
    assert not hasattr(ours, name)


def test_what_faiss_tells_of_its_process_is_there() -> None:
    threads = ours.omp_get_max_threads()
    try:
        ours.omp_set_num_threads(1)
        assert ours.omp_get_max_threads() == 1
        ours.omp_set_num_threads(-3)
        assert ours.omp_get_max_threads() == 1
    finally:
        ours.omp_set_num_threads(threads)
    assert ours.get_version() == ours.VERSION_STRING == ours.__version__
    assert ours.check_openmp() == theirs.check_openmp()
    assert ours.get_compile_options().split()[0] == theirs.get_compile_options().split()[0]
    assert "GPU" not in ours.get_compile_options() or ours.get_num_gpus()
    assert ours.get_mem_usage_kb() > 1000
    for clock in (ours.getmillisecs, ours.get_cycles):
        before = clock()
        assert clock() >= before
    for name in ("Float32", "Float16", "UInt8", "Int8"):
        assert getattr(ours, name) == getattr(theirs, name)
        assert ours.get_numeric_type_size(getattr(ours, name)) == theirs.get_numeric_type_size(getattr(theirs, name))
    with pytest.raises(RuntimeError, match=r"get_numeric_type_size: .* got 9"):
        ours.get_numeric_type_size(9)


def test_a_type_checker_knows_the_names_that_are_not_here(tmp_path: Path) -> None:
    api = pytest.importorskip("mypy.api")
    program = tmp_path / "program.py"
    program.write_text("import fastret.faiss as faiss\nfaiss.IndexFlatL2(3)\nfaiss.IndexNSGFlat(3, 4)\n")
    said, _, status = api.run([str(program)])
    assert status == 1 and 'program.py:3: error: Module has no attribute "IndexNSGFlat"' in said, said
