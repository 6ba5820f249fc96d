"""FlatIndex on a device, streamed to it and dealt to all of them answers with the bits of an index on the CPU."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import hard_vectors
import torch
from torch import Tensor

from fastret import FlatIndex

from .comparing import DTYPES, METRICS, Answer, Checks, generator, on_gpu, same
from .searches import nan_and_infinite_rows

FAMILIES = (hard_vectors.normal, hard_vectors.few_distinct_scores, nan_and_infinite_rows)


def places(device: torch.device) -> Iterator[dict[str, Any]]:
    """What constructors get. A workspace of 1 MiB makes many chunks of few vectors."""
    devices = list(range(torch.cuda.device_count())) if device.type == "cuda" else [device]
    yield {"device": device, "storage": "planes"}
    yield {"device": device, "storage": "host", "workspace_mib": 1}
    yield {"devices": devices + devices, "storage": "planes"}  # at least two shards, on one device too
    yield {"devices": devices + devices, "storage": "host", "workspace_mib": 1}


def answers(index: FlatIndex, queries: Tensor) -> Answer:
    queries = queries.to(index.device)
    threshold = 60.0 if index.metric == "l2" else 0.2
    per_query = torch.arange(4 * len(queries)).view(-1, 4)
    return (
        *index.search(queries, 10),
        *index.search(queries, 50, allowed_ids=index.ids[::3], excluded_ids=per_query),
        *index.search(queries, index.ntotal + 1),
        *index.range_search(queries, threshold, excluded_ids=index.ids[::5]),
        *index.search_self(3),
        index.ids,
        index.vectors,
        index.reconstruct(int(index.ids[7])),
    )


def check_index(keys: Tensor, queries: Tensor, metric: str, place: dict[str, Any]) -> None:
    on_cpu = FlatIndex(keys.shape[1], metric, dtype=keys.dtype)  # type: ignore[arg-type]
    there = FlatIndex(keys.shape[1], metric, dtype=keys.dtype, **place)  # type: ignore[arg-type]
    third = len(keys) // 3
    for index in (on_cpu, there):
        index.add(keys[third:], torch.arange(third, len(keys)))
        index.add(keys[:third].to(index.device), torch.arange(third))  # out of order
    same(answers(there, queries), answers(on_cpu, queries), "an index on the CPU")
    for index in (on_cpu, there):
        index.remove(range(5, 300, 7))
        index.add(keys[:20].numpy() if keys.dtype != torch.bfloat16 else keys[:20])
    same(answers(there, queries), answers(on_cpu, queries), "an index on the CPU, after changes")
    same(answers(copy.copy(there), queries), answers(on_cpu, queries), "an index on the CPU, of a copy")
    with tempfile.TemporaryDirectory() as folder:
        there.save(Path(folder) / "index")
        loaded = FlatIndex.load(Path(folder) / "index", **place)
        same(answers(loaded, queries), answers(on_cpu, queries), "an index on the CPU, of its file")


def checks(device: torch.device) -> Checks:
    num_keys = on_gpu(device, 3000, 330)
    for place in places(device):
        name = ", ".join(f"{key}={value}" for key, value in place.items())
        for family, metric in zip(FAMILIES, METRICS, strict=True):
            queries, keys = family(9, num_keys, 40, generator(40))
            yield f"FlatIndex({name}), {family.__name__}, {metric}", partial(check_index, keys, queries, metric, place)
        for dtype in DTYPES[1:]:
            queries, keys = hard_vectors.normal(9, num_keys, 40, generator(41))
            check = partial(check_index, keys.to(dtype), queries, "cosine", place)
            yield f"FlatIndex({name}), {dtype}", check
    if device.type == "cuda":
        for streamed in (True, False):
            yield f"FlatIndex on another stream, {streamed=}", partial(check_on_another_stream, device, streamed)
        yield "FlatIndex, streamed within its workspace", partial(check_workspace, device)


def check_on_another_stream(device: torch.device, streamed: bool) -> None:
    """Searches right behind the kernels that make their queries, and behind each other."""
    storage = "host" if streamed else "planes"
    index = FlatIndex(256, device=device, storage=storage, workspace_mib=4)  # type: ignore[arg-type]
    index.add(torch.randn(50_000, 256, generator=generator(42)))
    seeds = torch.randn(64, 256, generator=generator(43)).to(device)
    want = [index.search(seeds.roll(turn, 0), 10) for turn in range(4)]
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        got = [index.search(seeds.roll(turn, 0), 10) for turn in range(4)]
    stream.synchronize()
    for one, other in zip(got, want, strict=True):
        same(one, other, "the stream before")


def check_workspace(device: torch.device) -> None:
    index = FlatIndex(512, device=device, storage="host", workspace_mib=64)
    index.add(torch.randn(200_000, 512, generator=generator(44)))
    queries = torch.randn(100, 512, device=device)
    index.search(queries, 10)  # what libraries take once
    torch.cuda.synchronize(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    index.search(queries, 10)
    used_mib = (torch.cuda.max_memory_allocated(device) - before) / 2**20
    assert used_mib <= 66, f"a search within 64 MiB, of {index.memory('device')}, took {used_mib:.1f} MiB"
