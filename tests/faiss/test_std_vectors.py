"""std::vectors, fields that are read as vectors, and pointers, beside those of faiss-cpu."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

import fastret.faiss as ours
from fastret.faiss.pointers import Pointer
from fastret.faiss.struct import FaissObject
from fastret.faiss.vectors import StdVector, VectorField

theirs = pytest.importorskip("faiss")

BOTH = pytest.mark.parametrize("faiss", [ours, theirs], ids=["ours", "theirs"])
KINDS = ["Float32", "Float64", "Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64"]


@BOTH
@pytest.mark.parametrize("kind", KINDS)
def test_arrays_go_into_vectors_and_come_back(faiss: ModuleType, kind: str) -> None:
    vector, array = getattr(faiss, f"{kind}Vector")(), np.arange(20).astype(kind.lower())
    faiss.copy_array_to_vector(array, vector)
    vector.push_back(7)
    assert vector.size() == 21
    assert vector.at(20) == 7
    back = faiss.vector_to_array(vector)
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, [*array, 7])
    vector.resize(23)
    np.testing.assert_array_equal(faiss.vector_to_array(vector), [*array, 7, 0, 0])
    vector.resize(2)
    np.testing.assert_array_equal(faiss.rev_swig_ptr(vector.data(), 2), [0, 1])
    vector.clear()
    assert len(faiss.vector_to_array(vector)) == 0


@BOTH
def test_vectors_answer_wrong_use_as_faiss_does(faiss: ModuleType) -> None:
    vector, ints = faiss.Float32Vector(), faiss.Int32Vector()
    with pytest.raises(RuntimeError):
        vector.at(0)
    with pytest.raises(OverflowError):
        vector.at(-1)
    with pytest.raises(OverflowError):
        vector.resize(-1)
    with pytest.raises(TypeError):
        vector.push_back("a")
    with pytest.raises(TypeError):
        ints.push_back(2.5)
    with pytest.raises(OverflowError):
        ints.push_back(2**40)
    with pytest.raises(AssertionError):
        faiss.copy_array_to_vector(np.zeros(3), vector)
    with pytest.raises(ValueError):
        faiss.copy_array_to_vector(np.zeros((3, 3), np.float32), vector)
    with pytest.raises(AssertionError):
        faiss.vector_to_array(np.zeros(3))
    with pytest.raises(TypeError):
        len(vector)


@BOTH
def test_vectors_of_vectors_hold_copies(faiss: ModuleType) -> None:
    outer, inner = faiss.Float32VectorVector(), faiss.Float32Vector()
    inner.push_back(3.0)
    outer.push_back(inner)
    inner.push_back(4.0)
    outer.resize(2)
    assert (outer.size(), outer.at(0).size(), outer.at(1).size()) == (2, 1, 0)
    with pytest.raises(RuntimeError):
        outer.at(2)


@BOTH
def test_deprecated_names_warn_and_are_the_same(faiss: ModuleType) -> None:
    with pytest.warns(DeprecationWarning):
        vector = faiss.LongVector()
    assert isinstance(vector, faiss.Int64Vector)
    faiss.copy_array_to_vector(np.arange(3), vector)
    assert vector.size() == 3


@BOTH
def test_swap_exchanges_the_elements(faiss: ModuleType) -> None:
    one, other = faiss.Int64Vector(), faiss.Int64Vector()
    faiss.copy_array_to_vector(np.arange(3), one)
    one.swap(other)
    assert (one.size(), other.size()) == (0, 3)


@BOTH
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_aligned_tables_hold_arrays(faiss: ModuleType, dtype: str) -> None:
    table = faiss.array_to_AlignedTable(np.arange(5, dtype=dtype))
    assert (table.size(), table.numel, table.itemsize()) == (5, 5, np.dtype(dtype).itemsize)
    for back in (faiss.AlignedTable_to_array(table), faiss.vector_to_array(table)):
        np.testing.assert_array_equal(back, np.arange(5, dtype=dtype))


class Quantizer(FaissObject):
    _centroids: Any = torch.zeros(2, 3)
    centroids = VectorField("_centroids", ours.Float32Vector)
    codes = VectorField("_centroids", ours.UInt8Vector, writable=False)


def test_a_field_shares_its_memory_with_the_tensor() -> None:
    quantizer = Quantizer()
    quantizer._centroids = torch.arange(6.0).reshape(2, 3)
    assert quantizer.centroids.size() == 6
    ours.rev_swig_ptr(quantizer.centroids.data(), 6)[4] = 9
    assert quantizer._centroids[1, 1] == 9
    ours.copy_array_to_vector(np.full(6, 5, np.float32), quantizer.centroids)
    assert torch.equal(quantizer._centroids, torch.full((2, 3), 5.0))
    quantizer.centroids.push_back(1)
    assert quantizer._centroids.shape == (7,)
    quantizer.centroids.resize(2)
    other = ours.Float32Vector()
    other.push_back(8)
    quantizer.centroids = other
    assert quantizer._centroids.tolist() == [8]


def test_a_field_may_be_of_other_elements_and_read_only() -> None:
    quantizer = Quantizer()
    quantizer._centroids = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert quantizer.codes.size() == 24
    with pytest.raises(ValueError, match="read-only"):
        ours.rev_swig_ptr(quantizer.codes.data(), 24)[0] = 1
    with pytest.raises(ValueError, match="memcpy: the memory is read-only"):
        ours.memcpy(quantizer.codes.data(), ours.swig_ptr(np.ones(1)), 1)
    ours.copy_array_to_vector(np.arange(6, 12, dtype=np.float32).view(np.uint8), quantizer.codes)
    np.testing.assert_array_equal(quantizer._centroids, np.arange(6, 12).reshape(2, 3))
    with pytest.raises(TypeError, match="Quantizer: a UInt8Vector is needed, got list"):
        quantizer.codes = [1]  # type: ignore[assignment]


@BOTH
def test_pointers_lead_to_the_array(faiss: ModuleType) -> None:
    array, copy = np.arange(12, dtype=np.float32).reshape(3, 4), np.zeros(12, np.float32)
    shared = faiss.rev_swig_ptr(faiss.swig_ptr(array), 12)
    shared[1] = 7
    assert array[0, 1] == 7
    faiss.memcpy(faiss.swig_ptr(copy), faiss.swig_ptr(array), array.nbytes)
    np.testing.assert_array_equal(copy, array.ravel())
    address = faiss.cast_integer_to_float_ptr(array.ctypes.data)
    np.testing.assert_array_equal(faiss.rev_swig_ptr(address, 12), array.ravel())
    assert faiss.cast_integer_to_float_ptr(0) is None
    assert int(address) == array.ctypes.data
    assert faiss.swig_ptr(array) == faiss.swig_ptr(array)


@BOTH
def test_pointers_refuse_what_is_no_plain_array(faiss: ModuleType) -> None:
    for bad in ([1.0], np.zeros((3, 3), np.float32).T, np.zeros(3, np.complex64), np.zeros(3, object)):
        with pytest.raises(ValueError):
            faiss.swig_ptr(bad)
    with pytest.raises(TypeError):
        faiss.rev_swig_ptr(4, 1)
    with pytest.raises(TypeError):
        faiss.rev_swig_ptr(faiss.cast_integer_to_void_ptr(123), 1)
    with pytest.raises(TypeError):
        faiss.memcpy(np.zeros(3), faiss.swig_ptr(np.zeros(3)), 24)


def test_a_pointer_to_an_array_keeps_it_and_knows_its_end() -> None:
    pointer = ours.swig_ptr(np.full(1000, 3.0))
    np.testing.assert_array_equal(ours.rev_swig_ptr(pointer, 1000), np.full(1000, 3.0))
    with pytest.raises(ValueError, match="rev_swig_ptr: 8008 bytes of 8000 were asked for"):
        ours.rev_swig_ptr(pointer, 1001)
    assert isinstance(pointer, Pointer)


def test_many_push_backs_do_not_copy_every_time() -> None:
    vector = ours.Int64Vector()
    rooms = set()
    for i in range(5000):
        vector.push_back(i)
        rooms.add(id(vector._room))
    assert len(rooms) < 20
    assert isinstance(vector, StdVector)
    np.testing.assert_array_equal(ours.vector_to_array(vector), np.arange(5000))
