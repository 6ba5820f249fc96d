"""Which keys a query may find: `allowed`, for all queries, and `excluded`, per query."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .arrays import BOOLS, INTEGERS, Array, to_tensor


def allowed_mask(op: str, allowed: Array | None, keys: Tensor) -> Tensor | None:
    """`allowed` as [N] bool beside the keys [N, D]. Raises TypeError or ValueError for anything else."""
    if allowed is None:
        return None
    mask = _beside(keys, op, "allowed", allowed, to_tensor(op, "allowed", allowed, BOOLS))
    if mask.dim() != 1 or mask.shape[0] != keys.shape[0]:
        raise ValueError(f"{op}: allowed must be [{keys.shape[0]}], one per key, got {list(mask.shape)}")
    return mask.contiguous()


def excluded_ids(op: str, excluded: Array | None, queries: Tensor) -> Tensor | None:
    """`excluded` as [Q, E] int64 beside the queries [Q, D]. Raises TypeError or ValueError for anything else."""
    if excluded is None:
        return None
    ids = _beside(queries, op, "excluded", excluded, to_tensor(op, "excluded", excluded, INTEGERS))
    if ids.dim() != 2 or ids.shape[0] != queries.shape[0]:
        raise ValueError(f"{op}: excluded must be [{queries.shape[0]}, E], a row per query, got {list(ids.shape)}")
    return ids.to(torch.int64).contiguous()


def _beside(vectors: Tensor, op: str, name: str, array: Array, tensor: Tensor) -> Tensor:
    if isinstance(array, np.ndarray):  # numpy knows no device
        return tensor.to(vectors.device)
    if tensor.device != vectors.device:
        raise ValueError(f"{op}: {name} must be on the device of the keys, {vectors.device}, got {tensor.device}")
    return tensor
