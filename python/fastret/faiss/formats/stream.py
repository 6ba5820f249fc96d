"""Reading and writing the pieces that FAISS's files are made of, all little-endian."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
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

_PARTS_AT_ONCE = 1024  # that systems read by one call


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
        array = np.ascontiguousarray(values, dtype=dtype)
        if array.size:
            self._write(array.reshape(-1).view(np.uint8).data)

    def parts(self, parts: Iterable[memoryview]) -> None:
        """Bytes as they are, one part after the other."""
        for part in parts:
            self._write(part)

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

    read_parts(parts), which fills one memory after the other as far as it goes, saves time for many parts, if given.
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
        read_parts: Callable[[Sequence[memoryview]], int] | None = None,
        memory: NumpyArray | None = None,
        in_place: bool = False,
        remaining: int | None = None,
    ) -> None:
        self.name, self.io_flags = name, io_flags
        self._read_into, self._read_parts, self._in_place, self._at = read_into, read_parts, in_place, 0
        self._memory = None if memory is None else memory.data
        self._end = remaining if memory is None else len(memory)

    @property
    def position(self) -> int:
        """Bytes read so far."""
        return self._at

    def fourcc(self) -> bytes:
        return bytes(self._bytes(4))

    def u8(self) -> int:
        return self._bytes(1)[0]

    def i32(self) -> int:
        return int(self._number("<i"))

    def u32(self) -> int:
        return int(self._number("<I"))

    def i64(self) -> int:
        return int(self._number("<q"))

    def u64(self) -> int:
        return int(self._number("<Q"))

    def f32(self) -> float:
        return float(self._number("<f"))

    def f64(self) -> float:
        return float(self._number("<d"))

    def array(self, count: int, dtype: str) -> NumpyArray:
        """`count` bare elements of numpy's `dtype` ("<f4"): an array of its own, or a view of a memory-mapped file."""
        if self._in_place and self._memory is not None:
            size, first = count * np.dtype(dtype).itemsize, self._at
            self.require(size)
            self._at += size
            return np.asarray(self._memory[first : self._at]).view(dtype)
        array = self.empty(count, dtype)
        self.fill(array.view(np.uint8).data)
        return array

    def require(self, size: int) -> None:
        """Refuse a file that promises more bytes than are left, where that is known."""
        if size < 0 or (self._end is not None and size > self._end - self._at):
            self.fail(f"{size} bytes are promised behind byte {self._at}, {(self._end or 0) - self._at} are left")

    def empty(self, count: int, dtype: str) -> NumpyArray:
        """An array for `count` elements that are to be read."""
        self.require(count * np.dtype(dtype).itemsize)
        try:
            return np.empty(count, dtype)
        except (MemoryError, ValueError):
            self.fail(f"{count} elements are promised behind byte {self._at}")

    def fill(self, memory: memoryview) -> None:
        """Read as many bytes as `memory` has."""
        size = done = len(memory)
        if self._memory is not None:
            self.require(size)
            memory[:] = self._memory[self._at : self._at + size]
        elif self._read_into is not None:
            done = self._read_into(memory) or 0
            while done < size:
                n = self._read_into(memory[done:])
                if not n:
                    self.fail(f"it ends at byte {self._at + done}, {size - done} more are promised")
                done += n
        self._at += size

    def fill_parts(self, parts: Sequence[memoryview]) -> None:
        """Read as many bytes as each of `parts` has, one after the other."""
        for first in range(0, len(parts), _PARTS_AT_ONCE):
            batch = parts[first : first + _PARTS_AT_ONCE]
            done = self._read_parts(batch) if self._read_parts else 0
            self._at += done
            for part in batch:
                if done < len(part):
                    self.fill(part[done:])
                done = max(0, done - len(part))

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

    def _number(self, layout: str) -> Any:
        return struct.unpack(layout, self._bytes(struct.calcsize(layout)))[0]

    def _bytes(self, size: int) -> bytearray:
        data = bytearray(size)
        self.fill(memoryview(data))
        return data
