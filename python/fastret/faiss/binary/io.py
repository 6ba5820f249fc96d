"""Binary indexes to files, bytes and callbacks in FAISS's own formats, and back."""

from __future__ import annotations

from typing import Any

from ..formats.registry import binary_indexes
from ..index_io import from_bytes, read_from, to_bytes, write_to
from .index import IndexBinary


def write_index_binary(index: IndexBinary, f: Any) -> None:
    """Write a binary index to a file (a name, a Path) that faiss.read_index_binary reads, or to an IOWriter.

    Raises TypeError for what is no binary index, RuntimeError if the file cannot be written whole.
    """
    write_to(binary_indexes, index, f)


def read_index_binary(f: Any, io_flags: int = 0) -> Any:
    """Read a binary index that FAISS or write_index_binary wrote to a file (a name, a Path), or from an IOReader.

    Raises RuntimeError (as FAISS does), naming the file, if it cannot be opened, is truncated or altered, or holds
    no kind of binary index that is known here.
    """
    return read_from(binary_indexes, f, io_flags)


def serialize_index_binary(index: IndexBinary) -> Any:
    """The bytes that write_index_binary writes, [n] uint8."""
    return to_bytes(binary_indexes, index)


def deserialize_index_binary(data: Any, io_flags: int = 0) -> Any:
    """The binary index that serialize_index_binary made `data` [n] uint8 of."""
    return from_bytes(binary_indexes, data, io_flags)
