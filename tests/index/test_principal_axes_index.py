"""FlatIndex with principal axes: when it takes them by itself, and that they grow and are stored with it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

import fastret
from fastret import FlatIndex
from fastret.ops import principal_axes
from fastret.ops.packing import Packing

DIM = 150
METRICS = ("ip", "cosine", "l2")


@pytest.fixture(autouse=True)
def forced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Axes for few vectors too, whatever they gain."""
    monkeypatch.setattr(principal_axes, "_WORTH_AXES_BYTES", 0)
    monkeypatch.setattr(principal_axes, "_LARGEST_SHARE", 10)


def decaying(n: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, DIM, generator=generator) / torch.arange(1, DIM + 1)


def filled(n: int = 400, metric: str = "ip") -> FlatIndex:
    index = FlatIndex(DIM, metric)
    index.add(decaying(n))
    return index


def packing_of(index: FlatIndex) -> Packing:
    packed = index._contents.storage.packed(index.ntotal)
    assert packed is not None and packed.packing is not None
    return packed.packing


def has_axes(index: FlatIndex) -> bool:
    return packing_of(index).principal is not None


def assert_answers(index: FlatIndex, keys: Tensor, where: str = "") -> None:
    for number in (1, 4, 5, 40):
        queries = decaying(number, seed=9)
        threshold = fastret.search(queries, keys, 12, index.metric)[0].median().item()
        want = (
            *fastret.search(queries, keys, 12, index.metric),
            *fastret.range_search(queries, keys, threshold, index.metric),
        )
        got = (*index.search(queries, 12), *index.range_search(queries, threshold))
        assert all(map(torch.equal, got, want)), f"{where}, {number} queries"


@pytest.mark.parametrize("metric", METRICS)
def test_packing_with_sample_queries(metric: str) -> None:
    index = filled(metric=metric)
    index.pack(sample_queries=decaying(20, seed=1).numpy())
    assert has_axes(index)
    assert_answers(index, decaying(400))
    index.pack()
    assert not has_axes(index)


def test_sample_queries_of_another_dimension() -> None:
    with pytest.raises(ValueError, match=r"^FlatIndex.pack: sample_queries must be \[n, 150\], got \[3, 149\]$"):
        filled().pack(sample_queries=torch.ones(3, 149))


@pytest.mark.parametrize(("sizes", "axes"), [([4] * 17, True), ([1] * 65, True), ([4, 5] + [4] * 14, False)])
def test_searches_of_few_queries_bring_axes(sizes: list[int], axes: bool) -> None:
    index = filled()
    for count, size in enumerate(sizes):
        assert index.memory()["packed keys"] == 0
        queries = decaying(size, seed=count)
        if count % 2:
            index.search(queries.bfloat16(), 3)
        else:
            index.range_search(queries, 3.0)
    assert has_axes(index) == axes
    assert_answers(index, decaying(400))


def test_the_queries_that_are_remembered_are_copies() -> None:
    index, query = filled(), torch.empty(1, DIM)
    for row in decaying(65, seed=1):
        query.copy_(row)
        index.search(query, 3)
        query.fill_(torch.nan)
    assert has_axes(index)


def test_changed_vectors_forget_what_searches_brought() -> None:
    index = filled()
    index.search(decaying(5, seed=1), 3)
    index.remove([0])
    for query in decaying(65, seed=1).split(1):
        index.search(query, 3)
    assert has_axes(index)


@pytest.mark.parametrize("step", [1, 31, 33])
def test_adds_extend_heads_and_tails(step: int) -> None:
    keys = decaying(100 + 4 * step)
    keys[-2] *= 1e30
    index = FlatIndex(DIM, "l2")
    index.add(keys[:100])
    index.pack(sample_queries=decaying(20, seed=1))
    for last in range(100 + step, len(keys) + 1, step):
        index.add(keys[last - step : last])
        assert has_axes(index)
        assert_answers(index, keys[:last], f"{last} keys")


@pytest.mark.parametrize("by_itself", [True, False])
def test_an_outgrown_frame_keeps_its_sample_queries(by_itself: bool) -> None:
    index, more, sample = filled(100), decaying(400, seed=5), decaying(200, seed=1)
    if by_itself:
        for query in sample[:65].split(1):
            index.search(query, 3)
    else:
        index.pack(sample_queries=sample)
    sample.fill_(torch.nan)  # what was kept is a copy
    frame = packing_of(index).frame
    index.add(more)
    assert not torch.equal(packing_of(index).frame, frame)
    assert has_axes(index)
    assert len(index._contents.storage.packing._packed_with) <= 64
    assert_answers(index, torch.cat([decaying(100), more]))
    index.remove([0])
    index.pack()
    assert not has_axes(index)


def test_memory_counts_heads_tails_and_axes() -> None:
    index = filled(640)
    index.pack(sample_queries=decaying(20, seed=1))
    steps = -(-DIM // 4) * 4
    assert index.memory()["packed keys"] == 640 * (steps + 24) + 2 * DIM * 4 + 160 * DIM * 4


@pytest.mark.parametrize("metric", METRICS)
def test_files_keep_axes_and_bits(tmp_path: Path, metric: str) -> None:
    index, keys = filled(500, metric), decaying(500)
    index.pack(sample_queries=decaying(20, seed=1))
    index.save(tmp_path / "index")
    loaded = FlatIndex.load(tmp_path / "index")
    before, after = packing_of(index), packing_of(loaded)
    assert before.principal.defect == after.principal.defect
    for name, tensor in before.tensors().items():
        assert torch.equal(after.tensors()[name].view(torch.int32), tensor.view(torch.int32)), name
    assert_answers(loaded, keys, "loaded")
    mapped = FlatIndex.load(tmp_path / "index", mmap=True, shard_bytes=64 * DIM * 4)
    assert len(list(mapped._contents.storage.shards("test"))) == 8
    assert_answers(mapped, keys, "mapped")
    loaded.add(decaying(40, seed=5))
    assert has_axes(loaded)
    assert_answers(loaded, torch.cat([keys, decaying(40, seed=5)]), "loaded and extended")
