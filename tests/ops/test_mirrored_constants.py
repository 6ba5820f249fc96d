"""Numbers that Python and C++ must agree on, each of which has its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fastret.ops import panels, planes, principal_axes

CSRC = Path(__file__).parents[2] / "csrc"


@pytest.mark.parametrize(
    ("name", "mirrored"),
    [
        ("kPanelKeys", panels.PANEL_KEYS),
        ("kKeyFacts", panels.KEY_FACTS),
        ("kHeadQueries", principal_axes.FEW_QUERIES),
        ("kKeyTile", planes.KEY_TILE),
    ],
)
def test_python_has_the_number_of_the_kernels(name: str, mirrored: int) -> None:
    sources = [path.read_text() for path in CSRC.rglob("*") if path.suffix in (".h", ".cpp", ".cu")]
    numbers = [number for text in sources for number in re.findall(rf"constexpr \w+ {name} = (\d+);", text)]
    assert numbers == [str(mirrored)]


def test_python_and_the_kernels_have_planes_of_one_width() -> None:
    source = (CSRC / "kernels" / "cuda" / "planes.h").read_text()
    (more, multiple) = re.findall(r"return \(dim \+ (\d+)\) / (\d+) \* \2;", source)[0]
    assert int(more) + 1 == int(multiple) == planes.PLANE_ALIGNMENT
