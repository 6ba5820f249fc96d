"""FlatIndex packs its vectors when searches have made that worth it, and answers with the same bits all the while."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

import fastret
from fastret import FlatIndex
from fastret.index import lazy_packing

METRICS = ("ip", "cosine", "l2")
FIRST_PASSES = ("auto", "int8", "int16", "float32")
DIM = 40


def vectors(n: int, seed: int = 0) -> Tensor:
    return torch.randn(n, DIM, generator=torch.Generator().manual_seed(seed))


def filled(n: int = 300, first_pass: str = "auto", metric: str = "ip") -> FlatIndex:
    index = FlatIndex(DIM, metric, first_pass=first_pass)
    index.add(vectors(n))
    return index


def is_packed(index: FlatIndex) -> bool:
    return index.memory()["packed keys"] > 0


def assert_same(got: tuple[Tensor, ...], want: tuple[Tensor, ...]) -> None:
    assert all(torch.equal(one, other) for one, other in zip(got, want, strict=True))


def assert_answers(index: FlatIndex, keys: Tensor, where: str = "") -> None:
    """Like a search of the keys; a single query, so that the index is packed before as after."""
    query = vectors(1, seed=9)
    got, want = index.search(query, 12), fastret.search(query, keys, 12, index.metric)
    assert torch.equal(got[0], want[0]) and torch.equal(got[1], want[1]), where


def counted_packs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by the number of keys whenever an index packs them all."""
    packs: list[int] = []

    def pack(keys: Tensor, *options: str, sample_queries: Tensor | None = None) -> fastret.PackedKeys:
        packs.append(len(keys))
        return fastret.pack(keys, *options, sample_queries=sample_queries)

    monkeypatch.setattr(lazy_packing, "pack", pack)
    return packs


def test_many_queries_at_once_pack_at_once() -> None:
    index = filled()
    index.search(vectors(64, seed=1), 3)
    assert not is_packed(index)
    index = filled()
    index.search(vectors(65, seed=1), 3)
    assert is_packed(index)


def test_queries_one_by_one_pack_once_they_are_many() -> None:
    index = filled()
    for count, query in enumerate(vectors(70, seed=1).split(1), start=1):
        (index.search if count % 2 else index.range_search)(query, 3)
        assert is_packed(index) == (count > 64)


def test_pack_packs_now_and_float32_never() -> None:
    for first_pass in FIRST_PASSES:
        index = filled(first_pass=first_pass)
        index.pack()
        index.search(vectors(100, seed=1), 3)
        assert is_packed(index) == (first_pass != "float32")
    small = FlatIndex(8)  # too few dimensions for int8 to pay
    small.add(torch.ones(5, 8))
    small.pack()
    assert not is_packed(small)


@pytest.mark.parametrize(("dim", "first_pass"), [(8, "auto"), (DIM, "float32"), (DIM, "auto")])
def test_queries_are_remembered_only_until_they_have_served(
    dim: int, first_pass: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, packs = FlatIndex(dim, first_pass=first_pass), counted_packs(monkeypatch)
    index.add(torch.ones(10, dim))
    for _ in range(70):
        index.search(torch.ones(1, dim), 3)
    assert packs == ([10] if (dim, first_pass) == (DIM, "auto") else [])
    assert index._contents.storage.packing._sample == []


def test_memory_tells_the_bytes_of_each_part() -> None:
    index = filled(320, "int8")
    assert index.memory() == {"vectors": 320 * DIM * 4, "ids": 320 * 8, "packed keys": 0}
    index.pack()
    assert index.memory()["packed keys"] == 320 * (DIM + 20) + 2 * DIM * 4


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("first_pass", FIRST_PASSES)
def test_packed_and_unpacked_answers_are_the_same(first_pass: str, metric: str) -> None:
    index, keys, queries = filled(500, first_pass, metric), vectors(500), vectors(20, seed=1)
    threshold = {"ip": 2.0, "cosine": 0.1, "l2": 70.0}[metric]
    want = (*fastret.search(queries, keys, 9, metric), *fastret.range_search(queries, keys, threshold, metric))
    for _ in range(2):
        assert_same((*index.search(queries, 9), *index.range_search(queries, threshold)), want)
        index.pack()


def test_searches_are_explained() -> None:
    index, queries = FlatIndex(DIM), vectors(20, seed=1)
    index.add(vectors(300), ids=torch.arange(300) * 3)
    filters = {"allowed_ids": range(0, 900, 6), "excluded_ids": index.search(queries, 2)[1]}
    for packed in (False, True):
        explanation = index.explain_search(queries.numpy(), 5, **filters)
        assert_same((explanation.scores, explanation.ids), index.search(queries, 5, **filters))
        assert explanation.packed == packed
        index.pack()
    assert index.explain_search(queries, 5, first_pass="float32").first_pass == "float32"
    with pytest.raises(ValueError, match=r"^FlatIndex.explain_search: queries must be \[n, 40\], got \[20, 39\]$"):
        index.explain_search(queries[:, 1:], 5)


@pytest.mark.parametrize("override", FIRST_PASSES)
def test_a_first_pass_of_one_search_alone(override: str) -> None:
    index, queries = filled(500, "int8"), vectors(20, seed=1)
    want = fastret.search(queries, vectors(500), 9)
    for _ in range(2):
        assert_same(index.search(queries, 9, first_pass=override), want)
        index.pack()
    with pytest.raises(ValueError, match=r"search: first_pass must be .* got 'int4'"):
        index.search(queries, 9, first_pass="int4")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("override", "packs"), [("float32", False), ("int16", False), ("int8", True), ("auto", True), (None, True)]
)
def test_only_searches_by_the_pass_of_packed_keys_bring_them(override: str | None, packs: bool) -> None:
    for search in ("search", "range_search"):
        index = filled()
        getattr(index, search)(vectors(100, seed=1), 3, first_pass=override)
        assert is_packed(index) == packs, search


