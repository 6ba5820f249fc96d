"""An index in a file is searched there, shard by shard, with the bits that the index in memory gives."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fastret import FlatIndex

DIM = 40
SHARD_BYTES = 64 * DIM * 4  # of float32: 64 rows
METRICS = ("ip", "cosine", "l2")


def random(n: int, seed: int = 0) -> Tensor:
    return torch.randn(n, DIM, generator=torch.Generator().manual_seed(seed))


def hard_vectors(n: int) -> Tensor:
    """Ties across shards, unbounded rows, infinitely bad and NaN ones."""
    rows = random(n)
    rows[n // 2 : n // 2 + n // 8] = rows[: n // 8]
    rows[5::50] *= 1e30
    rows[7::60, 3], rows[9::70, 4] = -torch.inf, torch.nan
    return rows


def saved(path: Path, n: int = 500, metric: str = "ip", first_pass: str = "int8", packed: bool = True) -> FlatIndex:
    index = FlatIndex(DIM, metric, first_pass=first_pass)
    index.add(hard_vectors(n), torch.arange(n) * 3 + 1)
    if packed:
        index.pack()
    index.save(path)
    return index


def assert_same(got: tuple[Tensor, ...], want: tuple[Tensor, ...]) -> None:
    for one, other in zip(got, want, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("first_pass", ["int8", "int16", "float32", "unpacked"])
def test_the_bits_are_those_of_the_index_in_memory(tmp_path: Path, first_pass: str, metric: str) -> None:
    path, queries = tmp_path / "index", random(20, seed=1)
    packed = first_pass != "unpacked"
    index = saved(path, 500, metric, first_pass if packed else "auto", packed)
    mapped = FlatIndex.load(path, mmap=True, shard_bytes=SHARD_BYTES)
    assert len(list(mapped._contents.storage.shards("test"))) == 8
    threshold = {"ip": 3.0, "cosine": 0.1, "l2": 70.0}[metric]
    filters = {"allowed_ids": index.ids[::3], "excluded_ids": index.search(queries, 5)[1]}
    for k in (0, 1, 10, 200, 600):
        assert_same(mapped.search(queries, k), index.search(queries, k))
        assert_same(mapped.search(queries, k, **filters), index.search(queries, k, **filters))
        assert_same(mapped.search(queries, k, first_pass="int16"), index.search(queries, k))
    assert_same(mapped.range_search(queries, threshold), index.range_search(queries, threshold))
    assert_same(mapped.range_search(queries, threshold, **filters), index.range_search(queries, threshold, **filters))
    assert_same(mapped.search_self(4), index.search_self(4))
    assert_same((mapped.ids, mapped.reconstruct(31)), (index.ids, index.reconstruct(31)))


@pytest.mark.parametrize("shard_bytes", [1, 96 * DIM * 4, 1 << 30])
def test_any_size_of_shard_gives_the_same_bits(tmp_path: Path, shard_bytes: int) -> None:
    index = saved(tmp_path / "index", 333)
    mapped = FlatIndex.load(tmp_path / "index", mmap=True, shard_bytes=shard_bytes)
    assert_same(mapped.search(random(9), 50), index.search(random(9), 50))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_16_bit_vectors(tmp_path: Path, dtype: torch.dtype) -> None:
    index = FlatIndex(DIM, "l2", dtype=dtype)
    index.add(random(300))
    index.pack()
    index.save(tmp_path / "index")
    mapped = FlatIndex.load(tmp_path / "index", mmap=True, shard_bytes=SHARD_BYTES)
    assert repr(mapped) == repr(index)
    assert_same(mapped.search(random(70, seed=1), 9), index.search(random(70, seed=1), 9))


def test_an_infinitely_bad_key_of_a_later_shard_comes_before_padding(tmp_path: Path) -> None:
    index = FlatIndex(2)
    index.add(torch.tensor([[torch.nan, 0.0]] * 32 + [[-torch.inf, 0.0], [1.0, 0.0]]))
    index.save(tmp_path / "index")
    mapped = FlatIndex.load(tmp_path / "index", mmap=True, shard_bytes=1)
    scores, ids = mapped.search(torch.ones(1, 2), 3)
    assert ids.tolist() == [[33, 32, -1]]
    assert scores.tolist() == [[1.0, -torch.inf, -torch.inf]]


def test_empty_indexes_and_no_dimension(tmp_path: Path) -> None:
    for dim, n in ((0, 3), (4, 0), (0, 0)):
        index = FlatIndex(dim, "l2")
        index.add(torch.zeros(n, dim))
        index.save(tmp_path / "index")
        mapped = FlatIndex.load(tmp_path / "index", mmap=True)
        queries = torch.zeros(2, dim)
        assert_same(mapped.search(queries, 4), index.search(queries, 4))
        assert_same(mapped.range_search(queries, 1.0), index.range_search(queries, 1.0))
        assert_same(mapped.search_self(1), index.search_self(1))
        assert_same(mapped.search(queries[:0], 4), index.search(queries[:0], 4))


def test_the_vectors_stay_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "index"
    saved(path)
    mapped = FlatIndex.load(path, mmap=True)
    packing = mapped._contents.storage.packed(500).packing
    in_memory = [
        [int(end, 16) for end in line.split()[0].split("-")] + line.split()[1:2]
        for line in Path("/proc/self/maps").read_text().splitlines()
        if line.endswith(str(path))
    ]
    for tensor in (mapped.vectors, mapped.ids, packing.panels, packing.facts):
        # Shared and read-only: pages that the system may drop, for which it reserves no memory.
        assert any(begin <= tensor.data_ptr() < end and rights == "r--s" for begin, end, rights in in_memory)


def test_numpy_in_numpy_out(tmp_path: Path) -> None:
    index = saved(tmp_path / "index")
    mapped = FlatIndex.load(tmp_path / "index", mmap=True, shard_bytes=SHARD_BYTES)
    queries = random(6, seed=1)
    for got, want in zip(mapped.search(queries.numpy(), 5), index.search(queries, 5), strict=True):
        assert torch.equal(torch.from_numpy(got), want)


def test_it_cannot_be_changed(tmp_path: Path) -> None:
    path = tmp_path / "index"
    index = saved(path, packed=False)
    mapped = FlatIndex.load(path, mmap=True)
    for name, change in {
        "add": lambda: mapped.add(random(1)),
        "remove": lambda: mapped.remove(1),
        "reset": lambda: mapped.reset(),
        "pack": lambda: mapped.pack(),
    }.items():
        sentence = f"FlatIndex.{name}: an index of a mapped file cannot be changed; load {path} without mmap"
        with pytest.raises(ValueError, match=f"^{sentence}$"):
            change()
    mapped.search(random(100), 3)
    assert mapped._contents.storage.packed(500) is None
    index.pack()
    index.save(path)
    FlatIndex.load(path, mmap=True).pack()  # it is packed already


def test_it_is_not_explained(tmp_path: Path) -> None:
    saved(tmp_path / "index")
    with pytest.raises(ValueError, match=r"^FlatIndex.explain_search: a mapped file is searched shard by shard; load"):
        FlatIndex.load(tmp_path / "index", mmap=True).explain_search(random(1), 3)


def test_memory_holds_nothing_of_what_is_mapped(tmp_path: Path) -> None:
    index = saved(tmp_path / "index")
    memory = FlatIndex.load(tmp_path / "index", mmap=True).memory()
    assert memory == {"vectors": 0, "ids": 0, "packed keys": 0, "mapped": sum(index.memory().values())}


@pytest.mark.parametrize(
    ("shard_bytes", "error", "sentence"),
    [
        (2.5, TypeError, "must be an int, got float"),
        (True, TypeError, "must be an int, got bool"),
        (0, ValueError, "must be at least 1, got 0"),
        (-5, ValueError, "must be at least 1, got -5"),
    ],
)
def test_bytes_of_a_shard_that_are_none(
    shard_bytes: object, error: type[Exception], sentence: str, tmp_path: Path
) -> None:
    saved(tmp_path / "index")
    with pytest.raises(error, match=f"^FlatIndex.load: shard_bytes {sentence}$"):
        FlatIndex.load(tmp_path / "index", mmap=True, shard_bytes=shard_bytes)


def test_a_mapped_index_is_saved_elsewhere_and_in_place(tmp_path: Path) -> None:
    path = tmp_path / "index"
    index = saved(path)
    mapped = FlatIndex.load(path, mmap=True)
    for target in (tmp_path / "other", path):
        mapped.save(target)
        assert_same(FlatIndex.load(target).search(random(9), 5), index.search(random(9), 5))
    assert_same(mapped.search(random(9), 5), index.search(random(9), 5))


def test_only_verify_reads_the_checksum(tmp_path: Path) -> None:
    path = tmp_path / "index"
    saved(path)
    FlatIndex.load(path, mmap=True, verify=True)
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    assert FlatIndex.load(path, mmap=True).ntotal == 500
    with pytest.raises(ValueError, match="was altered, its checksum does not match its contents"):
        FlatIndex.load(path, mmap=True, verify=True)


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "index"
    saved(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=f"^FlatIndex.load: {path} is truncated, altered or no index file"):
        FlatIndex.load(path, mmap=True)


def test_pickles_carry_the_path_alone(tmp_path: Path) -> None:
    index = saved(tmp_path / "index")
    pickled = pickle.dumps(FlatIndex.load(tmp_path / "index", mmap=True, shard_bytes=SHARD_BYTES))
    assert len(pickled) < 1000
    mapped = pickle.loads(pickled)
    assert isinstance(mapped, FlatIndex)
    assert len(list(mapped._contents.storage.shards("test"))) == 8
    assert_same(mapped.search(random(9), 5), index.search(random(9), 5))


def test_several_threads_search_it_at_once(tmp_path: Path) -> None:
    index = saved(tmp_path / "index")
    mapped = FlatIndex.load(tmp_path / "index", mmap=True, shard_bytes=SHARD_BYTES)
    want = index.search(random(30), 5)
    with ThreadPoolExecutor(4) as pool:
        for got in pool.map(lambda _: mapped.search(random(30), 5), range(8)):
            assert_same(got, want)


@pytest.mark.parametrize(("progress", "shown"), [(True, True), (False, False), (None, False)])  # None: no terminal here
def test_a_bar_counts_the_shards(
    tmp_path: Path, progress: bool | None, shown: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    saved(tmp_path / "index")
    mapped = FlatIndex.load(tmp_path / "index", mmap=True, shard_bytes=SHARD_BYTES, progress=progress)
    mapped.search(random(3), 5)
    mapped.range_search(random(3), 5.0)
    bar = capsys.readouterr().err
    assert ("search:" in bar and "range search:" in bar and "/8" in bar) == shown
    assert shown or not bar


def test_a_file_is_mapped_for_the_cpu_only(tmp_path: Path) -> None:
    saved(tmp_path / "index")
    with pytest.raises(ValueError, match=r"^FlatIndex.load: a mapped file is searched on the CPU, got device 'cuda'$"):
        FlatIndex.load(tmp_path / "index", "cuda", mmap=True)
