"""Vector transforms to files and back, in FAISS's format."""

from __future__ import annotations

from typing import Any

from ..formats.registry import transforms
from ..index_io import read_from, write_to
from .transform import VectorTransform


def write_VectorTransform(transform: VectorTransform, f: Any) -> None:
    """Write a transform to a file (a name, a Path) or an IOWriter; errors as of write_index."""
    write_to(transforms, transform, f)


def read_VectorTransform(f: Any) -> Any:
    """Read a transform from a file (a name, a Path) or an IOReader; errors as of read_index."""
    return read_from(transforms, f)
