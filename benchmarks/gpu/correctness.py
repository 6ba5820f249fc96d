"""Is every bit of the CUDA ops right? Compares with the float64 definitions and with the CPU ops.

    PYTHONPATH=tests/ops python -m benchmarks.gpu.correctness --out correctness.json

Exits with 1 if any check fails. Its hard vectors are those of tests/ops.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import product
from pathlib import Path

import hard_vectors
import torch
from same_bits import assert_same_bits
from torch import Tensor

import fastret
from fastret.ops import reference

from .results_file import ResultsFile

METRICS = ("ip", "cosine", "l2")
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
Check = Callable[[], None]
Filters = Mapping[str, Tensor]  # allowed [N] bool, excluded [Q, E] int64: search's arguments
NO_FILTERS: Filters = {}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def same(got: tuple[Tensor, ...], want: tuple[Tensor, ...], against: str) -> None:
    for number, (one, other) in enumerate(zip(got, want, strict=True)):
        assert_same_bits(one.cpu(), other.cpu(), f"against {against}, output {number}")


def filtered_scores(queries: Tensor, keys: Tensor, metric: str, filters: Filters) -> Tensor:
    """The canonical scores [Q, N], NaN where a filter rejects the key."""
    scores = reference.cosine_scores(queries, keys, metric)
    if "allowed" in filters:
        scores[:, ~filters["allowed"]] = float("nan")
    for query, excluded in enumerate(filters.get("excluded", ())):
        scores[query, torch.isin(torch.arange(len(keys)), excluded)] = float("nan")
    return scores


def check_search(
    queries: Tensor, keys: Tensor, k: int, metric: str, device: torch.device, filters: Filters = NO_FILTERS
) -> None:
    there = {name: tensor.to(device) for name, tensor in filters.items()}
    got = fastret.search(queries.to(device), keys.to(device), k, metric, **there)
    same(got, fastret.search(queries, keys, k, metric, **filters), "the CPU op")
    if queries.shape[0] * keys.shape[0] * keys.shape[1] <= 1 << 22:
        scores = filtered_scores(queries, keys, metric, filters)
        same(got, reference.select_k(scores, k, largest=metric != "l2"), "the definition")


def check_select(values: Tensor, k: int, largest: bool, device: torch.device) -> None:
    got = fastret.select_k(values.to(device), k, largest)
    same(got, fastret.select_k(values, k, largest), "the CPU op")
    same(got, reference.select_k(values, k, largest), "the definition")


def check_scores(queries: Tensor, keys: Tensor, metric: str, out: torch.dtype, device: torch.device) -> None:
    got = fastret.cosine_scores(queries.to(device), keys.to(device), metric, out_dtype=out)
    same((got,), (fastret.cosine_scores(queries, keys, metric, out_dtype=out),), "the CPU op")
    same((got,), (reference.cosine_scores(queries, keys, metric).to(out),), "the definition")


def filters_of(num_queries: int, num_keys: int) -> dict[str, Filters]:
    """Filters by what they leave of the keys."""
    g = generator(8)
    allowed = torch.rand(num_keys, generator=g) < 0.3
    few = torch.zeros(num_keys, dtype=torch.bool)
    few[num_keys // 2 :: max(1, num_keys // 6)] = True
    every_id = torch.arange(num_keys)
    # Repeated, among padding and ids of no key.
    excluded = torch.randint(-3, num_keys + 40, (num_queries, num_keys), generator=g)
    excluded[:, ::7] = torch.tensor([-1, 1 << 32, (1 << 63) - 1, -(1 << 63)]).repeat(num_keys)[: len(every_id[::7])]
    return {
        "some allowed": {"allowed": allowed},
        "the first allowed": {"allowed": every_id < num_keys // 3},
        "few allowed": {"allowed": few},
        "none allowed": {"allowed": torch.zeros(num_keys, dtype=torch.bool)},
        "one excluded per query": {"excluded": every_id[-num_queries:, None].contiguous()},
        "no place for exclusions": {"excluded": torch.empty(num_queries, 0, dtype=torch.int64)},
        "many excluded": {"excluded": excluded},
        "all excluded": {"excluded": every_id.flip(0).expand(num_queries, -1).contiguous()},
        "some allowed, many excluded": {"allowed": allowed, "excluded": excluded},
    }


def filter_checks(device: torch.device) -> Iterator[tuple[str, Check]]:
    families = (hard_vectors.normal, hard_vectors.few_distinct_scores, hard_vectors.better_and_better)
    for family, metric in product(families, METRICS):
        queries, keys = family(19, 301, 37, generator(9))
        for left, filters in filters_of(19, 301).items():
            check = partial(check_search, queries, keys, 25, metric, device, filters)
            yield f"search, {family.__name__}, {left}, {metric}", check
    queries, keys = hard_vectors.some_zero_rows(5, 130, 9, generator(10))
    keys[::4] = float("nan")
    for left, filters in filters_of(5, 130).items():
        check = partial(check_search, queries.half(), keys.bfloat16(), 130, "cosine", device, filters)
        yield f"search, NaN among the keys, k = N, {left}", check


def small_checks(device: torch.device) -> Iterator[tuple[str, Check]]:
    for family, metric in product(hard_vectors.FAMILIES, METRICS):
        queries, keys = family(9, 300, 37, generator())
        yield f"search, {family.__name__}, {metric}", partial(check_search, queries, keys, 25, metric, device)
        scores = partial(check_scores, queries, keys, metric, torch.float32, device)
        yield f"cosine_scores, {family.__name__}, {metric}", scores
    queries, keys = hard_vectors.normal(11, 270, 130, generator(1))
    for metric, dtype, key_dtype in product(METRICS, DTYPES, DTYPES):
        pair = queries.to(dtype), keys.to(key_dtype)
        yield f"search, {dtype} and {key_dtype}, {metric}", partial(check_search, *pair, 40, metric, device)
        batched = pair[0].expand(2, -1, -1), pair[1].reshape(2, 135, 130)
        scores = partial(check_scores, *batched, metric, dtype, device)
        yield f"cosine_scores, {dtype} and {key_dtype}, {metric}", scores
    for layout in hard_vectors.LAYOUTS:
        pair = layout(queries.to(device)), layout(keys.to(device))
        want = fastret.search(queries, keys, 12, "l2")
        yield (
            f"search, {layout.__name__}",
            lambda pair=pair, want=want: same(fastret.search(*pair, 12, "l2"), want, "the CPU op"),
        )
    for num_queries, num_keys, dim, k in (
        *((5, 200, 8, 200), (5, 200, 8, 250), (5, 200, 8, 0), (0, 200, 8, 5), (5, 0, 8, 5), (5, 200, 0, 5)),
        *((1, 1, 1, 1), (16, 32, 64, 1), (17, 33, 65, 33)),
    ):
        queries, keys = hard_vectors.few_distinct_scores(num_queries, num_keys, dim, generator(2))
        for metric in METRICS:
            name = f"search, Q={num_queries} N={num_keys} D={dim} k={k}, {metric}"
            yield name, partial(check_search, queries, keys, k, metric, device)
    # Differs by one float32 step under a fused multiply-add.
    query, key = torch.zeros(1, 17), torch.zeros(1, 17)
    query[0, 0], query[0, 16] = float.fromhex("0x1.4p-27"), float.fromhex("0x1.37b4p+0")
    key[0, 16] = -float.fromhex("0x1.525f8cp-23")
    yield "l2 rounds each step", partial(check_scores, query, key, "l2", torch.float32, device)

    for dtype, largest in product(DTYPES, (True, False)):
        values = torch.randn(4, 3000, generator=generator(3)).to(dtype)
        values[0, ::3], values[1], values[2, ::2], values[3, ::5] = float("nan"), 0.25, -0.0, float("inf")
        for k in (1, 50, 2500, 3000, 3100):
            yield f"select_k, {dtype}, k={k}, {largest}", partial(check_select, values, k, largest, device)


def large_checks(device: torch.device) -> Iterator[tuple[str, Check]]:
    queries, keys = hard_vectors.normal(40, 150_000, 48, generator(4))
    for metric, k in product(METRICS, (10, 3000)):
        yield f"search, N=150k, k={k}, {metric}", partial(check_search, queries, keys, k, metric, device)
    for family in (hard_vectors.better_and_better, hard_vectors.worse_and_worse, hard_vectors.few_distinct_scores):
        pair = family(8, 100_000, 16, generator(5))
        yield f"search, N=100k, {family.__name__}", partial(check_search, *pair, 100, "ip", device)
        for left, filters in filters_of(8, 100_000).items():
            check = partial(check_search, *pair, 100, "ip", device, filters)
            yield f"search, N=100k, {family.__name__}, {left}", check
    for rows, columns, k in ((1, 2_000_000, 100), (3, 500_000, 5000), (2000, 300, 20), (1, 1_000_000, 1_000_000)):
        values = torch.randint(-(1 << 20), 1 << 20, (rows, columns), generator=generator(6)).float()
        yield f"select_k, {rows} x {columns}, k={k}", partial(check_select, values, k, True, device)


def device_checks(device: torch.device) -> Iterator[tuple[str, Check]]:
    """What only a GPU can show."""
    queries, keys = (part.to(device) for part in hard_vectors.normal(64, 60_000, 96, generator(7)))
    want = fastret.search(queries, keys, 20)
    half = {"allowed": torch.arange(60_000, device=device) % 2 == 0, "excluded": want[1][:, :3].contiguous()}
    want_of_half = fastret.search(queries, keys, 20, **half)

    def in_a_graph() -> None:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            got = fastret.search(queries, keys, 20)
            got_of_half = fastret.search(queries, keys, 20, **half)
            values = fastret.select_k(got[0], 5)
        for _ in range(2):
            graph.replay()
        torch.cuda.synchronize()
        same(got, want, "the eager call")
        same(got_of_half, want_of_half, "the eager call, filtered")
        same(values, fastret.select_k(want[0], 5), "the eager call")

    def on_another_stream() -> None:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            got = fastret.search(queries, keys, 20)
        stream.synchronize()
        same(got, want, "the default stream")

    def without_synchronising() -> None:
        torch.cuda.set_sync_debug_mode("error")
        try:
            fastret.search(queries, keys, 20)
            fastret.search(queries, keys, 20, **half)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    def again_and_again() -> None:
        for _ in range(5):
            same(fastret.search(queries, keys, 20), want, "the first run")
            same(fastret.search(queries, keys, 20, **half), want_of_half, "the first run, filtered")

    def batch_by_batch() -> None:
        parts = [fastret.search(queries[i : i + 7], keys, 20) for i in range(0, 64, 7)]
        scores, ids = (torch.cat(part) for part in zip(*parts, strict=True))
        same((scores, ids), want, "one batch")

    def within_memory() -> None:
        many = torch.randn(20_000, 8, device=device)
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        fastret.search(many, many, 10)
        used_mib = (torch.cuda.max_memory_allocated() - before) / 2**20
        assert used_mib < 400, f"search of 20000 x 20000 took {used_mib:.0f} MiB; the scores alone are 1526 MiB"

    def beyond_2_to_31_elements() -> None:
        rows, dim = (1 << 31) // 512 + 1000, 512
        far = torch.zeros(rows, dim, dtype=torch.float16, device=device)
        planted = torch.tensor([0, 5, rows // 2, rows - 900, rows - 1], device=device)
        far[planted, dim - 1] = torch.tensor([1.0, 5.0, 2.0, 4.0, 3.0], dtype=torch.float16, device=device)
        query = torch.zeros(1, dim, dtype=torch.float16, device=device)
        query[0, dim - 1] = 1.0
        scores, ids = fastret.search(query, far, 5)
        assert ids[0].tolist() == planted[[1, 3, 4, 2, 0]].tolist(), ids
        assert scores[0].tolist() == [5.0, 4.0, 3.0, 2.0, 1.0], scores
        _, columns = fastret.select_k(far.view(1, -1), 5)
        assert columns[0].tolist() == (planted[[1, 3, 4, 2, 0]] * dim + dim - 1).tolist(), columns

    def ids_beyond_2_to_32() -> None:
        far = 1 << 32
        keys = torch.empty(far + 100, 0, device=device)  # no elements: every score is 0
        allowed = torch.zeros(far + 100, dtype=torch.bool, device=device)
        allowed[[far + 5, far + 70, far + 99]] = True
        excluded = torch.tensor([[far + 5, -1], [5, 70]], device=device)
        scores, ids = fastret.search(torch.empty(2, 0, device=device), keys, 2, allowed=allowed, excluded=excluded)
        assert ids.tolist() == [[far + 70, far + 99], [far + 5, far + 70]], ids
        assert not scores.any(), scores

    def filters_elsewhere_are_refused() -> None:
        for name, tensor in half.items():
            try:
                torch.ops.fastret.search(queries, keys, 20, 0, **{name: tensor.cpu()})
            except RuntimeError as error:
                assert f"search: {name} must be on the device of the queries" in str(error), error
            else:
                raise AssertionError(f"{name} on the CPU was taken")

    for check in (
        *(in_a_graph, on_another_stream, without_synchronising, again_and_again, batch_by_batch, within_memory),
        *(beyond_2_to_31_elements, ids_beyond_2_to_32, filters_elsewhere_are_refused),
    ):
        yield check.__name__.replace("_", " "), check


def run_checks(checks: Iterator[tuple[str, Check]], results: ResultsFile) -> int:
    """Run all, in spite of failures. Returns the number of those that failed."""
    failed = 0
    for name, check in checks:
        start_s = time.perf_counter()
        try:
            check()
            error = None
        except Exception as raised:  # whatever it is, the next check still runs
            error = f"{type(raised).__name__}: {raised}"
            failed += 1
            print(f"FAILED {name}: {error}", flush=True)
        results.add(check=name, ok=error is None, error=error, wall_s=round(time.perf_counter() - start_s, 3))
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cuda", help="cpu runs the small checks on the CPU: a test of this script")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    results = ResultsFile(arguments.out, device)
    failed = run_checks(small_checks(device), results) + run_checks(filter_checks(device), results)
    if device.type == "cuda":
        failed += run_checks(large_checks(device), results)
        failed += run_checks(device_checks(device), results)
    print(f"{failed} checks failed" if failed else "every check passed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
