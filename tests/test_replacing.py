"""replacing: the old file or the new one, never a half, and nothing left beside it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from fastret.replacing import replacing


@pytest.fixture(params=[True, False], ids=["durable", "at once"])
def durable(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "file").write_text("old")
    return tmp_path / "file"


def test_success_replaces_the_file(path: Path, durable: bool) -> None:
    with replacing(path, durable=durable) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.parent == path.parent
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_a_failure_half_way_leaves_the_old_file_and_nothing_else(path: Path, durable: bool) -> None:
    with pytest.raises(OSError, match="full"), replacing(path, durable=durable) as temporary:
        temporary.write_text("ha")
        raise OSError("disk full")
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_a_failure_before_the_first_byte_leaves_the_old_file(path: Path, durable: bool) -> None:
    with pytest.raises(FileNotFoundError), replacing(path, durable=durable):
        pass  # wrote nothing
    assert path.read_text() == "old"


def test_the_new_file_has_the_permissions_of_any_new_file(path: Path, durable: bool) -> None:
    ordinary = path.with_name("ordinary")
    ordinary.touch()
    with replacing(path, durable=durable) as temporary:
        temporary.write_text("new")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(ordinary.stat().st_mode)


def test_two_writers_do_not_share_a_temporary_file(path: Path, durable: bool) -> None:
    with replacing(path, durable=durable) as first, replacing(path, durable=durable) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"


def test_a_file_that_was_not_there_appears(path: Path, durable: bool) -> None:
    path.unlink()
    with replacing(path, durable=durable) as temporary:
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_names_that_the_system_cannot_swap_are_replaced(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastret.replacing._renameat2", None)
    with replacing(path, durable=False) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]
