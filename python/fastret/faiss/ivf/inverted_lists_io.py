"""Inverted lists to files and back, in FAISS's format."""

from __future__ import annotations

from typing import Any

from ..formats.registry import inverted_lists
from ..index_io import read_from, write_to
from .inverted_lists import InvertedLists


def write_InvertedLists(ils: InvertedLists, f: Any) -> None:
    """Write inverted lists to a file (a name, a Path) or an IOWriter; errors as of write_index."""
    write_to(inverted_lists, ils, f)


def read_InvertedLists(f: Any, io_flags: int = 0) -> Any:
    """Read inverted lists from a file (a name, a Path) or an IOReader; errors as of read_index."""
    return read_from(inverted_lists, f, io_flags)


def downcast_InvertedLists(ils: InvertedLists | None) -> InvertedLists | None:
    """The lists: Python objects are of their own kind already."""
    return ils
