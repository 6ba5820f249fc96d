"""FAISS's std::vector and its kin: Float32Vector, Int64Vector, MaybeOwnedVectorUInt8, AlignedTableUint8, ..."""

from __future__ import annotations

import numbers
import operator
import warnings
from typing import Any, ClassVar, Generic, TypeVar, overload

import numpy as np
import torch
from torch import Tensor

from .pointers import NumpyArray, Pointer
from .struct import FaissObject

Vector = TypeVar("Vector", bound="StdVector")


class StdVector(FaissObject):
    """Numbers of one dtype in a row: its own, or those of another object, see `VectorField`.

    As in FAISS Python can neither index it nor iterate over it: `at` gives one element, vector_to_array all.
    """

    _dtype: ClassVar[np.dtype[Any]]
    _field: tuple[Any, VectorField[Any]] | None = None  # whose elements they are
    _room: NumpyArray  # [>= n] its own elements, and room for more
    _n: int = 0

    def __init__(self) -> None:
        self._room = np.empty(0, self._dtype)

    def size(self) -> int:
        return len(self.array())

    def at(self, i: int) -> Any:
        """Raises RuntimeError behind the end."""
        return self.array()[_position(self, i)].item()

    def data(self) -> Pointer:
        """A pointer to the first element; it stays behind where a later change moves the elements."""
        return Pointer.to(self.array())

    def push_back(self, value: Any) -> None:
        """Raises TypeError or OverflowError for what is no number of this kind."""
        number = value if self._dtype.kind == "f" and isinstance(value, numbers.Real) else operator.index(value)
        if self._field:
            self._replace(np.append(self.array(), np.array(number, self._dtype)))
            return
        if self._n == len(self._room):
            self._room = np.append(self._room, np.empty(max(8, self._n), self._dtype))
        self._room[self._n] = number
        self._n += 1

    def resize(self, n: int) -> None:
        """Cut off the last elements, or append zeros."""
        old, array = self.array(), np.zeros(_size(self, n), self._dtype)
        kept = min(len(old), len(array))
        array[:kept] = old[:kept]
        self._replace(array)

    def clear(self) -> None:
        self._replace(np.empty(0, self._dtype))

    def swap(self, other: StdVector) -> None:
        if not isinstance(other, StdVector) or other._dtype != self._dtype:
            raise TypeError(f"{type(self).__name__}.swap: another one is needed, got {type(other).__name__}")
        mine, others = self.array().copy(), other.array().copy()
        self._replace(others)
        other._replace(mine)

    def array(self) -> NumpyArray:
        """The elements [n], without a copy. FAISS does not have it."""
        return self._field[1].read(self._field[0]) if self._field else self._room[: self._n]

    def _replace(self, array: NumpyArray) -> None:
        """Hold these elements [n] alone."""
        if self._field:
            self._field[1].write(self._field[0], array)
        else:
            self._room, self._n = array, len(array)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.size()}>"


class VectorField(Generic[Vector]):
    """A field of an object as a vector that shares the memory of its tensor, or array, `attribute`.

    Pointers to a field that is not `writable` may only be read through. A changed size, and copy_array_to_vector,
    set the attribute anew: in its shape if the size is the same, else [n].

    >>> class ProductQuantizer(FaissObject):
    ...     centroids = VectorField("_centroids", Float32Vector)
    """

    def __init__(self, attribute: str, kind: type[Vector], *, writable: bool = True) -> None:
        self._attribute, self._kind, self._writable = attribute, kind, writable

    @overload
    def __get__(self, owner: None, owner_type: Any = None) -> VectorField[Vector]: ...
    @overload
    def __get__(self, owner: object, owner_type: Any = None) -> Vector: ...
    def __get__(self, owner: Any, owner_type: Any = None) -> VectorField[Vector] | Vector:
        if owner is None:
            return self
        vector = self._kind()
        vector._field = owner, self
        return vector

    def __set__(self, owner: Any, vector: StdVector) -> None:
        if not isinstance(vector, StdVector) or vector._dtype != self._kind._dtype:
            raise TypeError(f"{type(owner).__name__}: a {self._kind.__name__} is needed, got {type(vector).__name__}")
        self.write(owner, vector.array().copy())

    def read(self, owner: Any) -> NumpyArray:
        """[n], without a copy."""
        held = getattr(owner, self._attribute)
        array = (held.detach().cpu().numpy() if isinstance(held, Tensor) else held).reshape(-1).view(self._kind._dtype)
        if not self._writable:
            array.flags.writeable = False
        return array

    def write(self, owner: Any, array: NumpyArray) -> None:
        """Set the field to elements [n]."""
        held = getattr(owner, self._attribute)
        if array.size == self.read(owner).size:
            array = array.view(_dtype_of(held)).reshape(tuple(held.shape))
        else:
            array = array.view(_dtype_of(held))
        setattr(owner, self._attribute, torch.from_numpy(array) if isinstance(held, Tensor) else array)


