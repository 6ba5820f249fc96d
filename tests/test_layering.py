"""Data flows one way through the house: kernels -> ops -> bindings, and room by room up to the command line."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "python" / "fastret"

# A room may import rooms of a lower level.
LEVELS = {
    "ops": 0,
    "index": 1,
    "embed": 1,
    "losses": 1,
    "faiss": 2,
    "evaluate": 2,
    "mining": 2,
    "demo": 3,
    "cli": 4,
}
# What the C++ folders may include of each other.
INCLUDES = {"kernels": {"kernels"}, "ops": {"kernels", "ops"}, "bindings": {"kernels", "ops", "bindings"}}


def imported_rooms(path: Path) -> Iterator[tuple[str, int]]:
    """The rooms that a module imports, with the line."""
    package = path.relative_to(PACKAGE.parent).with_suffix("").parts[:-1]  # ("fastret", "ops")
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == "fastret" and len(parts) > 1 and parts[1] in LEVELS:
                yield parts[1], node.lineno


def upward_imports(room: str) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{line} imports {other}"
        for path in sorted((PACKAGE / room).rglob("*.py"))
        for other, line in imported_rooms(path)
        if other != room and LEVELS[other] >= LEVELS[room]
    ]


def test_every_room_has_a_level() -> None:
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert rooms == set(LEVELS)


@pytest.mark.parametrize("room", LEVELS)
def test_a_room_imports_only_lower_rooms(room: str) -> None:
    assert upward_imports(room) == []


def test_an_upward_import_would_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "python" / "fastret"
    (package / "ops").mkdir(parents=True)
    (package / "ops" / "bad.py").write_text("def f():\n    from ..cli import app\n")
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    monkeypatch.setattr(f"{__name__}.PACKAGE", package)
    assert upward_imports("ops") == ["python/fastret/ops/bad.py:2 imports cli"]


@pytest.mark.parametrize("folder", INCLUDES)
def test_cpp_folders_include_only_lower_ones(folder: str) -> None:
    for path in (ROOT / "csrc" / folder).rglob("*"):
        if path.suffix not in {".h", ".cpp", ".cu", ".cuh"}:
            continue
        text = path.read_text()
        included = {name.split("/")[0] for name in re.findall(r'#include "([^"]+)"', text) if "/" in name}
        assert included <= INCLUDES[folder], path
        if folder == "kernels":
            assert not re.search(r"#include <(torch|ATen|c10|pybind11|Python)", text), path
