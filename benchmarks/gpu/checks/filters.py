"""search with filters: keys allowed and excluded, labels and ceilings."""

from __future__ import annotations

from functools import partial
from itertools import product

import hard_vectors
import torch
from torch import Tensor

from fastret.ops import reference

from .comparing import METRICS, Checks, Options, generator, moved, on_gpu, same
from .searches import check_search


def filters_of(num_queries: int, num_keys: int) -> dict[str, Options]:
    """Filters by what they leave of the keys."""
    g = generator(8)
    allowed = torch.rand(num_keys, generator=g) < 0.3
    few = torch.zeros(num_keys, dtype=torch.bool)
    few[num_keys // 2 :: max(1, num_keys // 6)] = True
    every_id = torch.arange(num_keys)
    # Repeated, among padding and ids of no key.
    excluded = torch.randint(-3, num_keys + 40, (num_queries, min(num_keys, 700)), generator=g)
    wild = torch.tensor([-1, 1 << 32, (1 << 63) - 1, -(1 << 63)])
    excluded[:, ::7] = wild.repeat(excluded.shape[1])[: len(range(0, excluded.shape[1], 7))]
    return {
        "some allowed": {"allowed": allowed},
        "the first allowed": {"allowed": every_id < num_keys // 3},
        "few allowed": {"allowed": few},
        "none allowed": {"allowed": torch.zeros(num_keys, dtype=torch.bool)},
        "one excluded per query": {"excluded": every_id[-num_queries:, None].contiguous()},
        "no place for exclusions": {"excluded": torch.empty(num_queries, 0, dtype=torch.int64)},
        "many excluded": {"excluded": excluded},
        "all but some excluded": {"excluded": every_id[5:].flip(0).expand(num_queries, -1).contiguous()},
        "some allowed, many excluded": {"allowed": allowed, "excluded": excluded},
    }


def check_op(queries: Tensor, keys: Tensor, k: int, metric: int, device: torch.device, filters: Options) -> None:
    """The op itself, which takes labels and ceilings as well, against the same op on the CPU."""
    op = torch.ops.fastret.search
    got = op(queries.to(device), keys.to(device), k, metric, **moved(filters, device))
    same(got, op(queries, keys, k, metric, **filters), "the CPU op")


def labels_and_ceilings(queries: Tensor, keys: Tensor, metric: str) -> dict[str, Options]:
    g = generator(9)
    many, few = (
        {
            "query_labels": torch.randint(count, (len(queries),), generator=g),
            "key_labels": torch.randint(count, (len(keys),), generator=g),
        }
        for count in (50, 2)
    )
    # At the score of some key, so that equal ones count.
    ceilings = reference.cosine_scores(queries, keys, metric)[:, ::7].sort(-1).values[:, -3].contiguous()
    wild = ceilings.clone()
    wild[::3], wild[1::3] = float("nan"), float("inf")
    return {
        "many labels": many,
        "two labels": few,
        "ceilings": {"ceilings": ceilings},
        "wild ceilings": {"ceilings": wild},
        "labels and ceilings": {**many, "ceilings": ceilings},
    }


def checks(device: torch.device) -> Checks:
    families = (hard_vectors.normal, hard_vectors.few_distinct_scores, hard_vectors.better_and_better)
    num_keys = on_gpu(device, 2500, 301)
    for family, metric in product(families, METRICS):
        pair = family(19, num_keys, 37, generator(9))
        for left, filters in filters_of(19, num_keys).items():
            check = partial(check_search, *pair, 25, metric, device, filters)
            yield f"search, {family.__name__}, {left}, {metric}", check
        for left, filters in labels_and_ceilings(*pair, metric).items():
            check = partial(check_op, *pair, 25, METRICS.index(metric), device, filters)
            yield f"search, {family.__name__}, {left}, {metric}", check
    queries, keys = hard_vectors.some_zero_rows(5, 130, 9, generator(10))
    keys[::4] = float("nan")
    for left, filters in filters_of(5, 130).items():
        check = partial(check_search, queries.half(), keys.bfloat16(), 130, "cosine", device, filters)
        yield f"search, NaN among the keys, k = N, {left}", check


def large_checks(device: torch.device) -> Checks:
    pair = hard_vectors.better_and_better(8, 100_000, 16, generator(5))
    for left, filters in filters_of(8, 100_000).items():
        yield f"search, N=100k, {left}", partial(check_search, *pair, 100, "ip", device, filters)
