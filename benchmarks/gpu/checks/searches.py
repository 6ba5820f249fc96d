"""search, on vectors that make it hard: against the CPU op, and against the definition where that is small enough."""

from __future__ import annotations

from functools import partial
from itertools import product

import hard_vectors
import torch
from torch import Generator, Tensor

import fastret
from fastret.ops import reference

from .comparing import DEFINED_UP_TO, DTYPES, METRICS, Checks, Options, generator, moved, on_gpu, same

NO_FILTERS: Options = {}
BEYOND_BFLOAT16 = float.fromhex("0x1.ff0p+127")  # bits 0x7f7f8000: rounds to infinity in bfloat16


def check_search(
    queries: Tensor, keys: Tensor, k: int, metric: str, device: torch.device, filters: Options = NO_FILTERS
) -> None:
    got = fastret.search(queries.to(device), keys.to(device), k, metric, **moved(filters, device))
    same(got, fastret.search(queries, keys, k, metric, **filters), "the CPU op")
    if queries.shape[0] * keys.shape[0] * keys.shape[1] <= DEFINED_UP_TO:
        same(got, reference.search(queries, keys, k, metric, **filters), "the definition")


def beyond_bfloat16(num_queries: int, num_keys: int, dim: int, g: Generator) -> tuple[Tensor, Tensor]:
    """Finite float32, some of which are infinite as bfloat16, next to their neighbours that are not."""
    queries, keys = hard_vectors.normal(num_queries, num_keys, dim, g)
    edge = torch.tensor([BEYOND_BFLOAT16]).view(torch.int32)
    near = (edge + torch.randint(-2, 3, (num_keys, dim), generator=g)).int().view(torch.float32)
    hit = (torch.rand(num_keys, 1, generator=g) < 0.2) & (torch.rand(num_keys, dim, generator=g) < 0.3)
    return queries, torch.where(hit, near * keys.sign(), keys)


def near_duplicates(num_queries: int, num_keys: int, dim: int, g: Generator) -> tuple[Tensor, Tensor]:
    """Keys that bfloat16 hardly tells apart: too many survive the first pass."""
    queries, keys = hard_vectors.normal(num_queries, 1, dim, g)
    return queries, keys + 1e-4 * torch.randn(num_keys, dim, generator=g)


def nan_and_infinite_rows(num_queries: int, num_keys: int, dim: int, g: Generator) -> tuple[Tensor, Tensor]:
    queries, keys = hard_vectors.normal(num_queries, num_keys, dim, g)
    for rows in (queries, keys):
        rows[::5], rows[1::7], rows[2::11] = float("nan"), float("inf"), float("-inf")
    return queries, keys


# More keys than a query's buffer holds.
MANY = (
    hard_vectors.normal,
    hard_vectors.duplicates_in_random_order,
    hard_vectors.one_key_repeated,
    hard_vectors.within_a_few_ulps,
    hard_vectors.better_and_better,
    hard_vectors.worse_and_worse,
    hard_vectors.beyond_the_float32_norm,
    hard_vectors.norms_from_1e_minus_20_to_1e20,
    near_duplicates,
    beyond_bfloat16,
    nan_and_infinite_rows,
)


def checks(device: torch.device) -> Checks:
    for family, metric in product((*hard_vectors.FAMILIES, beyond_bfloat16, near_duplicates), METRICS):
        pair = family(9, 300, 37, generator())
        yield f"search, {family.__name__}, {metric}", partial(check_search, *pair, 25, metric, device)
    for family, metric in product(MANY, METRICS):
        pair = family(13, on_gpu(device, 7000, 700), 40, generator(1))
        yield f"search of many, {family.__name__}, {metric}", partial(check_search, *pair, 20, metric, device)
    yield from of_any_k(device)
    yield from of_any_dim(device)
    yield from of_any_dtype_and_layout(device)


def of_any_k(device: torch.device) -> Checks:
    num_keys = on_gpu(device, 20_000, 1200)
    pair = hard_vectors.duplicates_in_random_order(17, num_keys, 33, generator(2))
    for k, metric in product((1, 10, 100, 1000, num_keys, num_keys + 77), METRICS):
        yield f"search, N={num_keys}, k={k}, {metric}", partial(check_search, *pair, k, metric, device)
    for num_queries, num_keys, dim, k in (
        *((5, 200, 8, 200), (5, 200, 8, 250), (5, 200, 8, 0), (0, 200, 8, 5), (5, 0, 8, 5), (5, 200, 0, 5)),
        *((1, 1, 1, 1), (16, 32, 64, 1), (17, 33, 65, 33), (129, 257, 64, 3)),
    ):
        pair = hard_vectors.few_distinct_scores(num_queries, num_keys, dim, generator(3))
        for metric in METRICS:
            name = f"search, Q={num_queries} N={num_keys} D={dim} k={k}, {metric}"
            yield name, partial(check_search, *pair, k, metric, device)


def of_any_dim(device: torch.device) -> Checks:
    for dim in (1, 2, 3, 7, 8, 9, 16, 31, 63, 64, 65, 127, 128, 129, 191, 500, 1000, 1027):
        pair = hard_vectors.normal(7, on_gpu(device, 1500, 300), dim, generator(4))
        for metric in METRICS:
            yield f"search, D={dim}, {metric}", partial(check_search, *pair, 11, metric, device)
    pair = hard_vectors.normal(3, 600, 9000, generator(5))
    yield "search, D=9000", partial(check_search, *pair, 5, "cosine", device)


def of_any_dtype_and_layout(device: torch.device) -> Checks:
    pair = hard_vectors.normal(11, on_gpu(device, 3000, 270), 130, generator(6))
    for metric, dtype, key_dtype in product(METRICS, DTYPES, DTYPES):
        typed = pair[0].to(dtype), pair[1].to(key_dtype)
        yield f"search, {dtype} and {key_dtype}, {metric}", partial(check_search, *typed, 40, metric, device)
    for layout in hard_vectors.LAYOUTS:

        def in_layout(layout=layout) -> None:  # type: ignore[no-untyped-def]
            queries, keys = (layout(rows.to(device)) for rows in pair)
            same(fastret.search(queries, keys, 12, "l2"), fastret.search(*pair, 12, "l2"), "the CPU op")

        yield f"search, {layout.__name__}", in_layout


def large_checks(device: torch.device) -> Checks:
    pair = hard_vectors.normal(40, 150_000, 48, generator(7))
    for metric, k in product(METRICS, (10, 3000)):
        yield f"search, N=150k, k={k}, {metric}", partial(check_search, *pair, k, metric, device)
    for family in (hard_vectors.better_and_better, hard_vectors.worse_and_worse, near_duplicates):
        pair = family(8, 100_000, 16, generator(8))
        yield f"search, N=100k, {family.__name__}", partial(check_search, *pair, 100, "ip", device)
    pair = hard_vectors.normal(3000, 20_000, 64, generator(9))
    yield "search, Q=3000", partial(check_search, *pair, 10, "cosine", device)
