"""mine_hard_negatives: against the CPU op, and against the definition where that is small enough."""

from __future__ import annotations

from functools import partial
from itertools import product

import hard_vectors
import torch
from torch import Tensor

import fastret
from fastret.ops import reference

from .comparing import DEFINED_UP_TO, METRICS, Checks, Options, generator, moved, on_gpu, same


def check_mining(queries: Tensor, keys: Tensor, k: int, metric: str, device: torch.device, options: Options) -> None:
    mine = fastret.mine_hard_negatives
    got = mine(queries.to(device), keys.to(device), k, metric=metric, **moved(options, device))
    same(got, mine(queries, keys, k, metric=metric, **options), "the CPU op")
    if queries.shape[0] * keys.shape[0] * keys.shape[1] <= DEFINED_UP_TO:
        same(got, reference.mine_hard_negatives(queries, keys, k, metric=metric, **options), "the definition")


def options_of(num_queries: int, num_keys: int) -> dict[str, Options]:
    g = generator(11)
    one = torch.randint(num_keys, (num_queries, 1), generator=g)
    several = torch.randint(-1, num_keys, (num_queries, 4), generator=g)
    labels = {
        "query_labels": torch.randint(6, (num_queries,), generator=g),
        "key_labels": torch.randint(6, (num_keys,), generator=g),
    }
    allowed = torch.rand(num_keys, generator=g) < 0.5
    excluded = torch.randint(-1, num_keys, (num_queries, 30), generator=g)
    return {
        "one positive": {"positives": one},
        "several positives": {"positives": several},
        "labels": labels,
        "absolute margin": {"positives": one, "absolute_margin": 0.1},
        "negative absolute margin": {"positives": several, "absolute_margin": -0.5},
        "relative margin": {"positives": one, "relative_margin": 0.05},
        "both margins, labels": {"positives": several, "absolute_margin": 0.0, "relative_margin": 0.1, **labels},
        "score window": {"min_score": -1.0, "max_score": 2.0},
        "rank window": {"range_min": 3, "range_max": 9},
        "everything": {
            **{"positives": several, "relative_margin": 0.05, "max_score": 3.0, "range_min": 1, "range_max": 40},
            **{"allowed": allowed, "excluded": excluded, **labels},
        },
        "nothing left": {"max_score": float("-inf")},
    }


def checks(device: torch.device) -> Checks:
    families = (
        *(hard_vectors.normal, hard_vectors.few_distinct_scores, hard_vectors.duplicates_in_random_order),
        *(hard_vectors.nan_and_inf, hard_vectors.beyond_the_float32_norm),
    )
    num_keys = on_gpu(device, 2500, 200)
    for family, metric in product(families, METRICS):
        pair = family(19, num_keys, 24, generator(12))
        for name, options in options_of(19, num_keys).items():
            check = partial(check_mining, *pair, 12, metric, device, options)
            yield f"mine_hard_negatives, {family.__name__}, {name}, {metric}", check
    pair = hard_vectors.normal(0, 50, 8, generator(13))
    yield "mine_hard_negatives, no queries", partial(check_mining, *pair, 3, "ip", device, {})


def large_checks(device: torch.device) -> Checks:
    rows = torch.nn.functional.normalize(torch.randn(6000, 64, generator=generator(14)), dim=1)
    noisy = torch.nn.functional.normalize(rows + 0.05 * torch.randn(6000, 64, generator=generator(15)), dim=1)
    labels = torch.randint(500, (6000,), generator=generator(16))
    options = {"positives": torch.arange(6000), "query_labels": labels, "key_labels": labels, "absolute_margin": 0.1}
    for dtype in (torch.float32, torch.bfloat16):
        check = partial(check_mining, noisy.to(dtype), rows.to(dtype), 16, "ip", device, options)
        yield f"mine_hard_negatives, in a batch of 6000, {dtype}", check
