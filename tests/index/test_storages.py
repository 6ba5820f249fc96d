"""However an index keeps its vectors, it answers with the bits of a plain one: planes, streamed, sharded."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from fastret import FlatIndex
from fastret.index import placement, sharded_storage, streamed_storage
from fastret.ops import planes

METRICS = ("ip", "cosine", "l2")
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
# What a constructor gets; streams and shards are small enough to be many, see the fixture below.
STORAGES: dict[str, dict[str, Any]] = {
    "planes": {"storage": "planes"},
    "host": {"storage": "host"},
    "shards": {"devices": ["cpu"] * 3},
    "shards of planes": {"devices": ["cpu"] * 2, "storage": "planes"},
    "shards on the host": {"devices": ["cpu"] * 2, "storage": "host"},
}


@pytest.fixture(autouse=True, scope="module")
def small_chunks_and_deals() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sharded_storage, "DEALT_ROWS", 8)
        patched.setattr(planes, "KEY_TILE", 8)
        patched.setattr(streamed_storage, "row_blocks", lambda rows, *_: planes.row_blocks(rows, 1, 1))  # a tile each
        yield


@pytest.fixture(params=STORAGES)
def options(request: pytest.FixtureRequest) -> dict[str, Any]:
    return STORAGES[request.param]


def random(n: int, dim: int = 5, seed: int = 0) -> Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


def hard(n: int, dim: int = 5, seed: int = 0) -> Tensor:
    """Many ties, unbounded rows, infinitely bad and NaN ones, zeros."""
    rows = torch.randint(-1, 2, (n, dim), generator=torch.Generator().manual_seed(seed)).float()
    rows[5::17] *= 1e30
    rows[7::19, 3], rows[9::23, 4] = -torch.inf, torch.nan
    return rows


def answers(index: FlatIndex, queries: Tensor) -> list[Tensor]:
    some = index.ids[::3]
    per_query = torch.arange(len(queries) * 4).view(4, len(queries)).T  # not contiguous
    found = [
        *index.search(queries, 3),
        *index.search(queries, index.ntotal + 2),
        *index.search(queries, 6, allowed_ids=some, excluded_ids=per_query),
        *index.search(queries, 6, excluded_ids=some),
        *index.range_search(queries, 0.5),
        *index.range_search(queries, 0.5, allowed_ids=some, excluded_ids=per_query),
        *index.search_self(4),
        index.ids,
        bits(index.vectors),
    ]
    return found + [bits(index.reconstruct(int(id))) for id in index.ids[:3]]


def bits(rows: Tensor) -> Tensor:
    if rows.dtype == torch.float16:  # whose NaN lose their payload
        rows = torch.where(rows.isnan(), torch.nan, rows)
    return rows.contiguous().view(torch.int32 if rows.dtype == torch.float32 else torch.int16)


def assert_same(got: list[Tensor], want: list[Tensor]) -> None:
    for number, (one, other) in enumerate(zip(got, want, strict=True)):
        assert torch.equal(one, other) and one.dtype == other.dtype, f"answer {number}"


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_bits_are_those_of_a_plain_index(options: dict[str, Any], metric: str, dtype: torch.dtype) -> None:
    plain, index = FlatIndex(5, metric, dtype=dtype), FlatIndex(5, metric, dtype=dtype, **options)
    rows, ids = hard(150).clamp(-6e4, 6e4) if dtype == torch.float16 else hard(150), torch.arange(150) * 3 + 1
    for one in (plain, index):
        for part in range(0, 150, 37):
            one.add(rows[part : part + 37], ids[part : part + 37])
    assert_same(answers(index, random(7)), answers(plain, random(7)))


@pytest.mark.parametrize("first_pass", ["auto", "float32"])
def test_shards_on_the_cpu_pack_their_vectors(first_pass: str) -> None:
    plain, index = FlatIndex(40), FlatIndex(40, devices=["cpu"] * 3, first_pass=first_pass)
    for one in (plain, index):
        one.add(random(300, 40))
    index.pack(sample_queries=random(20, 40, seed=2))
    assert (index.memory()["packed keys"] > 0) == (first_pass != "float32")
    for _ in range(2):
        assert_same(answers(index, random(70, 40, seed=1)), answers(plain, random(70, 40, seed=1)))
        for one in (plain, index):
            one.add(random(9, 40, seed=3))


changes = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.lists(st.integers(0, 99), unique=True, max_size=20)),
        st.tuples(st.just("add_default"), st.integers(0, 30)),
        st.tuples(st.just("remove"), st.lists(st.integers(0, 99), max_size=12)),
        st.tuples(st.just("interrupted"), st.integers(1, 20)),
        st.tuples(st.just("search"), st.none()),
    ),
    max_size=8,
)


class Interrupted(BaseException):
    """As KeyboardInterrupt, which ends the tests."""


@settings(deadline=None, max_examples=40)
@given(changes=changes, metric=st.sampled_from(METRICS), name=st.sampled_from(sorted(STORAGES)))
def test_any_sequence_of_changes_gives_the_answers_of_a_plain_index(
    changes: list[tuple[str, Any]], metric: str, name: str
) -> None:
    plain, index = FlatIndex(5, metric), FlatIndex(5, metric, **STORAGES[name])
    for number, (change, argument) in enumerate([*changes, ("search", None)]):
        if change == "search":
            assert_same(answers(index, hard(4, seed=number)), answers(plain, hard(4, seed=number)))
        elif change == "remove":
            assert index.remove(argument) == plain.remove(argument)
        elif change == "interrupted":
            add_but_interrupt(index, hard(argument, seed=number))
        else:
            ids = None
            if change == "add":
                taken = set(plain.ids.tolist())
                ids = [id for id in argument if id not in taken]
            rows = hard(argument if ids is None else len(ids), seed=number)
            for one in (plain, index):
                one.add(rows, ids)


def add_but_interrupt(index: FlatIndex, rows: Tensor) -> None:
    """Everything is written, but the index does not know it yet."""
    with pytest.MonkeyPatch.context() as patched, pytest.raises(Interrupted):
        patched.setattr("fastret.index.contents.roomier", lambda *_: raise_interrupted())
        index.add(rows)


def raise_interrupted() -> None:
    raise Interrupted


def test_kernels_do_not_meet_what_an_interrupted_add_wrote() -> None:
    index = FlatIndex(5, storage="planes")
    index.add(random(10))
    add_but_interrupt(index, random(20))
    index.search(random(1), 3)
    facts = index._contents.storage._planes.facts  # type: ignore[attr-defined]
    assert not facts[:10].isnan().any() and facts[10:].isnan().all()


def test_an_add_that_ran_out_of_memory_leaves_the_index_as_it_was(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    index = FlatIndex(5, **options)
    index.add(random(10))
    want = answers(index, random(3))
    with monkeypatch.context() as patched, pytest.raises(torch.OutOfMemoryError):
        patched.setattr(Tensor, "new_empty", out_of_memory)
        patched.setattr(torch, "empty", out_of_memory)
        index.add(random(100))
    assert_same(answers(index, random(3)), want)
    index.add(random(100))
    assert index.ntotal == 110


def out_of_memory(*_: object, **__: object) -> Tensor:
    raise torch.OutOfMemoryError("CUDA out of memory")


def test_empty_indexes_and_no_dimension(options: dict[str, Any]) -> None:
    for dim, n in ((0, 30), (4, 0), (0, 0)):
        plain, index = FlatIndex(dim, "l2"), FlatIndex(dim, "l2", **options)
        for one in (plain, index):
            one.add(torch.zeros(n, dim))
        queries = torch.zeros(2, dim)
        for got, want in (
            (index.search(queries, 4), plain.search(queries, 4)),
            (index.search(queries[:0], 4), plain.search(queries[:0], 4)),
            (index.range_search(queries, 1.0), plain.range_search(queries, 1.0)),
            (index.search_self(2), plain.search_self(2)),
        ):
            assert_same(list(got), list(want))
        assert index.vectors.shape == (n, dim)


def test_files_are_those_of_a_plain_index(options: dict[str, Any], tmp_path: Path) -> None:
    plain, index = FlatIndex(5, "l2"), FlatIndex(5, "l2", **options)
    for one in (plain, index):
        one.add(hard(150), torch.arange(150) * 3)
        one.remove([3, 30, 300])
    plain.save(tmp_path / "plain")
    index.save(tmp_path / "index")
    metadata = []
    for name in ("plain", "index"):
        with safe_open(tmp_path / name, "pt") as file:
            metadata.append(file.metadata())  # with the checksum
    assert metadata[0] == metadata[1]
    loaded = FlatIndex.load(tmp_path / "plain", **options)
    assert repr(loaded) == repr(index)
    (tmp_path / "plain").unlink()  # nothing of it is needed any more
    assert_same(answers(loaded, random(4)), answers(index, random(4)))
    for one in (loaded, index):
        one.add(hard(20))
    assert_same(answers(loaded, random(4)), answers(index, random(4)))


def test_packed_keys_of_a_file_are_not_needed(options: dict[str, Any], tmp_path: Path) -> None:
    plain = FlatIndex(40)
    plain.add(random(100, 40))
    plain.pack()
    plain.save(tmp_path / "index")
    loaded = FlatIndex.load(tmp_path / "index", **options)
    assert_same(answers(loaded, random(4, 40)), answers(plain, random(4, 40)))


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda index: pickle.loads(pickle.dumps(index))])
def test_copies_are_indexes_of_their_own(copied: Any, options: dict[str, Any]) -> None:
    index = FlatIndex(5, **options)
    index.add(random(40))
    other = copied(index)
    assert repr(other) == repr(index)
    want = answers(index, random(4))
    other.add(torch.zeros(9, 5))
    index.add(torch.ones(9, 5))
    assert torch.equal(other.vectors[40:], torch.zeros(9, 5)) and torch.equal(index.vectors[40:], torch.ones(9, 5))
    index.remove(range(40, 49))
    assert_same(answers(index, random(4)), want)


def test_numpy_goes_in_and_out(options: dict[str, Any]) -> None:
    index = FlatIndex(5, **options)
    index.add(random(40).numpy())
    scores, ids = index.search(random(3).numpy(), 4)
    assert isinstance(scores, np.ndarray) and isinstance(ids, np.ndarray)
    assert ids.tolist() == index.search(random(3), 4)[1].tolist()


def test_several_threads_search_at_once(options: dict[str, Any]) -> None:
    index = FlatIndex(5, **options)
    for part in reversed(range(0, 80, 20)):  # out of order: the first search brings them into it
        index.add(random(80)[part : part + 20], range(part, part + 20))
    plain = FlatIndex(5)
    plain.add(random(80))
    want = [*plain.search(random(9), 7), *plain.range_search(random(9), 0.5)]
    with ThreadPoolExecutor(4) as pool:
        for got in pool.map(lambda _: [*index.search(random(9), 7), *index.range_search(random(9), 0.5)], range(8)):
            assert_same(got, want)


def test_searches_in_parts_are_not_explained_and_planes_are() -> None:
    index = FlatIndex(5, storage="planes")
    index.add(random(40), torch.arange(40) * 2)
    explanation = index.explain_search(random(3), 4)
    assert explanation.answered_by == {"device": 3} and explanation.packed
    assert_same([explanation.scores, explanation.ids], list(index.search(random(3), 4)))
    for options, why in (
        (STORAGES["host"], "vectors in the host's memory are searched chunk by chunk"),
        (STORAGES["shards"], "each shard is a search of its own"),
    ):
        with pytest.raises(ValueError, match=f"^FlatIndex.explain_search: {why}$"):
            FlatIndex(5, **options).explain_search(random(3), 4)


def test_many_small_adds_move_the_vectors_only_a_few_times(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    index, sizes = FlatIndex(5, **options), set()
    for row in random(400).split(1):
        index.add(row)
        sizes.add(index.memory()["vectors"])
    assert len(sizes) < 40
    assert torch.equal(index.vectors, random(400))


def test_the_first_add_gets_what_it_needs_and_no_more(options: dict[str, Any]) -> None:
    index = FlatIndex(64, **options)
    index.add(random(480, 64))
    memory = index.memory()
    assert memory["vectors"] == 480 * 64 * 4 and memory["ids"] == 480 * 8
    assert memory["packed keys"] == (480 * 16 if options.get("storage") == "planes" else 0)
    assert index.memory("device") == {"cpu": sum(memory.values())}
    with pytest.raises(ValueError, match=r"^FlatIndex.memory: by must be .* got 'cpu'$"):
        index.memory("cpu")  # type: ignore[arg-type]


def test_repr_tells_where_the_vectors_are() -> None:
    start = "FlatIndex(dim=5, metric='ip', ntotal=0, dtype=float32, "
    assert repr(FlatIndex(5, storage="planes")) == start + "device='cpu', storage='planes')"
    assert repr(FlatIndex(5, storage="host")) == start + "device='cpu', storage='host')"
    assert repr(FlatIndex(5, devices=["cpu", "cpu"])) == start + "devices=['cpu', 'cpu'])"
    assert repr(FlatIndex(5, **STORAGES["shards on the host"])) == start + "devices=['cpu', 'cpu'], storage='host')"


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"storage": "disk"}, ValueError, 'storage must be "auto", "planes" or "host", got \'disk\''),
        ({"devices": 2}, TypeError, "devices must be a list or range of devices, got 2"),
        ({"devices": "cuda:0"}, TypeError, "devices must be a list or range of devices, got 'cuda:0'"),
        ({"devices": []}, ValueError, r"devices must be one or more, in place of device, got \[\] and 'cpu'"),
        (
            {"devices": ["cpu"], "device": "cuda"},
            ValueError,
            r"devices must be one or more, in place of device, got \['cpu'\] and 'cuda'",
        ),
        ({"devices": ["cpu", "cuda:99"]}, ValueError, "device must be one that torch can use here, got 'cuda:99'"),
        ({"workspace_mib": 0}, ValueError, "workspace_mib must be at least 1, got 0"),
        ({"workspace_mib": 1.5}, TypeError, "workspace_mib must be an int, got float"),
        ({"workspace_mib": True}, TypeError, "workspace_mib must be an int, got bool"),
    ],
)
def test_places_that_cannot_be(arguments: dict[str, Any], error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=f"^FlatIndex: {sentence}$"):
        FlatIndex(5, **arguments)


def test_a_cuda_device_needs_the_cuda_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "cuda_library", "not loaded: fastret was built without it")
    with (
        FakeTensorMode(),  # a device that need not be there
        pytest.raises(
            ValueError,
            match=r"^FlatIndex: device 'cuda' needs the CUDA library of fastret, which is not loaded: fastret was",
        ),
    ):
        FlatIndex(5, device="cuda")


def test_queries_are_where_the_answers_shall_be(options: dict[str, Any]) -> None:
    index = FlatIndex(5, **options)
    with pytest.raises(ValueError, match=r"^FlatIndex.search: queries must be on cpu, got meta$"):
        index.search(torch.empty(2, 5, device="meta"), 3)


@pytest.mark.parametrize("arguments", [{"devices": ["cpu"]}, {"storage": "host"}])
def test_a_mapped_file_stays_on_the_cpu(arguments: dict[str, Any], tmp_path: Path) -> None:
    FlatIndex(5).save(tmp_path / "index")
    with pytest.raises(
        ValueError, match=r"^FlatIndex.load: a mapped file is searched on the CPU, got devices or a storage$"
    ):
        FlatIndex.load(tmp_path / "index", mmap=True, **arguments)
