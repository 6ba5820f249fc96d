"""Indexes to files, bytes and callbacks in FAISS's own formats, and back."""

from __future__ import annotations

import copy
import io
import os
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ..replacing import replacing
from .formats.registry import Registry, indexes
from .formats.stream import IO_FLAG_MMAP, IO_FLAG_MMAP_IFC, IO_FLAG_SKIP_IVF_DATA, Reader, Writer
from .index import Index
from .io_objects import MemoryIOReader

T = TypeVar("T")
FileName = str | os.PathLike[str]
_READ_AT_ONCE = 1 << 24  # bytes from a reader, which are then copied to where they belong


def write_index(index: Index, f: Any, io_flags: int = 0) -> None:
    """Write an index to a file (a name, a Path) that faiss.read_index reads, atomically, or to an IOWriter.

    The file takes the name when it is whole, whatever ends the process before; that it outlasts a power cut a moment
    later is as with FAISS up to the system, and read_index refuses what was cut off.
    Raises TypeError for what is no index, RuntimeError (as FAISS does) if the file cannot be written whole; what was
    there before is then untouched.
    """
    write_to(indexes, index, f, io_flags)


def read_index(f: Any, io_flags: int = 0) -> Any:
    """Read an index that FAISS or write_index wrote to a file (a name, a Path), or from an IOReader.

    With IO_FLAG_MMAP or IO_FLAG_MMAP_IFC vectors stay in the file, which is memory-mapped and must not change.
    Raises RuntimeError (as FAISS does), naming the file, if it cannot be opened, is truncated or altered, or holds a
    kind of index that is not known here.
    """
    return read_from(indexes, f, io_flags)


def serialize_index(index: Index, io_flags: int = 0) -> Any:
    """The bytes that write_index writes, [n] uint8."""
    return to_bytes(indexes, index, io_flags)


def deserialize_index(data: Any, io_flags: int = 0) -> Any:
    """The index that serialize_index made `data` [n] uint8 of."""
    return from_bytes(indexes, data, io_flags)


def clone_index(index: Index) -> Any:
    """An index of its own with the same contents."""
    return copy.deepcopy(index)


def write_to(registry: Registry[T], value: T, f: Any, io_flags: int = 0) -> None:
    """Write an object of a registry to a file name, a Path or an object with write_bytes."""
    if hasattr(f, "write_bytes") and not isinstance(f, Path):
        registry.write(Writer(f.write_bytes, getattr(f, "name", "") or type(f).__name__, io_flags), value)
        return
    try:
        with replacing(f, durable=False) as temporary, temporary.open("wb") as file:
            registry.write(Writer(file.write, os.fspath(f), io_flags), value)
    except OSError as error:
        raise RuntimeError(f"write_index: could not write {os.fspath(f)}: {error}") from error


def read_from(registry: Registry[T], f: Any, io_flags: int = 0) -> T:
    """Read an object of a registry from a file name, a Path or an object with read_bytes."""
    if isinstance(f, MemoryIOReader):
        in_place = bool(io_flags & IO_FLAG_MMAP_IFC)
        reader = Reader(type(f).__name__, io_flags, memory=f.left(), in_place=in_place)
        value = registry.read(reader)
        f.skip(reader.position)
        return value
    if hasattr(f, "read_bytes") and not isinstance(f, Path):

        def read_into(memory: memoryview) -> int:
            data = f.read_bytes(min(len(memory), _READ_AT_ONCE))
            memory[: len(data)] = data
            return len(data)

        return registry.read(Reader(getattr(f, "name", "") or type(f).__name__, io_flags, read_into=read_into))
    path = Path(f)
    try:
        if io_flags & (IO_FLAG_MMAP_IFC | (IO_FLAG_MMAP & ~IO_FLAG_SKIP_IVF_DATA)):
            memory = np.memmap(path, dtype=np.uint8, mode="c")
            return registry.read(Reader(str(path), io_flags, memory=memory, in_place=True))
        with path.open("rb", buffering=0) as file:
            size, read_parts = os.fstat(file.fileno()).st_size, partial(os.readv, file.fileno())
            reader = Reader(str(path), io_flags, read_into=file.readinto, read_parts=read_parts, remaining=size)
            value = registry.read(reader)
            if file.read(1):
                raise RuntimeError(f"read_index: {path} was altered: it goes on behind the end of its index")
            return value
    except (OSError, ValueError) as error:  # ValueError: an empty file cannot be mapped
        raise RuntimeError(f"read_index: could not read {path}: {error}") from error


def to_bytes(registry: Registry[T], value: T, io_flags: int = 0) -> Any:
    buffer = io.BytesIO()
    registry.write(Writer(buffer.write, "memory", io_flags), value)
    return np.frombuffer(buffer.getbuffer(), np.uint8)


def from_bytes(registry: Registry[T], data: Any, io_flags: int = 0) -> T:
    array = np.asarray(data) if not isinstance(data, bytes | bytearray | memoryview) else np.frombuffer(data, np.uint8)
    if array.dtype != np.uint8 or array.ndim != 1:
        raise AssertionError(f"deserialize_index: data must be [n] uint8, got {list(array.shape)} {array.dtype}")
    return registry.read(Reader("memory", io_flags, memory=array))