class Float32Vector(StdVector):
    _dtype = np.dtype(np.float32)


class Float64Vector(StdVector):
    _dtype = np.dtype(np.float64)


class Int8Vector(StdVector):
    _dtype = np.dtype(np.int8)


class Int16Vector(StdVector):
    _dtype = np.dtype(np.int16)


class Int32Vector(StdVector):
    _dtype = np.dtype(np.int32)


class Int64Vector(StdVector):
    _dtype = np.dtype(np.int64)


class UInt8Vector(StdVector):
    _dtype = np.dtype(np.uint8)


class UInt16Vector(StdVector):
    _dtype = np.dtype(np.uint16)


class UInt32Vector(StdVector):
    _dtype = np.dtype(np.uint32)


class UInt64Vector(StdVector):
    _dtype = np.dtype(np.uint64)


class MaybeOwnedVectorOwner(FaissObject):
    """The base of what may own the memory of a vector."""


class _MaybeOwnedVector(StdVector):
    """A vector whose memory may be a file's."""

    is_owned: bool = True

    def byte_size(self) -> int:
        return self.array().nbytes


class MaybeOwnedVectorUInt8(_MaybeOwnedVector):
    _dtype = np.dtype(np.uint8)


class MaybeOwnedVectorInt32(_MaybeOwnedVector):
    _dtype = np.dtype(np.int32)


class MaybeOwnedVectorFloat32(_MaybeOwnedVector):
    _dtype = np.dtype(np.float32)


class _AlignedTable(StdVector):
    """A vector that FAISS aligns for its instructions."""

    def __init__(self, n: int = 0) -> None:
        super().__init__()
        self.resize(n)

    get = StdVector.data

    @property
    def numel(self) -> int:
        return self.size()

    def itemsize(self) -> int:
        return self._dtype.itemsize

    def nbytes(self) -> int:
        return self.array().nbytes


class AlignedTableUint8(_AlignedTable):
    _dtype = np.dtype(np.uint8)


class AlignedTableUint16(_AlignedTable):
    _dtype = np.dtype(np.uint16)


class AlignedTableFloat32(_AlignedTable):
    _dtype = np.dtype(np.float32)


class ObjectVector(FaissObject):
    """std::vector of objects, which `items` holds."""

    def __init__(self, items: list[Any] | None = None) -> None:
        self._items = [] if items is None else items

    def size(self) -> int:
        return len(self._items)

    def at(self, i: int) -> Any:
        return self._items[_position(self, i)]

    def push_back(self, item: Any) -> None:
        self._items.append(item)

    def resize(self, n: int) -> None:
        n = _size(self, n)
        del self._items[n:]
        self._items += [self._empty() for _ in range(n - len(self._items))]

    def clear(self) -> None:
        self._items.clear()

    def _empty(self) -> Any:
        return None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.size()}>"


class _VectorVector(ObjectVector):
    """std::vector of vectors, which are copied into it and out of it."""

    _kind: ClassVar[type[StdVector]]

    def at(self, i: int) -> StdVector:
        return self._copy(super().at(i))

    def push_back(self, item: StdVector) -> None:
        if not isinstance(item, self._kind):
            raise TypeError(f"{type(self).__name__}: a {self._kind.__name__} is needed, got {type(item).__name__}")
        super().push_back(self._copy(item))

    def _copy(self, vector: StdVector) -> StdVector:
        copy = self._kind()
        copy._replace(vector.array().copy())
        return copy

    def _empty(self) -> StdVector:
        return self._kind()


class Float32VectorVector(_VectorVector):
    _kind = Float32Vector


