"""Vectors are dealt to devices evenly, and every shard gets its own part of the filters."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from fastret import FlatIndex
from fastret.index import sharded_storage
from fastret.index.sharded_storage import ShardedStorage
from fastret.ops.planes import KEY_TILE


def sharded(index: FlatIndex) -> ShardedStorage:
    storage = index._contents.storage
    assert isinstance(storage, ShardedStorage)
    return storage


def filled(num_shards: int, n: int, dealt_rows: int, monkeypatch: pytest.MonkeyPatch) -> FlatIndex:
    monkeypatch.setattr(sharded_storage, "DEALT_ROWS", dealt_rows)
    index = FlatIndex(3, devices=["cpu"] * num_shards)
    index.add(torch.arange(n * 3.0).view(n, 3))
    return index


@pytest.mark.parametrize(
    ("num_shards", "n", "dealt_rows"), [(1, 10, 4), (3, 0, 4), (3, 50, 4), (4, 31, 16), (5, 61, 1)]
)
def test_every_position_is_in_one_place(
    num_shards: int, n: int, dealt_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = sharded(filled(num_shards, n, dealt_rows, monkeypatch))
    positions = torch.arange(n)
    owners, local = storage._owners(positions), storage._local(positions)
    for number in range(num_shards):
        mine = positions[owners == number]
        assert len(mine) == storage._count(number, n)
        assert local[mine].tolist() == list(range(len(mine)))  # ascending, without a gap
        assert torch.equal(storage._global(number, local[mine]), mine)
    assert storage._global(0, torch.tensor([-1])).tolist() == [-1]
    counts = [storage._count(number, n) for number in range(num_shards)]
    assert max(counts) - min(counts) <= dealt_rows


def test_a_deal_is_of_whole_tiles() -> None:
    assert sharded_storage.DEALT_ROWS % KEY_TILE == 0


def test_adds_and_removals_keep_the_deal_even(monkeypatch: pytest.MonkeyPatch) -> None:
    index = filled(3, 90, 4, monkeypatch)
    for _ in range(20):
        index.add(torch.ones(1, 3))
    index.remove(range(0, 40))
    counts = [len(shard.joined(sharded(index)._count(n, 70))) for n, shard in enumerate(sharded(index)._shards)]
    assert sum(counts) == index.ntotal == 70 and max(counts) - min(counts) <= 4


def test_every_shard_has_its_work_before_an_answer_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    index, log = filled(3, 50, 4, monkeypatch), []
    storage = sharded(index)
    for number, shard in enumerate(storage._shards):
        monkeypatch.setattr(shard, "search", logged(log, f"search {number}", shard.search))
        monkeypatch.setattr(shard, "range_search", logged(log, f"range {number}", shard.range_search))
    monkeypatch.setattr(storage, "_global", logged(log, "answer", storage._global))
    index.search(torch.ones(2, 3), 4)
    index.range_search(torch.ones(2, 3), 4)
    answers = ["answer"] * 3
    assert log == ["search 0", "search 1", "search 2", *answers, "range 0", "range 1", "range 2", *answers]


def logged(log: list[str], name: str, function: Any) -> Any:
    def call(*arguments: Any) -> Any:
        log.append(name)
        return function(*arguments)

    return call


def test_shards_search_their_own_part_of_the_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    index = filled(2, 10, 2, monkeypatch)  # positions 0 1 4 5 8 9 and 2 3 6 7
    seen: list[tuple[list[bool] | None, list[list[int]] | None]] = []

    def search(queries: Tensor, ntotal: int, k: int, filters: Any, first_pass: None) -> tuple[Tensor, Tensor]:
        seen.append(tuple(part if part is None else part.tolist() for part in filters))  # type: ignore[arg-type]
        return torch.zeros(1, 0), torch.zeros(1, 0, dtype=torch.int64)

    for shard in sharded(index)._shards:
        monkeypatch.setattr(shard, "search", search)
    index.search(torch.ones(1, 3), 1, allowed_ids=[0, 2, 5, 7], excluded_ids=[[4, 7, -1]])
    assert seen == [
        ([True, False, False, True, False, False], [[2, -1, -1]]),
        ([True, False, False, True], [[-1, 3, -1]]),
    ]


def test_an_add_that_failed_on_one_device_is_on_none(monkeypatch: pytest.MonkeyPatch) -> None:
    index = filled(3, 50, 4, monkeypatch)
    want = (*index.search(torch.ones(2, 3), 60), index.vectors)

    def fail(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patched, pytest.raises(torch.OutOfMemoryError):
        patched.setattr(sharded(index)._shards[1], "write", fail)
        index.add(torch.ones(30, 3))
    for got, wanted in zip((*index.search(torch.ones(2, 3), 60), index.vectors), want, strict=True):
        assert torch.equal(got, wanted)
    index.add(torch.full((30, 3), 7.0))
    assert torch.equal(index.vectors[50:], torch.full((30, 3), 7.0))
