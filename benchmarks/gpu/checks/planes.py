"""Split planes: split_rows_ and search_planes equal what the CPU does, and planes give their rows back."""

from __future__ import annotations

from functools import partial
from itertools import product

import hard_vectors
import torch
from torch import Tensor

import fastret
from fastret.ops.planes import SplitPlanes, search_split

from .comparing import DTYPES, METRICS, Checks, generator, on_gpu, same
from .searches import beyond_bfloat16, nan_and_infinite_rows, near_duplicates

FAMILIES = (
    *(hard_vectors.normal, hard_vectors.subnormal, hard_vectors.beyond_the_float32_norm, hard_vectors.some_zero_rows),
    *(beyond_bfloat16, nan_and_infinite_rows),
)


def split(rows: Tensor, metric: str, device: torch.device) -> SplitPlanes:
    """In two steps, the second of which begins within a tile."""
    planes = SplitPlanes.empty(rows.shape[1], rows.dtype, device, len(rows))
    first = len(rows) // 3
    planes = planes.with_rows(rows[:first].to(device), 0, metric)
    return planes.with_rows(rows[first:].to(device), first, metric)


def check_splitting(rows: Tensor, metric: str, device: torch.device) -> None:
    planes, there = split(rows, metric, torch.device("cpu")), split(rows, metric, device)
    given = slice(0, len(rows))
    same((there.joined(),), (rows,), "the rows")
    same((there.high[given].view(torch.int16),), (planes.high[given].view(torch.int16),), "the CPU's high plane")
    if planes.low is not None and there.low is not None:
        same((there.low[given],), (planes.low[given],), "the CPU's low plane")
    # Facts may be rounded up by different sums; what they must hold is the search's to show.
    assert there.facts[len(rows) :].isnan().all(), "facts of rows that do not exist are NaN"


def check_search_of_planes(
    queries: Tensor, keys: Tensor, k: int, metric: str, device: torch.device, workspace_bytes: int = 0
) -> None:
    got = search_split(
        queries.to(device), split(keys, metric, device), k, METRICS.index(metric), workspace_bytes=workspace_bytes
    )
    same(got, fastret.search(queries, keys, k, metric), "search of the rows on the CPU")


def checks(device: torch.device) -> Checks:
    for family, metric, dim in product(FAMILIES, METRICS, (5, 64, 70)):
        _, rows = family(1, 300, dim, generator(17))
        yield f"split_rows_, {family.__name__}, D={dim}, {metric}", partial(check_splitting, rows, metric, device)
    num_keys = on_gpu(device, 5000, 300)
    for dtype, metric in product(DTYPES, METRICS):
        rows = hard_vectors.normal(1, 300, 33, generator(18))[1].to(dtype)
        yield f"split_rows_, {dtype}, {metric}", partial(check_splitting, rows, metric, device)
        queries, keys = hard_vectors.normal(9, num_keys, 33, generator(19))
        check = partial(check_search_of_planes, queries, keys.to(dtype), 15, metric, device)
        yield f"search_planes, {dtype}, {metric}", check
    for family, metric in product((*FAMILIES, near_duplicates), METRICS):
        pair = family(9, num_keys, 70, generator(20))
        name = f"search_planes, {family.__name__}, {metric}"
        yield name, partial(check_search_of_planes, *pair, 15, metric, device)
    pair = hard_vectors.normal(40, num_keys, 70, generator(21))
    for k in (1, 100, num_keys):
        check = partial(check_search_of_planes, *pair, k, "cosine", device, workspace_bytes=1 << 20)
        yield f"search_planes within 1 MiB, k={k}", check
