"""Pointers to arrays, as scripts pass them to FAISS's C++ functions: swig_ptr, rev_swig_ptr, memcpy."""

from __future__ import annotations

import ctypes
import operator
from typing import Any

import numpy as np

NumpyArray = np.ndarray[Any, Any]

# FAISS has no type of its own for halves and takes them as 16 bits.
_POINTED_TO = {np.dtype(kind): np.dtype(kind) for kind in "bBhHiIqQfd?lL"} | {np.dtype("e"): np.dtype("u2")}


class Pointer:
    """An address of elements of a dtype (None: of a void pointer).

    One to an array keeps it alive and knows its end, which reads through it may not pass.
    """

    def __init__(self, address: int, dtype: Any, array: NumpyArray | None = None) -> None:
        self.address = address
        self.dtype = None if dtype is None else np.dtype(dtype)
        self._array = array  # [n], at the address

    @classmethod
    def to(cls, array: NumpyArray) -> Pointer:
        """To the first element of a C-contiguous array."""
        return cls(array.__array_interface__["data"][0], array.dtype, array.reshape(-1))

    def view(self, n: int) -> NumpyArray:
        """The n elements there, [n], without a copy. Raises TypeError for a void pointer, ValueError beyond the end."""
        if self.dtype is None:
            raise TypeError("rev_swig_ptr: a void pointer tells no type of elements")
        self.require("rev_swig_ptr", n * self.dtype.itemsize)
        if self._array is not None:
            return self._array[:n]
        if n == 0:
            return np.empty(0, self.dtype)
        return np.frombuffer((ctypes.c_uint8 * (n * self.dtype.itemsize)).from_address(self.address), self.dtype)

    def require(self, operation: str, size: int, *, writable: bool = False) -> None:
        """Raises ValueError unless `size` bytes are there and, if asked for, may be written to."""
        if size < 0 or (self._array is not None and size > self._array.nbytes):
            held = "" if self._array is None else f" of {self._array.nbytes}"
            raise ValueError(f"{operation}: {size} bytes{held} were asked for behind a pointer")
        if writable and self._array is not None and not self._array.flags.writeable:
            raise ValueError(f"{operation}: the memory is read-only")

    def __int__(self) -> int:
        return self.address

    __index__ = __int__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pointer) and other.address == self.address

    def __hash__(self) -> int:
        return hash(self.address)

    def __repr__(self) -> str:
        return f"<Pointer to {'void' if self.dtype is None else self.dtype} at {self.address:#x}>"


def swig_ptr(a: Any) -> Pointer:
    """A pointer to the elements of a C-contiguous numpy array. Raises ValueError, as FAISS does, for anything else."""
    if not isinstance(a, np.ndarray):
        raise ValueError(f"swig_ptr: a numpy array is needed, got {type(a).__name__}")
    if not a.flags.c_contiguous:
        raise ValueError(f"swig_ptr: the array must be C-contiguous, got shape {list(a.shape)}, strides {a.strides}")
    if a.dtype not in _POINTED_TO:
        raise ValueError(f"swig_ptr: the array must be of integers or floats, got {a.dtype}")
    return Pointer.to(a.view(_POINTED_TO[a.dtype]))


def rev_swig_ptr(ptr: Any, n: int) -> NumpyArray:
    """The n elements behind a pointer as an array [n] that shares their memory.

    Raises TypeError for what is no pointer with a type, ValueError for more elements than its array has.
    """
    if not isinstance(ptr, Pointer):
        raise TypeError(f"rev_swig_ptr: a pointer is needed, got {type(ptr).__name__}")
    return ptr.view(operator.index(n))


def memcpy(dest: Any, src: Any, n: int) -> Pointer:
    """Copy n bytes from one pointer to another; returns dest."""
    for pointer in (dest, src):
        if not isinstance(pointer, Pointer):
            raise TypeError(f"memcpy: two pointers are needed, got {type(dest).__name__} and {type(src).__name__}")
    n = operator.index(n)
    src.require("memcpy", n)
    dest.require("memcpy", n, writable=True)
    ctypes.memmove(dest.address, src.address, n)
    return dest  # type: ignore[no-any-return]


def cast_integer_to_uint8_ptr(x: int) -> Pointer | None:
    """A pointer to uint8 at address x, None for 0."""
    return _at(x, np.uint8)


def cast_integer_to_float_ptr(x: int) -> Pointer | None:
    """A pointer to float32 at address x, None for 0."""
    return _at(x, np.float32)


def cast_integer_to_idx_t_ptr(x: int) -> Pointer | None:
    """A pointer to int64 at address x, None for 0."""
    return _at(x, np.int64)


def cast_integer_to_int_ptr(x: int) -> Pointer | None:
    """A pointer to int32 at address x, None for 0."""
    return _at(x, np.int32)


def cast_integer_to_void_ptr(x: int) -> Pointer | None:
    """A pointer to address x, None for 0."""
    return _at(x, None)


def _at(address: int, dtype: Any) -> Pointer | None:
    address = operator.index(address)
    return Pointer(address, dtype) if address else None
