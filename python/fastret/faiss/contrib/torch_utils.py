"""torch tensors in FAISS's functions: fastret.faiss takes them without this; here are the names that come with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..distances import knn
from ..gpu.distances import knn_gpu, pairwise_distance_gpu
from ..gpu.options import GpuResourcesProvider
from ..pointers import Pointer

torch_replacement_knn = knn
torch_replacement_knn_gpu = knn_gpu
torch_replacement_pairwise_distance_gpu = pairwise_distance_gpu


def swig_ptr_from_UInt8Tensor(x: Tensor) -> Pointer:
    """A pointer to the elements of a contiguous uint8 tensor, on any device."""
    return _pointer(x, torch.uint8, np.uint8)


def swig_ptr_from_HalfTensor(x: Tensor) -> Pointer:
    """A void pointer to the elements of a contiguous float16 tensor, on any device."""
    return _pointer(x, torch.float16, None)


def swig_ptr_from_BFloat16Tensor(x: Tensor) -> Pointer:
    """A void pointer to the elements of a contiguous bfloat16 tensor, on any device."""
    return _pointer(x, torch.bfloat16, None)


def swig_ptr_from_FloatTensor(x: Tensor) -> Pointer:
    """A pointer to the elements of a contiguous float32 tensor, on any device."""
    return _pointer(x, torch.float32, np.float32)


def swig_ptr_from_IntTensor(x: Tensor) -> Pointer:
    """A pointer to the elements of a contiguous int32 tensor, on any device."""
    return _pointer(x, torch.int32, np.int32)


def swig_ptr_from_IndicesTensor(x: Tensor) -> Pointer:
    """A pointer to the elements of a contiguous int64 tensor, on any device."""
    return _pointer(x, torch.int64, np.int64)


@contextmanager
def using_stream(res: GpuResourcesProvider, pytorch_stream: torch.cuda.Stream | None = None) -> Iterator[None]:
    """Within it, work goes to a CUDA stream, by default torch's current one, as always."""
    with torch.cuda.stream(pytorch_stream):
        yield


def _pointer(x: Tensor, dtype: torch.dtype, pointed_to: Any) -> Pointer:
    if not x.is_contiguous() or x.dtype != dtype:
        raise AssertionError(f"swig_ptr: a contiguous tensor of {dtype} is needed, got {x.dtype}, {list(x.stride())}")
    # As in FAISS the caller keeps the tensor, which may be in a GPU's memory.
    return Pointer(x.data_ptr(), pointed_to)
