"""hamming_search and hamming_range_search: the nearest packed bits by Hamming distance, exactly."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .arrays import Array, Elements, check_k, like, to_tensor
from .filters import allowed_mask

NO_DISTANCE = 2**31 - 1  # where there is no neighbour

_BYTES = Elements("uint8", (torch.uint8,), (np.uint8,))


class ProbedLists(NamedTuple):
    """Keys in inverted lists: list l holds the places starts[l] ... starts[l] + sizes[l] - 1 of all keys."""

    ids: Tensor  # [N] int64: what each place is called
    starts: Tensor  # [L] int64
    sizes: Tensor  # [L] int64
    probes: Tensor  # [Q, P] int64: the lists that a query visits, -1: none


def hamming_search(
    queries: Array, keys: Array, k: int, *, allowed: Array | None = None, lists: ProbedLists | None = None
) -> tuple[Array, Array]:
    """The k keys of each query that differ from it in the fewest bits, nearest first.

    Equivalent to `torch.topk(popcount(queries[:, None] ^ keys).sum(-1), k, largest=False)` with a fixed order of
    ties: the smaller id first.

    Args:
        queries: [Q, B] uint8, packed bits; a torch tensor or numpy array.
        keys: [N, B] uint8.
        k: neighbours per query.
        allowed: [N] bool: the keys that may be found.
        lists: inverted lists among the keys, of which each query visits some; otherwise it visits all keys, and
            their ids are 0 ... N - 1.

    Returns:
        distances [Q, K] int32 and ids [Q, K] int64. Where fewer than k remain: 2^31 - 1 and id -1.

    Raises:
        TypeError: not dense uint8, k not an integer.
        ValueError: unequal B, wrong shapes, negative k, tensors that are not in CPU memory.
        RuntimeError: lists that are not within the keys, or probes beyond the lists.
    """
    q, x, mask = _arguments("hamming_search", queries, keys, allowed)
    distances, ids = torch.ops.fastret.hamming_search(q, x, check_k("hamming_search", k), mask, *(lists or ()))
    return like(distances, queries), like(ids, queries)


def hamming_range_search(
    queries: Array, keys: Array, radius: int, *, allowed: Array | None = None, lists: ProbedLists | None = None
) -> tuple[Array, Array, Array]:
    """The keys that differ from each query in fewer bits than the radius.

    Equivalent to `(popcount(queries[:, None] ^ keys).sum(-1) < radius).nonzero()`; arguments as of hamming_search.

    Returns:
        lims [Q + 1] int64, distances int32 and ids int64: those of query i from lims[i] to lims[i + 1], ids ascending.
    """
    q, x, mask = _arguments("hamming_range_search", queries, keys, allowed)
    found = torch.ops.fastret.hamming_range_search(q, x, radius, mask, *(lists or ()))
    lims, distances, ids = (like(part, queries) for part in found)
    return lims, distances, ids


def _arguments(op: str, queries: Array, keys: Array, allowed: Array | None) -> tuple[Tensor, Tensor, Tensor | None]:
    q, x = (_codes(op, name, array) for name, array in (("queries", queries), ("keys", keys)))
    if q.shape[1] != x.shape[1]:
        raise ValueError(f"{op}: queries and keys must share B, got {list(q.shape)} and {list(x.shape)}")
    return q, x, allowed_mask(op, allowed, x)


def _codes(op: str, name: str, array: Array) -> Tensor:
    codes = to_tensor(op, name, array, _BYTES)
    if codes.dim() != 2:
        raise ValueError(f"{op}: {name} must be [n, B], got {list(codes.shape)}")
    if codes.device.type not in ("cpu", "meta"):
        raise ValueError(f"{op}: {name} must be in CPU memory, got {codes.device}")
    return codes


@torch.library.register_fake("fastret::hamming_search")
def _(queries: Tensor, keys: Tensor, k: int, *lists: Any) -> tuple[Tensor, Tensor]:
    torch._check(queries.dim() == 2 and keys.dim() == 2)
    torch._check(queries.shape[1] == keys.shape[1])
    shape = (queries.shape[0], k)
    return queries.new_empty(shape, dtype=torch.int32), queries.new_empty(shape, dtype=torch.int64)


@torch.library.register_fake("fastret::hamming_range_search")
def _(queries: Tensor, keys: Tensor, radius: int, *lists: Any) -> tuple[Tensor, Tensor, Tensor]:
    torch._check(queries.dim() == 2 and keys.dim() == 2)
    torch._check(queries.shape[1] == keys.shape[1])
    found = torch.library.get_ctx().new_dynamic_size()
    return (
        queries.new_empty((queries.shape[0] + 1,), dtype=torch.int64),
        queries.new_empty((found,), dtype=torch.int32),
        queries.new_empty((found,), dtype=torch.int64),
    )
