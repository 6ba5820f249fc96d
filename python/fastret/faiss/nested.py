"""Indexes inside other indexes."""

from __future__ import annotations

from typing import Any


def wrapped_index(index: Any) -> Any:
    """What ids, transforms or a refinement were put around, or None."""
    for field in ("index", "base_index"):
        if hasattr(index, field):
            return getattr(index, field)
    return None


def try_extract_index_ivf(index: Any) -> Any:
    """The index of inverted lists behind ids, transforms and refinements, or None."""
    while (inner := wrapped_index(index)) is not None:
        index = inner
    return index if hasattr(index, "nprobe") else None


def extract_index_ivf(index: Any) -> Any:
    """The index of inverted lists behind ids, transforms and refinements. Raises RuntimeError if there is none."""
    found = try_extract_index_ivf(index)
    if found is None:
        raise RuntimeError(f"extract_index_ivf: there are no inverted lists in {index!r}")
    return found
