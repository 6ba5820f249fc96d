"""Numbers that Python and C++ must agree on, each of which has its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fastret.ops import panels, principal_axes

CSRC = Path(__file__).parents[2] / "csrc"


@pytest.mark.parametrize(
    ("name", "mirrored"),
    [
        ("kPanelKeys", panels.PANEL_KEYS),
        ("kKeyFacts", panels.KEY_FACTS),
        ("kHeadQueries", principal_axes.FEW_QUERIES),
    ],
)
def test_python_has_the_number_of_the_kernels(name: str, mirrored: int) -> None:
    sources = [path.read_text() for path in CSRC.rglob("*") if path.suffix in (".h", ".cpp", ".cu")]
    numbers = [number for text in sources for number in re.findall(rf"constexpr \w+ {name} = (\d+);", text)]
    assert numbers == [str(mirrored)]
