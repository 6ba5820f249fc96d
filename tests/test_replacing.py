"""replacing: the old file or the new one, never a half, and nothing left beside it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from fastret.replacing import replacing


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "file").write_text("old")
    return tmp_path / "file"


def test_success_replaces_the_file(path: Path) -> None:
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.parent == path.parent
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_a_failure_half_way_leaves_the_old_file_and_nothing_else(path: Path) -> None:
    with pytest.raises(OSError, match="full"), replacing(path) as temporary:
        temporary.write_text("ha")
        raise OSError("disk full")
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_a_failure_before_the_first_byte_leaves_the_old_file(path: Path) -> None:
    with pytest.raises(FileNotFoundError), replacing(path):
        pass  # wrote nothing
    assert path.read_text() == "old"


def test_the_new_file_has_the_permissions_of_any_new_file(path: Path) -> None:
    ordinary = path.with_name("ordinary")
    ordinary.touch()
    with replacing(path) as temporary:
        temporary.write_text("new")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(ordinary.stat().st_mode)


def test_two_writers_do_not_share_a_temporary_file(path: Path) -> None:
    with replacing(path) as first, replacing(path) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"
