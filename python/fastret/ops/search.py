"""search: the k best keys of each query, exactly."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .arrays import METRICS, Array, Metric, check_k, like
from .filters import filters_of_keys
from .first_pass import FirstPass
from .merging import neighbours_in_order
from .packing import PackedKeys
from .planes import MOST_KEYS, SplitPlanes, search_split
from .search_arguments import SearchArguments, search_arguments


def search(
    queries: Array,
    keys: Array | PackedKeys,
    k: int,
    metric: Metric | None = None,
    *,
    first_pass: FirstPass = "auto",
    allowed: Array | None = None,
    excluded: Array | None = None,
) -> tuple[Array, Array]:
    """The k best keys of each query, best first.

    Equivalent to `torch.topk(queries.double() @ keys.double().T, k)` rounded to float32, without the [Q, N] matrix.

    Args:
        queries: [Q, D] float32, bfloat16 or float16; a torch tensor, numpy array or CuPy array.
        keys: [N, D], on the device of the queries; its dtype may differ. Or what `pack` made of them, which many
            searches can use.
        k: neighbours per query, from 0 to any number.
        metric: "ip" (inner product), "cosine" (0 with a zero vector) or "l2" (squared Euclidean distance). Default:
            that of the packed keys, else "ip".
        first_pass: "int8", "int16" or "float32": what narrows the keys down before the survivors are scored
            exactly, on the CPU; "auto" takes what packed keys are packed for, else the cheapest. Changes no bit.
        allowed: [N] bool: the keys that may be found. Default: all.
        excluded: [Q, E] integers: ids that a query may not find, padded with -1.

    Returns:
        scores [Q, K] float32 and ids [Q, K] int64, of the kind that `queries` is. Scores are canonical: summed in
        float64 in a fixed order and rounded once, so that ids and score bits do not depend on the instruction set,
        device, threads, batch size or first pass. Of equal scores the smaller id comes first. Keys whose score is NaN
        are no neighbours. Where fewer than k remain: id -1 and score -inf ("l2": +inf). Not differentiable: for
        gradients, score the keys found with `cosine_scores`.

    Raises:
        TypeError: not a dense array of the right elements, k not an integer.
        ValueError: unequal D or devices, wrong shapes, negative k, unknown metric or first pass, keys that were
            packed for another metric.
    """
    a = search_arguments("search", queries, keys, metric, first_pass, allowed, excluded)
    k = check_k("search", k)
    if a.on_device:
        scores, ids = device_search(a, k)
    else:
        scores, ids, _, _ = torch.ops.fastret.explained_search(a.queries, a.keys, k, *a.packed, **a.filters)
    return like(scores, queries), like(ids, queries)


def device_search(a: SearchArguments, k: int) -> tuple[Tensor, Tensor]:
    """scores and ids by the kernels of a CUDA device, or those for split planes."""
    if isinstance(a.keys, SplitPlanes):
        return search_split(a.queries, a.keys, k, a.metric, a.allowed, a.excluded)
    keys = a.keys
    if len(keys) < MOST_KEYS:
        scores, ids = torch.ops.fastret.search(a.queries, keys, k, a.metric, a.allowed, a.excluded)
        return scores, ids

    def found(block: slice) -> tuple[Tensor, Tensor]:
        filters = filters_of_keys(a.allowed, a.excluded, block.start, block.stop)
        scores, ids = torch.ops.fastret.search(a.queries, keys[block], k, a.metric, *filters)
        return scores, ids

    step = MOST_KEYS - 1
    blocks = (slice(first, first + step) for first in range(0, len(keys), step))
    return neighbours_in_order(((block.start, found(block)) for block in blocks), a.queries, k, METRICS[a.metric])


@torch.library.register_fake("fastret::search")
def _(queries: Tensor, keys: Tensor, k: int, metric: int, *filters: Tensor | None) -> tuple[Tensor, Tensor]:
    torch._check(queries.dim() == 2 and keys.dim() == 2)
    torch._check(queries.shape[1] == keys.shape[1])
    shape = (queries.shape[0], k)
    return queries.new_empty(shape, dtype=torch.float32), queries.new_empty(shape, dtype=torch.int64)


@torch.library.register_fake("fastret::explained_search")
def _(
    queries: Tensor, keys: Tensor, k: int, metric: int, *packed: Any, **filters: Any
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    torch._check(queries.dim() == 2 and keys.dim() == 2)
    torch._check(queries.shape[1] == keys.shape[1])
    scores = queries.new_empty((queries.shape[0], k), dtype=torch.float32)
    ids = queries.new_empty((queries.shape[0], k), dtype=torch.int64)
    rescored, passes = (queries.new_empty((queries.shape[0],), dtype=torch.int64) for _ in range(2))
    return scores, ids, rescored, passes
