"""The works that are measured on a GPU: those of the goals first, then others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

import fastret
from benchmarks.vectors import embedding_like
from fastret.ops import unit_rows
from fastret.ops.planes import PLANE_FACTS, SplitPlanes, plane_stride

from .goals import BFLOAT16, COPY, FASTRET, FLOAT32, GEMM, SORT, TOPK
from .peers import Answer, Prepare, Run, matmul_alone, matmul_topk, normalised_scores, other_search, torch_search
from .search_kernels import BOTH, has_hopper_kernel, search_kernel
from .turns import Contest, share_of_equal_ids

MADE_AT_ONCE = 1_000_000  # rows of embedding-like vectors; more are noisy copies of these
MARGIN = 0.05

Make = Callable[[], Contest]  # makes the vectors too, so that only one contest's are in memory


@dataclass(frozen=True)
class Place:
    """Where works run, and how much smaller than they are: `shrink` divides rows and keys in a rehearsal."""

    device: torch.device
    shrink: int = 1

    def size(self, count: int, least: int = 1) -> int:
        return max(least, count // self.shrink)

    def free_bytes(self) -> float:
        """What is left, but for a tenth."""
        if self.device.type != "cuda":
            return float("inf")
        torch.cuda.empty_cache()
        return 0.9 * torch.cuda.mem_get_info()[0]


def works(place: Place) -> Iterator[tuple[str, str, str | None, Make]]:
    """(op, name, goal, make), in the order of importance."""
    yield "floor", "4 GiB", None, partial(copy_work, place)
    for dim in (768, 1536):
        for k in (10, 100, 1000):
            name = f"10000 x 1000000 x {dim}, k = {k}"
            yield "search", name, f"search {name}", partial(search_work, place, 10_000, 1_000_000, dim, k)
    for queries in (1, 16):
        name = f"{queries} x 10000000 x 768, k = 10"
        yield "search", name, f"search {name}", partial(planes_work, place, queries, 10_000_000, 768, 10)
    name = "32768 x 32768 x 1024, k = 16"
    yield "mine_hard_negatives", name, f"mine_hard_negatives {name}", partial(mining_work, place, 32_768, 1024, 16)
    for rows, columns in ((1000, 100_000), (1, 5_000_000)):
        for k in (10, 100, 2048, columns):
            name = f"{rows} x {columns}, k = {k}"
            yield "select_k", name, f"select_k {name}", partial(select_work, place, rows, columns, k)
    for percent in (1, 10):
        name = f"10000 x 1000000 x 768, k = 10, {percent} % allowed"
        yield "search", name, None, partial(filtered_work, place, 10_000, 1_000_000, 768, 10, percent)
    for dtype in (torch.bfloat16, torch.float32):
        for backward in (False, True):
            name = f"8192 x 8192 x 1024, {dtype}{', with gradients' if backward else ''}"
            yield "cosine_scores by matmul", name, None, partial(scores_work, place, 8192, 1024, dtype, backward)
    yield "unit_rows", "1000000 x 768 to bfloat16", None, partial(unit_rows_work, place, 1_000_000, 768)
    for queries in (1, 16):
        name = f"{queries} x 10000000 x 768, k = 10, float32 keys"
        yield "search", name, None, partial(float32_work, place, queries, 10_000_000, 768, 10)
    yield "search", "1000 x 100000 x 512, k = 10", None, partial(search_work, place, 1000, 100_000, 512, 10)


@lru_cache(maxsize=1)
def vectors(num_queries: int, num_keys: int, dim: int, device: str) -> tuple[Tensor, Tensor]:
    keys, queries = embedding_like(num_keys, num_queries, dim, device=device)
    embedding_like.cache_clear()
    return queries, keys


def fastret_contestants(queries: Tensor, keys: Tensor, k: int, **filters: Tensor) -> dict[str, Prepare]:
    """With keys packed before, as they are, and with each of the kernels if the device has both."""
    packed = fastret.pack(keys)

    def of_planes() -> Answer:
        found: Answer = fastret.search(queries, packed, k, **filters)
        return found

    def by_kernel(name: str) -> Answer:
        with search_kernel(name):
            return of_planes()

    contestants: dict[str, Prepare] = {
        FASTRET: lambda: of_planes,
        "fastret, float32 keys": lambda: lambda: fastret.search(queries, keys, k, **filters),
    }
    if has_hopper_kernel():
        contestants |= {f"fastret, {name} kernel": lambda name=name: partial(by_kernel, name) for name in BOTH}
    return contestants


def survivors(queries: Tensor, keys: Any, k: int) -> dict[str, float]:
    """Canonical scores per query, where the device counts them."""
    with suppress(RuntimeError, TypeError):
        rescored = fastret.explain_search(queries, keys, k).rescored
        if rescored.numel() and int(rescored.min()) >= 0:
            return {"rescored_per_query": rescored.double().mean().item()}
    return {}


def search_work(place: Place, num_queries: int, num_keys: int, dim: int, k: int) -> Contest:
    goal = f"search {num_queries} x {num_keys} x {dim}, k = {k}"
    num_queries, num_keys = place.size(num_queries), place.size(num_keys, k)
    queries, keys = vectors(num_queries, num_keys, dim, str(place.device))
    return Contest(
        "search",
        f"{num_queries} x {num_keys} x {dim}, k = {k}",
        {
            **fastret_contestants(queries, keys, k),
            **torch_search(queries, keys, k),
            GEMM: lambda: matmul_alone(queries.bfloat16(), keys.bfloat16()),
            **other_search(queries, keys, k),
        },
        goal,
        operations=2 * num_queries * num_keys * dim,
        agree=share_of_equal_ids,
        facts=survivors(queries, keys, k),
    )


def largest_that_fits(place: Place, num_keys: int, row_bytes: int) -> int:
    """So many keys, or a half, a quarter ... of them."""
    vectors.cache_clear()
    free = place.free_bytes()
    while num_keys * row_bytes > free and num_keys > 1:
        num_keys //= 2
    return num_keys


def made_at_once(place: Place, num_keys: int, dim: int) -> tuple[Tensor, Tensor]:
    """16 queries, and the keys that those beyond them are copies of."""
    return vectors(16, min(num_keys, place.size(MADE_AT_ONCE)), dim, str(place.device))


def key_blocks(place: Place, num_keys: int, dim: int) -> Iterator[tuple[int, Tensor]]:
    """(first row, rows): embedding-like keys, those beyond the first MADE_AT_ONCE noisy copies of them."""
    _, base = made_at_once(place, num_keys, dim)
    for first in range(0, num_keys, len(base)):
        rows = base[: num_keys - first]
        noise = torch.randn_like(rows) * (0.3 / dim**0.5 if first else 0)
        yield first, normalize(rows + noise, dim=1)


def planes_work(place: Place, num_queries: int, num_keys: int, dim: int, k: int) -> Contest:
    """Keys that only planes hold: beside them there is hardly room for the same as bfloat16."""
    goal = f"search {num_queries} x {num_keys} x {dim}, k = {k}"
    row_bytes = 4 * plane_stride(dim) + 4 * PLANE_FACTS + 2 * dim
    num_keys = largest_that_fits(place, place.size(num_keys, k), row_bytes)
    planes = SplitPlanes.empty(dim, torch.float32, place.device, num_keys)
    rounded = torch.empty(num_keys, dim, dtype=torch.bfloat16, device=place.device)
    for first, rows in key_blocks(place, num_keys, dim):
        planes = planes.with_rows(rows, first, "ip")
        rounded[first : first + len(rows)] = rows
    queries = made_at_once(place, num_keys, dim)[0][:num_queries]
    packed = fastret.PackedKeys(planes, "ip", "auto")
    return Contest(
        "search",
        f"{num_queries} x {num_keys} x {dim}, k = {k}",
        {
            FASTRET: lambda: lambda: fastret.search(queries, packed, k),
            BFLOAT16: lambda: partial(matmul_topk, queries.bfloat16(), rounded, k),
            GEMM: lambda: matmul_alone(queries.bfloat16(), rounded),
        },
        goal,
        operations=2 * num_queries * num_keys * dim,
        bytes_moved=num_keys * 2 * plane_stride(dim),  # the plane that the first pass reads
        agree=share_of_equal_ids,
    )


def float32_work(place: Place, num_queries: int, num_keys: int, dim: int, k: int) -> Contest:
    num_keys = largest_that_fits(place, place.size(num_keys, k), 4 * dim)
    keys = torch.empty(num_keys, dim, device=place.device)
    for first, rows in key_blocks(place, num_keys, dim):
        keys[first : first + len(rows)] = rows
    queries = made_at_once(place, num_keys, dim)[0][:num_queries]
    return Contest(
        "search",
        f"{num_queries} x {num_keys} x {dim}, k = {k}, float32 keys",
        {
            FASTRET: lambda: lambda: fastret.search(queries, keys, k),
            FLOAT32: lambda: lambda: matmul_topk(queries, keys, k),
        },
        operations=2 * num_queries * num_keys * dim,
        bytes_moved=num_keys * 4 * dim,
        agree=share_of_equal_ids,
    )


def filtered_work(place: Place, num_queries: int, num_keys: int, dim: int, k: int, percent: int) -> Contest:
    num_queries, num_keys = place.size(num_queries), place.size(num_keys, 100 * k)
    queries, keys = vectors(num_queries, num_keys, dim, str(place.device))
    allowed = torch.randperm(num_keys, device=place.device) < num_keys * percent // 100

    def gathered() -> Run:
        """Of the allowed keys alone, which are gathered within the time."""
        q, x = queries.bfloat16(), keys.bfloat16()

        def run() -> Answer:
            ids = allowed.nonzero().squeeze(1)
            scores, places = matmul_topk(q, x[ids], k)
            return scores, ids[places]

        return run

    def mask(scores: Tensor, first: int) -> None:
        scores.masked_fill_(~allowed, -torch.inf)

    return Contest(
        "search",
        f"{num_queries} x {num_keys} x {dim}, k = {k}, {percent} % allowed",
        {
            **fastret_contestants(queries, keys, k, allowed=allowed),
            **torch_search(queries, keys, k, mask),
            "torch bfloat16 gather + matmul + topk": gathered,
        },
        operations=2 * num_queries * num_keys * dim,
        agree=share_of_equal_ids,
    )


def mining_work(place: Place, batch: int, dim: int, k: int) -> Contest:
    """Negatives among the pairs of a batch: query i's positive is key i, keys of its label are no negatives."""
    goal = f"mine_hard_negatives {batch} x {batch} x {dim}, k = {k}"
    batch = place.size(batch, 2 * k)
    _, keys = vectors(1, batch, dim, str(place.device))
    queries = normalize(keys + torch.randn_like(keys) * (0.7 / dim**0.5), dim=1)
    labels = torch.randint(max(1, batch // 16), (batch,), device=place.device)
    positives = torch.arange(batch, device=place.device)
    options = {"query_labels": labels, "key_labels": labels, "absolute_margin": MARGIN}

    def mask(scores: Tensor, first: int) -> None:
        rows = positives[first : first + len(scores), None]
        limit = scores.gather(1, rows) - MARGIN
        scores.masked_fill_((labels[rows] == labels) | (scores > limit), -torch.inf)

    return Contest(
        "mine_hard_negatives",
        f"{batch} x {batch} x {dim}, k = {k}",
        {
            FASTRET: lambda: lambda: fastret.mine_hard_negatives(queries, keys, k, positives, **options),
            **torch_search(queries, keys, k, mask),
            GEMM: lambda: matmul_alone(queries.bfloat16(), keys.bfloat16()),
        },
        goal,
        operations=2 * batch * batch * dim,
        agree=share_of_equal_ids,
    )


def select_work(place: Place, rows: int, columns: int, k: int) -> Contest:
    goal = f"select_k {rows} x {columns}, k = {k}"
    whole = k == columns
    rows, columns = place.size(rows), place.size(columns, 1 if whole else k)
    k = columns if whole else k
    values = torch.randn(rows, columns, device=place.device)
    peers: dict[str, Prepare] = {TOPK: lambda: lambda: torch.topk(values, k)}
    if whole:
        peers = {SORT: lambda: lambda: torch.sort(values, descending=True)}
    return Contest(
        "select_k",
        f"{rows} x {columns}, k = {k}",
        {FASTRET: lambda: lambda: fastret.select_k(values, k), **peers},
        goal,
        bytes_moved=rows * columns * 4,
        agree=share_of_equal_ids,
    )


def scores_work(place: Place, batch: int, dim: int, dtype: torch.dtype, backward: bool) -> Contest:
    size = place.size(batch)
    rows = [torch.randn(size, dim, device=place.device).to(dtype).requires_grad_(backward) for _ in range(2)]
    weights = torch.randn(size, size, device=place.device).to(dtype)

    def run(scores: Callable[[Tensor, Tensor], Tensor]) -> Any:
        found = scores(*rows)
        return torch.autograd.grad(found, rows, weights) if backward else found

    return Contest(
        "cosine_scores by matmul",
        f"{size} x {size} x {dim}, {dtype}{', with gradients' if backward else ''}",
        {
            FASTRET: lambda: lambda: run(partial(fastret.cosine_scores, exact=False)),
            "torch normalize + matmul": lambda: lambda: run(normalised_scores),
            "GEMM alone": lambda: lambda: run(lambda queries, keys: queries @ keys.mT),
        },
        operations=(6 if backward else 2) * size * size * dim,
    )


def unit_rows_work(place: Place, num_rows: int, dim: int) -> Contest:
    num_rows = place.size(num_rows)
    rows = torch.randn(num_rows, dim, device=place.device)
    return Contest(
        "unit_rows",
        f"{num_rows} x {dim} to bfloat16",
        {
            FASTRET: lambda: lambda: unit_rows(rows, out_dtype=torch.bfloat16),
            "torch normalize + to": lambda: lambda: normalize(rows, dim=-1).bfloat16(),
        },
        bytes_moved=num_rows * dim * 6,
    )


def copy_work(place: Place) -> Contest:
    """The floor of what only moves bytes: 4 GiB to another place in the device's memory."""
    source = torch.randint(1 << 40, (place.size(1 << 29),), device=place.device)
    target = torch.empty_like(source)
    return Contest(
        "floor", f"{source.nbytes} bytes", {COPY: lambda: lambda: target.copy_(source)}, bytes_moved=2 * source.nbytes
    )
