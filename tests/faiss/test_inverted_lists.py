"""Inverted lists by themselves: in memory, on disk, and made of others, beside faiss-cpu."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import fastret.faiss as ours
from fastret.faiss.ivf import inverted_lists

theirs = pytest.importorskip("faiss")

NLIST, CODE_SIZE, D = 6, 5, 8


def contents(lists: Any, module: Any = ours) -> list[tuple[list[int], list[int]]]:
    """The ids and the bytes of each list."""
    found = []
    for number in range(lists.nlist):
        size = lists.list_size(number)
        ids = module.rev_swig_ptr(lists.get_ids(number), size).tolist() if size else []
        codes = module.rev_swig_ptr(lists.get_codes(number), size * lists.code_size).tolist() if size else []
        found.append((ids, codes))
    return found


def write_at_random(lists: Any, module: Any, steps: int = 60) -> None:
    """The same entries for every module: added, overwritten and cut."""
    generator = np.random.default_rng(3)
    for step in range(steps):
        number, n = int(generator.integers(NLIST)), int(generator.integers(1, 9))
        ids = generator.integers(0, 10**12, n)
        codes = generator.integers(0, 256, (n, lists.code_size), dtype=np.uint8)
        size = lists.list_size(number)
        if step % 5 == 4 and size >= n:
            lists.update_entries(number, size - n, n, module.swig_ptr(ids), module.swig_ptr(codes))
        elif step % 7 == 6:
            lists.resize(number, size // 2)
        else:
            assert lists.add_entries(number, n, module.swig_ptr(ids), module.swig_ptr(codes)) == size


def filled(module: Any, seed: int = 0) -> Any:
    lists = module.ArrayInvertedLists(NLIST, CODE_SIZE)
    generator = np.random.default_rng(seed)
    for number in (0, 2, 3):
        n = number + 2
        codes = generator.integers(0, 256, (n, CODE_SIZE), dtype=np.uint8)
        lists.add_entries(number, n, module.swig_ptr(np.arange(n) + 10 * seed), module.swig_ptr(codes))
    return lists


def test_entries_are_added_overwritten_and_cut_as_in_faiss(tmp_path: Path) -> None:
    reference = theirs.ArrayInvertedLists(NLIST, CODE_SIZE)
    write_at_random(reference, theirs)
    wanted = contents(reference, theirs)
    for lists in (
        ours.ArrayInvertedLists(NLIST, CODE_SIZE),
        ours.OnDiskInvertedLists(NLIST, CODE_SIZE, str(tmp_path / "lists")),
    ):
        write_at_random(lists, ours)
        assert contents(lists) == wanted
        assert lists.compute_ntotal() == reference.compute_ntotal()
        assert lists.imbalance_factor() == pytest.approx(reference.imbalance_factor())
        assert lists.get_single_id(0, 1) == reference.get_single_id(0, 1)
        assert [lists.is_empty(i) for i in range(NLIST)] == [reference.is_empty(i) for i in range(NLIST)]
        lists.reset()
        assert lists.compute_ntotal() == 0 and all(not ids for ids, _ in contents(lists))


def test_the_arena_keeps_lists_apart() -> None:
    lists = ours.ArrayInvertedLists(3, 1)
    for step in range(200):
        lists.add_entry(step % 3, step, np.array([step], np.uint8))
    for number, (ids, codes) in enumerate(contents(lists)):
        assert ids == list(range(number, 200, 3)) and codes == ids
    assert len(lists._ids) < 8 * 200


def test_lists_on_disk_never_overlap(tmp_path: Path) -> None:
    lists = ours.OnDiskInvertedLists(NLIST, CODE_SIZE, str(tmp_path / "lists"))
    write_at_random(lists, ours)
    used = [(offset, offset + room * (CODE_SIZE + 8)) for _, room, offset in lists._table.tolist() if room]
    spans = sorted(used + [(offset, offset + size) for offset, size in lists._slots])
    ends = [end for _, end in spans]
    assert [start for start, _ in spans] == [0, *ends[:-1]]  # nothing is lost either
    assert ends[-1] == lists.totsize == (tmp_path / "lists").stat().st_size


def vectors() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((400, D), dtype=np.float32)


def trained(module: Any) -> Any:
    index = module.IndexIVFFlat(module.IndexFlatL2(D), D, NLIST)
    index.cp.min_points_per_centroid = 1
    index.train(vectors())
    index.nprobe = 3
    return index


def on_disk(module: Any, folder: Path) -> Any:
    """An index with its lists on disk, merged from two shards, by the steps of contrib.ondisk."""
    for shard in (0, 1):
        index = trained(module)
        index.add_with_ids(vectors()[shard::2], np.arange(shard, 400, 2))
        module.write_index(index, str(folder / f"shard{shard}"))
    sources = module.InvertedListsPtrVector()
    shards = [module.read_index(str(folder / f"shard{shard}"), module.IO_FLAG_MMAP) for shard in (0, 1)]
    for shard in shards:
        sources.push_back(shard.invlists)
        shard.own_invlists = False
    index = trained(module)
    lists = module.OnDiskInvertedLists(index.nlist, index.code_size, str(folder / "lists.ivfdata"))
    index.ntotal = lists.merge_from_multiple(sources.data(), sources.size())
    index.replace_invlists(lists, True)
    lists.this.disown()
    module.write_index(index, str(folder / "index"))
    return index


@pytest.mark.parametrize("writer", [ours, theirs])
def test_on_disk_files_both_ways(writer: Any, tmp_path: Path) -> None:
    whole = trained(theirs)
    whole.add(vectors())
    wanted = whole.search(vectors()[:20], 7)
    on_disk(writer, tmp_path)
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("index", "lists.ivfdata"):
        (moved / name).write_bytes((tmp_path / name).read_bytes())
    for module in (ours, theirs):
        for folder, flags in ((tmp_path, 0), (moved, module.IO_FLAG_ONDISK_SAME_DIR | module.IO_FLAG_READ_ONLY)):
            index = module.read_index(str(folder / "index"), flags)
            assert index.ntotal == 400
            scores, ids = index.search(vectors()[:20], 7)
            assert np.allclose(scores, wanted[0], rtol=1e-5, atol=1e-5) and np.array_equal(ids, wanted[1])
    with pytest.raises(RuntimeError, match="read as read-only"):
        index = ours.read_index(str(moved / "index"), ours.IO_FLAG_ONDISK_SAME_DIR | ours.IO_FLAG_READ_ONLY)
        index.add(vectors())


def test_lists_on_disk_grow_and_come_back(tmp_path: Path) -> None:
    index = trained(ours)
    index.replace_invlists(ours.OnDiskInvertedLists(NLIST, 4 * D, str(tmp_path / "lists")))
    in_memory = trained(ours)
    for one in (index, in_memory):
        one.add(vectors()[:150])
        one.remove_ids(np.arange(0, 150, 4))
        one.add_with_ids(vectors()[150:], np.arange(150, 400))
    ours.write_index(index, str(tmp_path / "index"))
    for one in (index, ours.read_index(str(tmp_path / "index"))):
        for got, want in zip(one.search(vectors(), 5), in_memory.search(vectors(), 5), strict=True):
            assert np.array_equal(got, want)
    continued = theirs.read_index(str(tmp_path / "index"))
    continued.add_with_ids(vectors(), np.arange(400) + 1000)
    assert np.array_equal(continued.search(vectors(), 1)[1][:, 0] % 1000, np.arange(400))
    (tmp_path / "lists").unlink()
    with pytest.raises(RuntimeError, match="could not map"):
        ours.read_index(str(tmp_path / "index"))
    assert ours.read_index(str(tmp_path / "index"), ours.IO_FLAG_SKIP_IVF_DATA).ntotal == index.ntotal


def test_searches_of_copied_lists_go_part_after_part(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    index = on_disk(ours, tmp_path)
    wanted = index.search(vectors(), 6), index.range_search(vectors(), 3.0)
    monkeypatch.setattr(inverted_lists, "_GATHERED_BYTES", 5000)
    assert len(list(index.invlists._arenas(torch.arange(40)[:, None] % NLIST))) > 20
    assert len(list(index.invlists._arenas(torch.zeros(40, 1, dtype=torch.int64)))) == 1  # all visit the same list
    for got, want in zip((index.search(vectors(), 6), index.range_search(vectors(), 3.0)), wanted, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(got, want, strict=True))


def of_others(module: Any) -> dict[str, Any]:
    first, second = filled(module, 1), filled(module, 2)
    second.resize(3, 0)
    second.add_entry(4, 99, module.swig_ptr(np.arange(CODE_SIZE, dtype=np.uint8)))
    both = module.InvertedListsPtrVector()
    both.push_back(first)
    both.push_back(second)
    made = {
        "side by side": module.HStackInvertedLists(2, both.data()),
        "one after the other": module.VStackInvertedLists(2, both.data()),
        "slice": module.SliceInvertedLists(first, 2, 5),
        "masked": module.MaskedInvertedLists(first, second),
        "stop words": module.StopWordsInvertedLists(first, 5),
    }
    return {name: contents(lists, module) for name, lists in made.items()} | {"kept": [first, second, made]}


def test_lists_made_of_others() -> None:
    mine, wanted = of_others(ours), of_others(theirs)
    for name, lists in wanted.items():
        assert name == "kept" or mine[name] == lists, name
    for lists in mine["kept"][2].values():
        with pytest.raises(RuntimeError, match="cannot be written to"):
            lists.add_entry(0, 1, np.zeros(CODE_SIZE, np.uint8))


def test_an_index_searches_stacked_lists() -> None:
    whole, parts = trained(ours), [trained(ours), trained(ours)]
    whole.add(vectors())
    for shard, index in enumerate(parts):
        index.add_with_ids(vectors()[shard::2], np.arange(shard, 400, 2))
    index = trained(ours)
    index.replace_invlists(ours.HStackInvertedLists(2, [part.invlists for part in parts]))
    for got, want in zip(index.search(vectors(), 5), whole.search(vectors(), 5), strict=True):
        assert np.array_equal(got, want)


def test_merging_shifts_ids_and_empties_the_other() -> None:
    for module in (ours, theirs):
        first, second = filled(module, 1), filled(module, 2)
        first.merge_from(second, 1000)
        assert second.compute_ntotal() == 0
        if module is ours:
            merged = contents(first)
        else:
            assert merged == contents(first, theirs)


def test_lists_alone_in_files_both_ways(tmp_path: Path) -> None:
    ours.write_InvertedLists(filled(ours), str(tmp_path / "ours"))
    writer = theirs.FileIOWriter(str(tmp_path / "theirs"))
    theirs.write_InvertedLists(filled(theirs), writer)
    del writer
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
    wanted = contents(filled(ours))
    assert contents(ours.read_InvertedLists(str(tmp_path / "theirs"))) == wanted
    mapped = ours.read_InvertedLists(str(tmp_path / "theirs"), ours.IO_FLAG_MMAP)
    assert contents(mapped) == wanted
    with pytest.raises(RuntimeError, match="read as read-only"):
        mapped.add_entry(0, 1, np.zeros(CODE_SIZE, np.uint8))


def test_mistakes_are_told() -> None:
    lists = filled(ours)
    with pytest.raises(RuntimeError, match="there is no list 6 among 6"):
        lists.list_size(6)
    with pytest.raises(RuntimeError, match="list 0 holds 2 vectors, 2 from 1 on were given"):
        lists.update_entries(0, 1, 2, [1, 2], np.zeros((2, CODE_SIZE), np.uint8))
    with pytest.raises(RuntimeError, match="must be of one nlist and code_size"):
        ours.HStackInvertedLists(2, [lists, ours.ArrayInvertedLists(2, 1)])
    with pytest.raises(RuntimeError, match="the lists must be empty"):
        disk = ours.OnDiskInvertedLists(NLIST, CODE_SIZE, "unused")
        disk.totsize = 1
        disk.merge_from_1(lists)
