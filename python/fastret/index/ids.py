"""Ids as callers give them, and where in an index they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from ..ops.arrays import Array

Ids: TypeAlias = Array | Sequence[int]

MOST_IDS = 1 << 63  # what int64 can count


def checked_ids(operation: str, ids: int | Ids, device: torch.device, name: str = "ids") -> Tensor:
    """`ids` as int64, [n] or [Q, E].

    Raises:
        TypeError: not integers.
        ValueError: beyond int64.
    """
    if isinstance(ids, np.ndarray) and ids.dtype == np.uint64 and (ids >= MOST_IDS).any():
        raise ValueError(f"{operation}: {name} must be below 2^63, got {int(ids.max())}")
    if isinstance(ids, np.integer):
        ids = int(ids)
    try:
        # A copy of numpy's, which may be read-only or reversed: torch takes neither.
        ids = np.array(ids) if isinstance(ids, np.ndarray) else ids
        numbers = torch.as_tensor(ids, device=device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{operation}: {name} must be 64-bit integers ({error})") from error
    if isinstance(ids, int):
        numbers = numbers[None]
    inexact = numbers.is_floating_point() or numbers.is_complex() or numbers.dtype == torch.bool
    if inexact and numbers.numel():  # torch makes float32 of an empty list
        raise TypeError(f"{operation}: {name} must be integers, got {numbers.dtype}")
    return numbers.to(torch.int64)


def checked_id_list(operation: str, ids: int | Ids, device: torch.device, name: str = "ids") -> Tensor:
    """`ids` as [n] int64. Raises what `checked_ids` does, and ValueError for another shape."""
    numbers = checked_ids(operation, ids, device, name)
    if numbers.dim() != 1:
        raise ValueError(f"{operation}: {name} must be [n], got {list(numbers.shape)}")
    return numbers


def positions_of(wanted: Tensor, ids: Tensor) -> Tensor:
    """Where in `ids` [N], ascending, each of `wanted` is; -1: nowhere."""
    if not len(ids):
        return torch.full_like(wanted, -1, memory_format=torch.contiguous_format)
    wanted = wanted.contiguous()
    at = torch.searchsorted(ids, wanted).clamp_max_(len(ids) - 1)
    return torch.where(ids[at] == wanted, at, -1)


def refuse_taken(operation: str, ids: Tensor, stored: Tensor) -> None:
    """Raises ValueError for `ids` [n] of new vectors that are negative, repeated or among `stored`."""
    if len(ids) and int(ids.min()) < 0:
        raise ValueError(f"{operation}: ids must not be negative, got {int(ids.min())}")
    in_order = ids.sort().values
    repeated = in_order[1:][in_order[1:] == in_order[:-1]]
    if len(repeated):
        raise ValueError(f"{operation}: ids must be unique, got {int(repeated[0])} more than once")
    taken = ids[torch.isin(ids, stored)]
    if len(taken):
        raise ValueError(f"{operation}: id {int(taken[0])} is already in the index")
