"""FAISS's methods with _c behind their names, which take pointers, and the memory behind pointers as tensors."""

from __future__ import annotations

import ctypes
import operator
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from .gpu_devices import cuda_devices
from .pointers import Pointer


class _OnArrays(Protocol):
    """The methods on arrays that those on pointers stand on."""

    d: int

    def train(self, x: Any) -> None: ...

    def add(self, x: Any) -> None: ...

    def add_with_ids(self, x: Any, ids: Any) -> None: ...

    def search(self, x: Any, k: int, *, params: Any = None) -> tuple[Any, Any]: ...

    def assign(self, x: Any, k: int) -> Any: ...

    def reconstruct(self, key: int) -> Any: ...

    def reconstruct_n(self, n0: int, ni: int) -> Any: ...


class PointerMethods:
    """Methods of an index on n rows behind pointers, to memory of the CPU or of a GPU."""

    def train_c(self: _OnArrays, n: int, x: Pointer) -> None:
        self.train(_floats("train_c", x, n, self.d))

    def add_c(self: _OnArrays, n: int, x: Pointer) -> None:
        self.add(_floats("add_c", x, n, self.d))

    def add_with_ids_c(self: _OnArrays, n: int, x: Pointer, xids: Pointer) -> None:
        ids = matrix_at("add_with_ids_c", xids, n, 1, torch.int64)
        self.add_with_ids(_floats("add_with_ids_c", x, n, self.d), ids[:, 0])

    def search_c(
        self: _OnArrays, n: int, x: Pointer, k: int, distances: Pointer, labels: Pointer, params: Any = None
    ) -> None:
        scores, ids = self.search(_floats("search_c", x, n, self.d), k, params=params)
        _floats("search_c", distances, n, k).copy_(scores)
        matrix_at("search_c", labels, n, k, torch.int64).copy_(ids)

    def assign_c(self: _OnArrays, n: int, x: Pointer, labels: Pointer, k: int = 1) -> None:
        ids = self.assign(_floats("assign_c", x, n, self.d), k)
        matrix_at("assign_c", labels, n, k, torch.int64).copy_(ids)

    def reconstruct_c(self: _OnArrays, key: int, recons: Pointer) -> None:
        _floats("reconstruct_c", recons, 1, self.d).copy_(torch.from_numpy(self.reconstruct(key)))

    def reconstruct_n_c(self: _OnArrays, i0: int, ni: int, recons: Pointer) -> None:
        _floats("reconstruct_n_c", recons, ni, self.d).copy_(torch.from_numpy(self.reconstruct_n(i0, ni)))


def matrix_at(operation: str, pointer: Any, rows: int, columns: int, dtype: torch.dtype) -> Tensor:
    """The matrix [rows, columns] behind a pointer, sharing its memory, of the CPU or of a GPU.

    Raises TypeError for what is no pointer, ValueError for more than its array holds.
    """
    if not isinstance(pointer, Pointer):
        raise TypeError(f"{operation}: pointers are needed, for example of swig_ptr, got {type(pointer).__name__}")
    rows, columns = operator.index(rows), operator.index(columns)
    size = rows * columns * dtype.itemsize
    pointer.require(operation, size)
    if cuda_devices() and _is_on_gpu(pointer.address):
        elements = torch.as_tensor(_DeviceBytes(pointer.address, size))
    else:
        elements = torch.from_numpy(Pointer(pointer.address, np.uint8).view(size))
    return elements.view(dtype).view(rows, columns)


def _floats(operation: str, pointer: Pointer, rows: int, columns: int) -> Tensor:
    return matrix_at(operation, pointer, rows, columns, torch.float32)


class _DeviceBytes:
    """Bytes in a GPU's memory, as torch takes them without a copy."""

    def __init__(self, address: int, size: int) -> None:
        self.__cuda_array_interface__ = {"shape": (size,), "typestr": "|u1", "data": (address, False), "version": 3}


def _is_on_gpu(address: int) -> bool:
    """Whether CUDA's driver, which is there where torch has a GPU, says that a device holds this memory."""
    memory_type, device_memory, of_memory_type = ctypes.c_uint(), 2, 2
    driver = ctypes.CDLL("libcuda.so.1")
    found = driver.cuPointerGetAttribute(ctypes.byref(memory_type), of_memory_type, ctypes.c_uint64(address))
    return found == 0 and memory_type.value == device_memory