class UInt8VectorVector(_VectorVector):
    _kind = UInt8Vector


class Int32VectorVector(_VectorVector):
    _kind = Int32Vector


class Int64VectorVector(_VectorVector):
    _kind = Int64Vector


class MaybeOwnedVectorUInt8Vector(_VectorVector):
    _kind = MaybeOwnedVectorUInt8


class MaybeOwnedVectorInt32Vector(_VectorVector):
    _kind = MaybeOwnedVectorInt32


class MaybeOwnedVectorFloat32Vector(_VectorVector):
    _kind = MaybeOwnedVectorFloat32


def _deprecated(name: str, kind: Any) -> Any:
    def __init__(self: Any) -> None:
        warnings.warn(
            f"faiss.{name} is deprecated, faiss.{kind.__name__} is the same", DeprecationWarning, stacklevel=2
        )
        kind.__init__(self)

    return type(name, (kind,), {"__init__": __init__, "__module__": __name__})


FloatVector = _deprecated("FloatVector", Float32Vector)
DoubleVector = _deprecated("DoubleVector", Float64Vector)
CharVector = _deprecated("CharVector", Int8Vector)
IntVector = _deprecated("IntVector", Int32Vector)
LongVector = _deprecated("LongVector", Int64Vector)
LongLongVector = _deprecated("LongLongVector", Int64Vector)
ByteVector = _deprecated("ByteVector", UInt8Vector)
Uint64Vector = _deprecated("Uint64Vector", UInt64Vector)
FloatVectorVector = _deprecated("FloatVectorVector", Float32VectorVector)
LongVectorVector = _deprecated("LongVectorVector", Int64VectorVector)
ByteVectorVector = _deprecated("ByteVectorVector", UInt8VectorVector)


def vector_to_array(v: Any) -> NumpyArray:
    """The elements of a vector as an array [n] of its own. Raises AssertionError, as FAISS does, for anything else."""
    if not isinstance(v, StdVector):
        raise AssertionError(f"vector_to_array: a vector of numbers is needed, got {type(v).__name__}")
    elements: NumpyArray = v.array().copy()
    return elements


def vector_float_to_array(v: Any) -> NumpyArray:
    """vector_to_array"""
    return vector_to_array(v)


def AlignedTable_to_array(v: Any) -> NumpyArray:
    """vector_to_array"""
    return vector_to_array(v)


def copy_array_to_vector(a: NumpyArray, v: Any) -> None:
    """Replace the elements of a vector by those of a [n]. Raises AssertionError for another dtype than the vector's."""
    if not isinstance(v, StdVector):
        raise AssertionError(f"copy_array_to_vector: a vector of numbers is needed, got {type(v).__name__}")
    if a.ndim != 1:
        raise ValueError(f"copy_array_to_vector: the array must be [n], got {list(a.shape)}")
    if a.dtype != v._dtype:
        raise AssertionError(f"copy_array_to_vector: a {type(v).__name__} holds {v._dtype}, got {a.dtype}")
    v._replace(a.copy())


def copy_array_to_AlignedTable(a: NumpyArray, v: Any) -> None:
    """copy_array_to_vector"""
    copy_array_to_vector(a, v)


def array_to_AlignedTable(a: NumpyArray) -> _AlignedTable:
    """An aligned table of a [n] uint8 or uint16."""
    if a.dtype not in (np.uint8, np.uint16):
        raise AssertionError(f"array_to_AlignedTable: the array must be uint8 or uint16, got {a.dtype}")
    table = AlignedTableUint8() if a.dtype == np.uint8 else AlignedTableUint16()
    copy_array_to_vector(a, table)
    return table


def _position(vector: Any, i: int) -> int:
    if (i := operator.index(i)) < 0:
        raise OverflowError(f"{type(vector).__name__}.at: i must not be negative, got {i}")
    if i >= vector.size():
        raise RuntimeError(f"{type(vector).__name__}.at: element {i} was asked for, there are {vector.size()}")
    return i


def _size(vector: Any, n: int) -> int:
    if (n := operator.index(n)) < 0:
        raise OverflowError(f"{type(vector).__name__}.resize: n must not be negative, got {n}")
    return n


def _dtype_of(held: Any) -> Any:
    return held.detach().cpu().numpy().dtype if isinstance(held, Tensor) else held.dtype
