"""What goes into FAISS's names and what comes out: numpy of any real dtype or torch, computed as float32."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..ops.arrays import Metric, to_tensor

FLT_MAX = float(np.finfo(np.float32).max)


def float32_rows(operation: str, x: Any, d: int | None = None) -> Tensor:
    """`x` as a float32 tensor [n, d] in CPU memory, without a copy where it is that already.

    Raises TypeError for what is not real numbers, ValueError unless 2-D, AssertionError (as FAISS does) for another d.
    """
    rows: Tensor
    if isinstance(x, Tensor):
        x = x.detach()
        if x.is_complex():
            raise TypeError(f"{operation}: vectors must be real numbers, got {x.dtype}")
        rows = x.to("cpu", torch.float32)
    else:
        array = np.asarray(x)
        if array.dtype.kind not in "fiub":
            raise TypeError(f"{operation}: vectors must be real numbers, got {array.dtype}")
        rows = to_tensor(operation, "vectors", array.astype(np.float32, copy=False))
    if rows.dim() != 2:
        raise ValueError(f"{operation}: vectors must be [n, d], got {list(rows.shape)}")
    if d is not None and rows.shape[1] != d:
        raise AssertionError(f"{operation}: vectors must be [n, {d}], got {list(rows.shape)}")
    return rows


def in_kind_of(x: Any, result: Tensor) -> Any:
    """`result` as a tensor beside `x` if that is one, else as numpy."""
    return result.to(x.device) if isinstance(x, Tensor) else result.numpy()


def within_float32(scores: Tensor, ids: Tensor, metric: Metric) -> tuple[Tensor, Tensor]:
    """Padding as in FAISS, whose search starts from the worst float32: no infinitely bad key is a neighbour."""
    missing = scores == (torch.inf if metric == "l2" else -torch.inf)
    return scores.masked_fill(missing, FLT_MAX if metric == "l2" else -FLT_MAX), ids.masked_fill(missing, -1)
