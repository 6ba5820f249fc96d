"""FAISS's readers and writers of bytes, which read_index and write_index take in place of a file name."""

from __future__ import annotations

import ctypes
import operator
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from .pointers import NumpyArray, Pointer
from .struct import FaissObject
from .vectors import MaybeOwnedVectorOwner, UInt8Vector, VectorField

FileName = str | os.PathLike[str]


class IOReader(FaissObject):
    """The base of what can be read from. Kinds implement `_read`."""

    name: str = ""

    def __init__(self) -> None:
        raise AttributeError(f"{type(self).__name__}: it is a base only; VectorIOReader and others can be made")

    def _read(self, size: int) -> bytes:
        """The next `size` bytes, fewer at the end."""
        raise AssertionError

    def read_bytes(self, totsz: int) -> bytes:
        """The next `totsz` bytes, fewer at the end."""
        return self._read(operator.index(totsz))

    def __call__(self, ptr: Pointer, size: int, nitems: int) -> int:
        """Read `nitems` items of `size` bytes to a pointer; returns how many there were."""
        ptr.require(type(self).__name__, size * nitems, writable=True)
        data = self._read(size * nitems)
        ctypes.memmove(ptr.address, data, len(data))
        return len(data) // size

    def filedescriptor(self) -> int:
        raise RuntimeError(f"{type(self).__name__}: it reads from no file")


class IOWriter(FaissObject):
    """The base of what can be written to. Kinds implement `_write`."""

    name: str = ""

    def __init__(self) -> None:
        raise AttributeError(f"{type(self).__name__}: it is a base only; VectorIOWriter and others can be made")

    def _write(self, data: bytes) -> None:
        raise AssertionError

    def write_bytes(self, b: Any) -> int:
        """Write bytes, a memoryview or an array of uint8; returns how many."""
        data = bytes(memoryview(b).cast("B"))
        self._write(data)
        return len(data)

    def __call__(self, ptr: Pointer, size: int, nitems: int) -> int:
        """Write `nitems` items of `size` bytes from a pointer; returns how many."""
        ptr.require(type(self).__name__, size * nitems)
        self._write(ctypes.string_at(ptr.address, size * nitems))
        return nitems

    def filedescriptor(self) -> int:
        raise RuntimeError(f"{type(self).__name__}: it writes to no file")


class VectorIOReader(IOReader):
    """Reads the vector `data` of uint8 from position `rp` on."""

    data = VectorField("_data", UInt8Vector)
    rp: int = 0
    _data: NumpyArray

    def __init__(self) -> None:
        self._data = np.empty(0, np.uint8)

    def _read(self, size: int) -> bytes:
        data = self._data[self.rp : self.rp + size].tobytes()
        self.rp += len(data)
        return data


class VectorIOWriter(IOWriter):
    """Appends to the vector `data` of uint8."""

    data = VectorField("_data", UInt8Vector)

    def __init__(self) -> None:
        self._parts: list[NumpyArray] = []

    @property
    def _data(self) -> NumpyArray:
        if len(self._parts) != 1:
            self._parts = [np.concatenate([np.empty(0, np.uint8), *self._parts])]
        return self._parts[0]

    @_data.setter
    def _data(self, data: NumpyArray) -> None:
        self._parts = [data]

    def _write(self, data: bytes) -> None:
        self._parts.append(np.frombuffer(data, np.uint8))


class _OfFile(FaissObject):
    """Has a file, which is closed when the object goes."""

    name: str = ""
    _file: BinaryIO | None = None

    def __init__(self, fname: FileName, mode: str) -> None:
        try:
            self._file = Path(fname).open(mode)  # type: ignore[assignment] # noqa: SIM115 - closed in __del__
        except OSError as error:
            raise RuntimeError(f"{type(self).__name__}: could not open {os.fspath(fname)}: {error}") from error
        self.name = os.fspath(fname)

    def filedescriptor(self) -> int:
        assert self._file is not None
        return self._file.fileno()

    def __del__(self) -> None:
        if self._file is not None:
            self._file.close()


class FileIOReader(_OfFile, IOReader):
    """Reads a file. Raises RuntimeError, as FAISS does, if it cannot be opened."""

    def __init__(self, fname: FileName) -> None:
        super().__init__(fname, "rb")

    def _read(self, size: int) -> bytes:
        assert self._file is not None
        return self._file.read(size)


