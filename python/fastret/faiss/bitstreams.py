"""Numbers of any width behind each other in bytes, the lowest bits first: FAISS's BitstringReader and -Writer."""

from __future__ import annotations

import operator

import numpy as np

from .pointers import NumpyArray, Pointer
from .struct import FaissObject


class _Bitstring(FaissObject):
    code: Pointer
    code_size: int = 0
    i: int = 0

    def __init__(self, code: Pointer, code_size: int) -> None:
        object.__setattr__(self, "code", code)
        self.code_size = operator.index(code_size)
        self._bytes()  # raises what is wrong with the pointer

    def _bytes(self) -> NumpyArray:
        if not isinstance(self.code, Pointer):
            raise TypeError(f"{type(self).__name__}: a pointer is needed, got {type(self.code).__name__}")
        self.code.require(type(self).__name__, self.code_size)
        return Pointer(self.code.address, np.uint8).view(self.code_size)

    def _take(self, nbits: int) -> tuple[NumpyArray, int]:
        """The bytes that hold the next nbits, and at which bit of the first they begin."""
        first, end = self.i, self.i + operator.index(nbits)
        if not first <= end <= 8 * self.code_size:
            raise RuntimeError(f"{type(self).__name__}: {nbits} bits behind {self.i} of {8 * self.code_size}")
        self.i = end
        return self._bytes()[first // 8 : (end + 7) // 8], first % 8


class BitstringReader(_Bitstring):
    """Reads numbers from the code_size bytes at a pointer: faiss.BitstringReader(code, code_size)."""

    def read(self, nbits: int) -> int:
        """The next number of nbits. Raises RuntimeError behind the end."""
        held, shift = self._take(nbits)
        return int.from_bytes(held.tobytes(), "little") >> shift & ((1 << nbits) - 1)


class BitstringWriter(_Bitstring):
    """Writes numbers to the code_size bytes at a pointer, which become 0: faiss.BitstringWriter(code, code_size)."""

    def __init__(self, code: Pointer, code_size: int) -> None:
        super().__init__(code, code_size)
        self._bytes()[:] = 0

    def write(self, x: int, nbits: int) -> None:
        """The lowest nbits of x. Raises RuntimeError behind the end."""
        held, shift = self._take(nbits)
        value = int.from_bytes(held.tobytes(), "little") | (operator.index(x) & ((1 << nbits) - 1)) << shift
        held[:] = np.frombuffer(value.to_bytes(len(held), "little"), np.uint8)
