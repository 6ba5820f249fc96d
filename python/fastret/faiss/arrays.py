"""What goes into FAISS's names and what comes out: numpy of any real dtype, torch or CuPy, computed as float32."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..ops.arrays import Metric, like, to_tensor
from .metrics import is_similarity_metric

FLT_MAX = float(np.finfo(np.float32).max)


def real_rows(operation: str, x: Any) -> Tensor:
    """`x` [n, d] as a float32 tensor where it is, without a copy where it is that already.

    Raises TypeError for what is not real numbers, ValueError unless 2-D.
    """
    if _is_plain(x):
        return torch.from_numpy(x)
    if isinstance(x, Tensor):
        x = x.detach()
        if x.is_complex():
            raise TypeError(f"{operation}: vectors must be real numbers, got {x.dtype}")
        x = x.to(torch.float32)
    elif not hasattr(x, "__cuda_array_interface__"):
        array = np.asarray(x)
        if array.dtype.kind not in "fiub":
            raise TypeError(f"{operation}: vectors must be real numbers, got {array.dtype}")
        x = array.astype(np.float32, copy=False)
    rows = to_tensor(operation, "vectors", x).to(torch.float32)
    if rows.dim() != 2:
        raise ValueError(f"{operation}: vectors must be [n, d], got {list(rows.shape)}")
    return rows


def _is_plain(x: Any) -> bool:
    """Whether it is what most calls bring, which needs no further look."""
    return type(x) is np.ndarray and x.dtype == np.float32 and x.ndim == 2 and x.flags.carray


def float32_rows(operation: str, x: Any, d: int | None = None, device: torch.device | str = "cpu") -> Tensor:
    """`x` as a float32 tensor [n, d] on a device.

    Raises what `real_rows` does, and AssertionError (as FAISS does) for another d.
    """
    rows = real_rows(operation, x)
    if rows.device != device:
        rows = rows.to(device)
    if d is not None and rows.shape[1] != d:
        raise AssertionError(f"{operation}: vectors must be [n, {d}], got {list(rows.shape)}")
    return rows


def code_rows(operation: str, codes: Any, code_size: int) -> Tensor:
    """`codes` as a uint8 tensor [n, code_size] in CPU memory. Raises AssertionError for another width."""
    array = codes.detach().cpu().numpy() if isinstance(codes, Tensor) else np.asarray(codes)
    if array.ndim != 2:
        raise ValueError(f"{operation}: codes must be [n, {code_size}], got {list(array.shape)}")
    if array.shape[1] != code_size:
        raise AssertionError(f"{operation}: codes must be [n, {code_size}], got {list(array.shape)}")
    if array.dtype != np.uint8:
        raise TypeError(f"{operation}: codes must be uint8, got {array.dtype}")
    return torch.from_numpy(np.ascontiguousarray(array))


def id_list(operation: str, ids: Any, n: int | None = None) -> Tensor:
    """`ids` as an int64 tensor [n] in CPU memory; whole numbers may be floats, as those of a table often are.

    Raises AssertionError, as FAISS does, for another shape, TypeError for what is not whole numbers.
    """
    array = ids.detach().cpu().numpy() if isinstance(ids, Tensor) else np.asarray(ids)
    if array.ndim != 1 or (n is not None and len(array) != n):
        raise AssertionError(f"{operation}: ids must be [{'n' if n is None else n}], got {list(array.shape)}")
    if array.dtype.kind not in "iubf" or not np.array_equal(array, array.astype(np.int64)):
        raise TypeError(f"{operation}: ids must be whole numbers, got {array.dtype}")
    return torch.from_numpy(array.astype(np.int64))


def positive_k(operation: str, k: Any) -> int:
    k = operator.index(k)
    if k <= 0:
        raise AssertionError(f"{operation}: k must be positive, got {k}")
    return int(k)


def in_kind_of(x: Any, result: Tensor) -> Any:
    """`result` as a tensor or a CuPy array beside `x` if that is one, else as numpy."""
    if type(x) is np.ndarray:
        return result.numpy(force=True)
    if isinstance(x, Tensor):
        # torch hardly computes with uint64; FAISS's contrib.torch_utils gives int64, too.
        return result.to(x.device, torch.int64 if result.dtype == torch.uint64 else result.dtype)
    return like(x, result) if hasattr(x, "__cuda_array_interface__") else result.cpu().numpy()


def fill(operation: str, out: Any, result: Any) -> Any:
    """`result`, or the caller's array `out` filled with it."""
    if out is None:
        return result
    if tuple(out.shape) != tuple(result.shape):
        raise AssertionError(f"{operation}: the array to fill must be {list(result.shape)}, got {list(out.shape)}")
    if out.dtype != result.dtype:
        raise TypeError(f"{operation}: the array to fill must be {result.dtype}, got {out.dtype}")
    out[...] = result
    return out


def padded(scores: Tensor, ids: Tensor, metric: int) -> Tensor:
    """`scores` [n, k] with the worst float32 where there is no neighbour: id -1, at the end of a row."""
    if not ids.is_cuda and not np.count_nonzero(ids.numpy()[:, -1:] < 0):
        return scores
    return scores.masked_fill(ids < 0, -FLT_MAX if is_similarity_metric(metric) else FLT_MAX)


def within_float32(scores: Tensor, ids: Tensor, metric: Metric) -> tuple[Tensor, Tensor]:
    """As FAISS, whose search starts from the worst float32: no infinitely bad key is a neighbour, its id is -1."""
    worst = torch.inf if metric == "l2" else -torch.inf
    # Rows are best first: the last column tells whether there is any, in numpy for its lower cost per call.
    if not scores.is_cuda and not np.count_nonzero(scores.numpy()[:, -1:] == worst):
        return scores, ids
    return scores, ids.masked_fill(scores == worst, -1)