class FileIOWriter(_OfFile, IOWriter):
    """Writes a file, which is complete when the writer is gone. Raises RuntimeError if it cannot be opened."""

    def __init__(self, fname: FileName) -> None:
        super().__init__(fname, "wb")

    def _write(self, data: bytes) -> None:
        assert self._file is not None
        self._file.write(data)


class PyCallbackIOReader(IOReader):
    """Reads from callback(size), which returns at most `size` <= bs bytes, none at the end."""

    name = "PyCallbackIOReader"
    bs: int = 1 << 20

    def __init__(self, callback: Callable[[int], bytes], bs: int = 1 << 20) -> None:
        self._callback, self.bs = callback, operator.index(bs)

    def _read(self, size: int) -> bytes:
        parts, left = [], size
        while left:
            wanted = min(left, self.bs)
            part = self._callback(wanted)
            if not isinstance(part, bytes):
                raise RuntimeError(f"PyCallbackIOReader: the callback must return bytes, got {type(part).__name__}")
            if len(part) > wanted:
                raise RuntimeError(f"PyCallbackIOReader: the callback returned {len(part)} bytes of {wanted}")
            if not part:
                break
            parts.append(part)
            left -= len(part)
        return b"".join(parts)


class PyCallbackIOWriter(IOWriter):
    """Writes by callback(data), at most bs bytes at a time."""

    name = "PyCallbackIOWriter"
    bs: int = 1 << 20

    def __init__(self, callback: Callable[[bytes], Any], bs: int = 1 << 20) -> None:
        self._callback, self.bs = callback, operator.index(bs)

    def _write(self, data: bytes) -> None:
        for first in range(0, len(data), self.bs):
            self._callback(data[first : first + self.bs])


class BufferedIOReader(IOReader):
    """Reads another reader by at least bsz bytes at a time."""

    bsz: int = 1 << 20

    def __init__(self, reader: IOReader, bsz: int = 1 << 20) -> None:
        self._reader, self.bsz, self._buffer = reader, operator.index(bsz), b""
        self.name = reader.name

    def _read(self, size: int) -> bytes:
        if size > len(self._buffer):
            self._buffer += self._reader._read(max(self.bsz, size - len(self._buffer)))
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data


class BufferedIOWriter(IOWriter):
    """Writes to another writer by at least bsz bytes at a time, and the last ones when it goes."""

    bsz: int = 1 << 20
    _buffer: bytearray | None = None

    def __init__(self, writer: IOWriter, bsz: int = 1 << 20) -> None:
        self._writer, self.bsz, self._buffer = writer, operator.index(bsz), bytearray()
        self.name = writer.name

    def _write(self, data: bytes) -> None:
        assert self._buffer is not None
        self._buffer += data
        if len(self._buffer) >= self.bsz:
            self._flush()

    def _flush(self) -> None:
        if self._buffer:
            self._writer._write(bytes(self._buffer))
            self._buffer.clear()

    def __del__(self) -> None:
        self._flush()


class MemoryIOReader(IOReader):
    """Reads memory, in which read_index with IO_FLAG_MMAP_IFC leaves the vectors. FAISS has the two kinds only."""

    _memory: NumpyArray  # [n] uint8
    _at: int = 0

    def _read(self, size: int) -> bytes:
        data = self.left()[:size].tobytes()
        self.skip(len(data))
        return data

    def left(self) -> NumpyArray:
        """What was not read yet, [n] uint8."""
        return self._memory[self._at :]

    def skip(self, size: int) -> None:
        self._at += size


class ZeroCopyIOReader(MemoryIOReader):
    """Reads `size` bytes behind a pointer to uint8, which must stay and not change."""

    def __init__(self, data: Pointer, size: int) -> None:
        self._memory = data.view(operator.index(size))

    def reset(self) -> None:
        """Read from the first byte on again."""
        self._at = 0


class MmappedFileMappingOwner(MaybeOwnedVectorOwner):
    """A memory-mapped file."""

    def __init__(self, filename: FileName) -> None:
        try:
            self._memory = np.memmap(Path(filename), np.uint8, mode="c")
        except (OSError, ValueError) as error:
            raise RuntimeError(f"MmappedFileMappingOwner: could not map {os.fspath(filename)}: {error}") from error

    def data(self) -> Pointer:
        return Pointer.to(self._memory)

    def size(self) -> int:
        return len(self._memory)


class MappedFileIOReader(MemoryIOReader):
    """Reads a memory-mapped file."""

    def __init__(self, owner: MmappedFileMappingOwner) -> None:
        self._memory = owner._memory
