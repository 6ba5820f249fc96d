"""Choice among the splits of a data set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def choose_split(path: Path, splits: Mapping[str, T], split: str | None) -> T:
    """The named split; without a name, "test" or the only one. Raises ValueError where that chooses none."""
    if split is None and len(splits) == 1:
        return next(iter(splits.values()))
    wanted = split or "test"
    if wanted in splits:
        return splits[wanted]
    there = ", ".join(name for name in splits if name) or "no named split"
    raise ValueError(f"{path}: the split must be one of those there ({there}), got {wanted!r}")
