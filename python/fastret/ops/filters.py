"""Which keys a query may find: `allowed`, for all queries, and per query `excluded`, positives and labels."""

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


def positive_ids(op: str, positives: Array | None, queries: Tensor) -> Tensor | None:
    """`positives` as [Q, P] int64 beside the queries [Q, D]. Raises TypeError or ValueError for anything else."""
    if positives is None:
        return None
    ids = _beside(queries, op, "positives", positives, to_tensor(op, "positives", positives, INTEGERS))
    if ids.dim() not in (1, 2) or ids.shape[0] != queries.shape[0]:
        raise ValueError(
            f"{op}: positives must be [{queries.shape[0]}] or [{queries.shape[0]}, P], a row per query, "
            f"got {list(ids.shape)}"
        )
    return (ids if ids.dim() == 2 else ids.unsqueeze(1)).to(torch.int64).contiguous()


def label_pair(
    op: str, query_labels: Array | None, key_labels: Array | None, queries: Tensor, keys: Tensor
) -> tuple[Tensor | None, Tensor | None]:
    """The labels as [Q] and [N] int64, both or neither. Raises TypeError or ValueError for anything else."""
    if query_labels is None and key_labels is None:
        return None, None
    if query_labels is None or key_labels is None:
        missing = "query_labels" if query_labels is None else "key_labels"
        raise ValueError(f"{op}: query_labels and key_labels belong together, got no {missing}")
    return _labels(op, "query_labels", query_labels, queries), _labels(op, "key_labels", key_labels, keys)


def _labels(op: str, name: str, labels: Array, vectors: Tensor) -> Tensor:
    tensor = _beside(vectors, op, name, labels, to_tensor(op, name, labels, INTEGERS))
    if tensor.dim() != 1 or tensor.shape[0] != vectors.shape[0]:
        raise ValueError(f"{op}: {name} must be [{vectors.shape[0]}], one per row, got {list(tensor.shape)}")
    return tensor.to(torch.int64).contiguous()


def _beside(vectors: Tensor, op: str, name: str, array: Array, tensor: Tensor) -> Tensor:
    if isinstance(array, np.ndarray):  # numpy knows no device
        return tensor.to(vectors.device)
    if tensor.device != vectors.device:
        raise ValueError(f"{op}: {name} must be on the device of the keys, {vectors.device}, got {tensor.device}")
    return tensor


def filters_of_keys(
    allowed: Tensor | None, excluded: Tensor | None, first: int, last: int
) -> tuple[Tensor | None, Tensor | None]:
    """`allowed` [N] and `excluded` [Q, E] of the keys first ... last - 1 alone, which then count from 0."""
    return (
        None if allowed is None else allowed[first:last],
        None if excluded is None else excluded - first,  # one that is outside forbids nothing
    )