@pytest.mark.parametrize("step", [1, 31, 32, 33])
@pytest.mark.parametrize("first_pass", ["int8", "int16"])
def test_adds_extend_the_packed_keys(first_pass: str, step: int) -> None:
    keys = vectors(20 + 12 * step)
    keys[-2] *= 1e30
    index = FlatIndex(DIM, "l2", first_pass=first_pass)
    index.add(keys[:20])
    index.pack()
    for last in range(20 + step, len(keys) + 1, step):
        index.add(keys[last - step : last])
        assert is_packed(index)
        assert_answers(index, keys[:last], f"{last} keys")


@pytest.mark.parametrize("then", ["search", "add", "remove"])
def test_an_add_that_was_interrupted_while_it_packed(then: str, monkeypatch: pytest.MonkeyPatch) -> None:
    index, keys = filled(), vectors(320)
    index.pack()

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(lazy_packing, "extend", interrupted)
        index.add(keys[300:310])
    assert index.ntotal == 310
    if then == "add":
        index.add(keys[310:])
    elif then == "remove":
        index.remove(range(300, 310))
    keys = keys[: index.ntotal]
    assert_same(index.search(keys, 5), fastret.search(keys, keys, 5))
    assert is_packed(index)


def test_packing_starts_from_nothing_too() -> None:
    index = FlatIndex(DIM, first_pass="int8")
    index.pack()
    for last in range(1, 70):
        index.add(vectors(70)[last - 1 : last])
        assert_answers(index, vectors(70)[:last], f"{last} keys")


def test_a_frame_that_was_outgrown_is_chosen_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    packs = counted_packs(monkeypatch)
    index = FlatIndex(DIM)
    index.add(vectors(10))
    index.pack()
    for _ in range(200):
        index.add(vectors(1, seed=1) + 5)
    assert packs == [10, 40, 160]


def test_many_small_adds_to_a_packed_index_move_its_panels_only_a_few_times() -> None:
    index, storages = filled(600), set()
    index.pack()
    for _ in range(1500):
        index.add(vectors(1))
        storages.add(index._contents.storage.packed(index.ntotal).packing.panels.data_ptr())
    assert len(storages) < 10
    assert index.memory()["packed keys"] < 2 * 2100 * (DIM + 20)


def test_removing_drops_the_packed_keys() -> None:
    index = filled()
    index.pack()
    index.remove(299)
    assert not is_packed(index)
    assert_answers(index, vectors(299))


def test_an_add_that_moves_rows_drops_the_packed_keys() -> None:
    index = FlatIndex(DIM)
    index.add(vectors(300)[100:], ids=range(100, 300))
    index.pack()
    index.add(vectors(300)[:100], ids=range(100))
    assert not is_packed(index)
    for _ in range(2):
        assert_answers(index, vectors(300))
        index.pack()


def test_reset_forgets_the_packed_keys() -> None:
    index = filled()
    index.pack()
    index.reset()
    index.add(vectors(20, seed=3))
    assert not is_packed(index)
    assert_answers(index, vectors(20, seed=3))


def test_removing_starts_the_count_of_queries_again() -> None:
    index = filled()
    for start in range(0, 200, 40):
        index.search(vectors(40, seed=1), 3)
        index.remove([start])
        assert not is_packed(index)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda index: pickle.loads(pickle.dumps(index))])
def test_copies_are_packed_indexes_of_their_own(copied) -> None:
    index = filled()
    index.pack()
    other = copied(index)
    assert is_packed(other)
    assert len(pickle.dumps(index)) < sum(index.memory().values()) + 3000  # each part once
    other.add(torch.zeros(1, DIM))
    index.add(torch.ones(1, DIM))
    assert_answers(index, torch.cat([vectors(300), torch.ones(1, DIM)]))
    assert_answers(other, torch.cat([vectors(300), torch.zeros(1, DIM)]))


@pytest.mark.parametrize("in_order", [True, False])
def test_the_first_searches_may_come_from_several_threads(in_order: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    keys, queries = vectors(3000), vectors(40, seed=1)
    want = (*fastret.search(queries, keys, 9), *fastret.range_search(queries, keys, 12.0))
    packs = counted_packs(monkeypatch)

    def search(index: FlatIndex) -> tuple[Tensor, ...]:
        return (*index.search(queries, 9), *index.range_search(queries, 12.0))

    for _ in range(5):
        index = FlatIndex(DIM)
        if in_order:
            index.add(keys)
        else:  # the first search brings the rows into the order of their ids
            for part in reversed(range(0, 3000, 500)):
                index.add(keys[part : part + 500], ids=range(part, part + 500))
        with ThreadPoolExecutor(8) as pool:
            for answer in pool.map(search, [index] * 8):
                assert_same(answer, want)
    assert packs == [3000] * 5


def test_an_unknown_first_pass_is_named() -> None:
    with pytest.raises(
        ValueError, match=r'^FlatIndex: first_pass must be "auto", "int8", "int16" or "float32", got 8$'
    ):
        FlatIndex(8, first_pass=8)  # type: ignore[arg-type]
