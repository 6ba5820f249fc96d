"""Reading and writing the pieces that FAISS's files are made of, all little-endian."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

NumpyArray = np.ndarray[Any, Any]

IO_FLAG_SKIP_STORAGE = 1
IO_FLAG_READ_ONLY = 2
IO_FLAG_ONDISK_SAME_DIR = 4
IO_FLAG_SKIP_IVF_DATA = 8
IO_FLAG_SKIP_PRECOMPUTE_TABLE = 16
IO_FLAG_PQ_SKIP_SDC_TABLE = 32
IO_FLAG_MMAP = IO_FLAG_SKIP_IVF_DATA | 0x646F0000
IO_FLAG_MMAP_IFC = 1 << 9


class Writer:
    """Writes through write(bytes), for example of a file; `name` is what errors call it."""

    def __init__(self, write: Callable[[Any], Any], name: str, io_flags: int = 0) -> None:
        self._write, self.name, self.io_flags = write, name, io_flags

    def fourcc(self, fourcc: bytes) -> None:
        self._write(fourcc)

    def u8(self, value: int) -> None:
        self._pack("<B", value)

    def i32(self, value: int) -> None:
        self._pack("<i", value)

    def u32(self, value: int) -> None:
        self._pack("<I", value)

    def i64(self, value: int) -> None:
        self._pack("<q", value)

    def u64(self, value: int) -> None:
        self._pack("<Q", value)

    def f32(self, value: float) -> None:
        self._pack("<f", value)

    def f64(self, value: float) -> None:
        self._pack("<d", value)

    def array(self, values: Any, dtype: str) -> None:
        """The bare elements, as numpy's `dtype` ("<f4")."""
        array = np.ascontiguousarray(np.asarray(values), dtype=dtype)
        if array.size:
            self._write(array.reshape(-1).view(np.uint8).data)

    def vector(self, values: Any, dtype: str, *, size: int | None = None) -> None:
        """Their number (or `size`) as uint64, then the elements."""
        values = np.asarray(values)
        self.u64(values.size if size is None else size)
        self.array(values, dtype)

    def string(self, text: bytes) -> None:
        self.vector(np.frombuffer(text, np.uint8), "u1")

    def _pack(self, layout: str, value: float) -> None:
        self._write(struct.pack(layout, value))


class Reader:
    """Reads through read_into(memory) -> bytes that it put there, or from `memory`, a 1-D uint8 array.

    With `in_place` arrays are views of `memory`, for example of a memory-mapped file, which must not change.
    What is read can be refused before memory is asked for: `remaining` bytes are the most that any array can take.
    Every error names `name`.
    """

    def __init__(
        self,
        name: str,
        io_flags: int = 0,
        *,
        read_into: Callable[[memoryview], int | None] | None = None,
        memory: NumpyArray | None = None,
        in_place: bool = False,
        remaining: int | None = None,
    ) -> None:
        self.name, self.io_flags = name, io_flags
        self._read_into, self._memory, self._in_place, self._at = read_into, memory, in_place, 0
        self._remaining = len(memory) if memory is not None else remaining

    @property
    def position(self) -> int:
        """Bytes read so far."""
        return self._at

    def fourcc(self) -> bytes:
        return self.array(4, "u1").tobytes()

    def u8(self) -> int:
        return int(self._number("u1"))

    def i32(self) -> int:
        return int(self._number("<i4"))

    def u32(self) -> int:
        return int(self._number("<u4"))

    def i64(self) -> int:
        return int(self._number("<i8"))

    def u64(self) -> int:
        return int(self._number("<u8"))

    def f32(self) -> float:
        return float(self._number("<f4"))

    def f64(self) -> float:
        return float(self._number("<f8"))

    def array(self, count: int, dtype: str) -> NumpyArray:
        """`count` bare elements of numpy's `dtype` ("<f4"): an array of its own, or a view of a memory-mapped file."""
        size = count * np.dtype(dtype).itemsize
        if count < 0 or (self._remaining is not None and size > self._remaining):
            self.fail(f"{size} bytes are promised behind byte {self._at}, {self._remaining} are left")
        if self._memory is not None:
            data = self._memory[self._at : self._at + size]
            if self._in_place:
                array = data.view(dtype)
            else:
                array = np.empty(count, dtype)
                array.view(np.uint8)[:] = data
        else:
            array = self._filled(count, dtype)
        self._at += size
        if self._remaining is not None:
            self._remaining -= size
        return array

    def vector(self, dtype: str, count: int | None = None) -> NumpyArray:
        """Elements behind their number, which must be `count` if that is given."""
        stored = self.u64()
        if count is not None and stored != count:
            self.fail(f"{stored} elements where {count} must be")
        return self.array(stored, dtype)

    def string(self) -> bytes:
        return self.vector("u1").tobytes()

    def fail(self, why: str) -> NoReturn:
        raise RuntimeError(f"read_index: {self.name} was truncated, altered or is no index: {why}")

    def _number(self, dtype: str) -> Any:
        return self.array(1, dtype)[0]

    def _filled(self, count: int, dtype: str) -> NumpyArray:
        assert self._read_into is not None
        try:
            array = np.empty(count, dtype)
        except (MemoryError, ValueError):
            self.fail(f"{count} elements are promised behind byte {self._at}")
        view, done = array.view(np.uint8).data, 0
        while done < len(view):
            n = self._read_into(view[done:])
            if not n:
                self.fail(f"it ends at byte {self._at + done}, {len(view) - done} more are promised")
            done += n
        return array
