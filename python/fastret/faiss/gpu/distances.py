"""Neighbours without an index on a GPU: knn_gpu, pairwise_distance_gpu, and bfKnn over pointers."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...ops import cosine_scores, search
from ..arrays import float32_rows, in_kind_of, padded, positive_k, within_float32
from ..distances import knn, pairwise_distances
from ..gpu_devices import cuda_devices, devices_by_number
from ..metrics import METRIC_L2, metric_name
from ..pointer_methods import matrix_at
from ..pointers import Pointer
from ..struct import FaissObject
from .options import GpuResourcesProvider

DistanceDataType_F32 = 1
DistanceDataType_F16 = 2
DistanceDataType_BF16 = 3
IndicesDataType_I64 = 1
IndicesDataType_I32 = 2

_FLOATS = {
    DistanceDataType_F32: torch.float32,
    DistanceDataType_F16: torch.float16,
    DistanceDataType_BF16: torch.bfloat16,
}
_INTEGERS = {IndicesDataType_I64: torch.int64, IndicesDataType_I32: torch.int32}


def knn_gpu(
    res: GpuResourcesProvider,
    xq: Any,
    xb: Any,
    k: int,
    D: Any = None,
    I: Any = None,  # noqa: E741
    metric: int = METRIC_L2,
    device: int = -1,
    use_cuvs: bool = False,
    vectorsMemoryLimit: int = 0,
    queriesMemoryLimit: int = 0,
) -> tuple[Any, Any]:
    """The k best rows of xb [nb, d] for each row of xq [nq, d] on a GPU: D [nq, k] float32, I [nq, k] int64.

    numpy or torch in, of any real dtype and layout; the kind of xq out. D and I are filled where given, I also as
    int32. `device` -1 is that of xq, else torch's current one. The memory limits have no effect: searches bound what
    they take by themselves.
    """
    _check_resources("knn_gpu", res)
    k = positive_k("knn_gpu", k)
    scores, ids = _nearest("knn_gpu", xq, xb, k, metric, 0.0, device)
    return _filled("knn_gpu", D, in_kind_of(xq, scores)), _filled("knn_gpu", I, in_kind_of(xq, ids))


def pairwise_distance_gpu(
    res: GpuResourcesProvider, xq: Any, xb: Any, D: Any = None, metric: int = METRIC_L2, device: int = -1
) -> Any:
    """The score of every row of xq [nq, d] with every row of xb [nb, d] on a GPU: [nq, nb] float32."""
    _check_resources("pairwise_distance_gpu", res)
    scores = _pairwise("pairwise_distance_gpu", xq, xb, metric, device)
    return _filled("pairwise_distance_gpu", D, in_kind_of(xq, scores))


class GpuDistanceParams(FaissObject):
    """What bfKnn shall do: matrices as pointers, and what is in them."""

    metric: int = METRIC_L2
    metricArg: float = 0.0
    k: int = 0
    dims: int = 0
    vectors: Any = None
    vectorType: int = DistanceDataType_F32
    vectorsRowMajor: bool = True
    numVectors: int = 0
    vectorNorms: Any = None
    queries: Any = None
    queryType: int = DistanceDataType_F32
    queriesRowMajor: bool = True
    numQueries: int = 0
    outDistances: Any = None
    ignoreOutDistances: bool = False
    outIndicesType: int = IndicesDataType_I64
    outIndices: Any = None
    device: int = -1
    use_cuvs: bool = False


def bfKnn(resources: GpuResourcesProvider, args: GpuDistanceParams) -> None:
    """The k nearest vectors of every query, or with k = -1 all scores, written to where `args` points.

    Memory may be the CPU's or a GPU's.
    """
    _check_resources("bfKnn", resources)
    if not isinstance(args, GpuDistanceParams):
        raise TypeError(f"bfKnn: GpuDistanceParams are needed, got {type(args).__name__}")
    vectors = _matrix(args.vectors, args.numVectors, args.dims, args.vectorsRowMajor, _FLOATS[args.vectorType])
    queries = _matrix(args.queries, args.numQueries, args.dims, args.queriesRowMajor, _FLOATS[args.queryType])
    if args.k == -1:
        scores = _pairwise("bfKnn", queries, vectors, args.metric, args.device)
        _matrix(args.outDistances, args.numQueries, args.numVectors, True, torch.float32).copy_(scores)
        return
    k = positive_k("bfKnn", args.k)
    scores, ids = _nearest("bfKnn", queries, vectors, k, args.metric, args.metricArg, args.device)
    if not args.ignoreOutDistances:
        _matrix(args.outDistances, args.numQueries, k, True, torch.float32).copy_(scores)
    _matrix(args.outIndices, args.numQueries, k, True, _INTEGERS[args.outIndicesType]).copy_(ids)


def bfKnn_tiling(
    resources: GpuResourcesProvider, args: GpuDistanceParams, vectorsMemoryLimit: int, queriesMemoryLimit: int
) -> None:
    """`bfKnn`; the limits have no effect, as searches bound what they take by themselves."""
    bfKnn(resources, args)


def bruteForceKnn(resources: GpuResourcesProvider, metric: int, *arguments: Any) -> None:
    """`bfKnn` of float32 matrices, as older scripts call it.

    arguments: vectors, vectorsRowMajor, numVectors, queries, queriesRowMajor, numQueries, dims, k, outDistances,
    outIndices; or without the two that say whether matrices are row-major, as before FAISS 1.6.
    """
    if len(arguments) == 8:
        vectors, num_vectors, queries, *others = arguments
        arguments = (vectors, True, num_vectors, queries, True, *others)
    if len(arguments) != 10:
        raise TypeError(f"bruteForceKnn: 10 or 12 arguments are needed, got {2 + len(arguments)}")
    args = GpuDistanceParams()
    args.metric = metric
    args.vectors, args.vectorsRowMajor, args.numVectors = arguments[:3]
    args.queries, args.queriesRowMajor, args.numQueries = arguments[3:6]
    args.dims, args.k, args.outDistances, args.outIndices = arguments[6:]
    bfKnn(resources, args)


def cast_integer_to_long_ptr(x: int) -> Pointer:
    """A pointer to int64 at address x: what older scripts call `cast_integer_to_idx_t_ptr`."""
    return Pointer(operator.index(x), np.int64)


def cast_integer_to_cudastream_t(x: int) -> int:
    """The number of a CUDA stream, for StandardGpuResources.setDefaultStream."""
    return operator.index(x)


def _nearest(
    operation: str, xq: Any, xb: Any, k: int, metric: int, metric_arg: float, device: int
) -> tuple[Tensor, Tensor]:
    place = _place(operation, xq, device)
    queries = float32_rows(operation, xq, device=place)
    keys = float32_rows(operation, xb, queries.shape[1], place)
    name = metric_name(metric)
    if name is None:  # of those that only the CPU knows
        scores, ids = knn(queries.cpu(), keys.cpu(), k, metric, metric_arg)
        return scores, ids
    scores, ids = within_float32(*search(queries, keys, k, name), name)
    return padded(scores, ids, metric), ids


def _pairwise(operation: str, xq: Any, xb: Any, metric: int, device: int) -> Tensor:
    place = _place(operation, xq, device)
    queries = float32_rows(operation, xq, device=place)
    keys = float32_rows(operation, xb, queries.shape[1], place)
    name = metric_name(metric)
    scores: Tensor
    if name is None:
        scores = pairwise_distances(queries.cpu(), keys.cpu(), metric)
    else:
        scores = cosine_scores(queries, keys, name)
    return scores


def _place(operation: str, xq: Any, device: int) -> torch.device:
    if device == -1 and isinstance(xq, Tensor) and xq.is_cuda and cuda_devices():
        return xq.device
    return devices_by_number(operation, [device])[0]


def _check_resources(operation: str, resources: Any) -> None:
    if not isinstance(resources, GpuResourcesProvider):
        raise TypeError(f"{operation}: resources are needed first, got {type(resources).__name__}")


def _filled(operation: str, out: Any, result: Any) -> Any:
    """`result`, or the caller's array filled with it, which may hold integers of 4 bytes."""
    if out is None:
        return result
    if tuple(out.shape) != tuple(result.shape):
        raise AssertionError(f"{operation}: the array to fill must be {list(result.shape)}, got {list(out.shape)}")
    out[...] = result
    return out


def _matrix(pointer: Any, rows: int, columns: int, row_major: bool, dtype: torch.dtype) -> Tensor:
    """[rows, columns]"""
    if row_major:
        return matrix_at("bfKnn", pointer, rows, columns, dtype)
    return matrix_at("bfKnn", pointer, columns, rows, dtype).T
