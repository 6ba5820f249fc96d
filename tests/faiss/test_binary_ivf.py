"""IndexBinaryIVF beside that of faiss-cpu: the same centroids, lists, answers and files."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hamming_neighbours import assert_same_neighbours, assert_same_range

import fastret.faiss as ours

theirs = pytest.importorskip("faiss")

BOTH = pytest.mark.parametrize("faiss", [ours, theirs], ids=["ours", "theirs"])
BITS, NLIST = 64, 10


@pytest.fixture
def vectors(generator: np.random.Generator) -> np.ndarray:
    return generator.integers(0, 256, (600, BITS // 8), dtype=np.uint8)


@pytest.fixture
def queries(generator: np.random.Generator) -> np.ndarray:
    return generator.integers(0, 256, (13, BITS // 8), dtype=np.uint8)


def trained(faiss: ModuleType, vectors: np.ndarray, add: bool = True) -> Any:
    index = faiss.index_binary_factory(BITS, f"BIVF{NLIST}")
    index.train(vectors)
    if add:
        index.add(vectors)
    return index


def test_training_finds_the_same_centroids(vectors: np.ndarray) -> None:
    pair = [trained(faiss, vectors, add=False) for faiss in (ours, theirs)]
    quantizers = [
        faiss.downcast_IndexBinary(index.quantizer) for faiss, index in zip((ours, theirs), pair, strict=True)
    ]
    np.testing.assert_array_equal(quantizers[0].reconstruct_n(0, NLIST), quantizers[1].reconstruct_n(0, NLIST))


@pytest.mark.parametrize("nprobe", [1, 3, NLIST, 50])
def test_search(nprobe: int, vectors: np.ndarray, queries: np.ndarray) -> None:
    index, reference = trained(ours, vectors), trained(theirs, vectors)
    index.nprobe = reference.nprobe = nprobe
    for k in (1, 10, 700):
        assert_same_neighbours(index.search(queries, k), reference.search(queries, k))


@pytest.mark.parametrize("max_codes", [1, 60, 150])
def test_max_codes_ends_a_search(max_codes: int, vectors: np.ndarray, queries: np.ndarray) -> None:
    index, reference = trained(ours, vectors), trained(theirs, vectors)
    index.max_codes = reference.max_codes = max_codes
    index.nprobe = reference.nprobe = 5
    distances, lists = index.quantizer.search(queries, 5)  # FAISS orders lists of equal distance otherwise
    assert_same_neighbours(index.search(queries, 30), reference.search_preassigned(queries, 30, lists, distances))


def test_parameters_of_one_search(vectors: np.ndarray, queries: np.ndarray) -> None:
    answers = [
        trained(faiss, vectors).search(queries, 9, params=faiss.SearchParametersIVF(nprobe=4))
        for faiss in (ours, theirs)
    ]
    assert_same_neighbours(*answers)
    index = trained(ours, vectors)
    even = ours.IDSelectorBatch(np.arange(0, 600, 2))
    _, ids = index.search(queries, 9, params=ours.SearchParametersIVF(nprobe=NLIST, sel=even))
    assert (ids % 2 == 0).all()
    np.testing.assert_array_equal(ids, 2 * ours.knn_hamming(queries, vectors[::2].copy(), 9)[1])


def test_preassigned_lists(vectors: np.ndarray, queries: np.ndarray) -> None:
    answers, ranges = [], []
    for faiss in (ours, theirs):
        index = trained(faiss, vectors)
        index.nprobe = 3
        coarse, lists = index.quantizer.search(queries, 3)
        lists[::2, 1] = -1
        answers.append(index.search_preassigned(queries, 9, lists, coarse))
        ranges.append(index.range_search_preassigned(queries, 20, lists, coarse))
        with pytest.raises(AssertionError):
            index.search_preassigned(queries, 9, lists[:, :2], coarse[:, :2])
    assert_same_neighbours(*answers)
    assert ranges[0][0][-1] > 0


def test_ranges_hold_what_is_near_in_the_lists(vectors: np.ndarray, queries: np.ndarray) -> None:
    index, exact = trained(ours, vectors), ours.IndexBinaryFlat(BITS)
    exact.add(vectors)
    index.nprobe = NLIST
    assert_same_range(index.range_search(queries, 25), exact.range_search(queries, 25))


@pytest.mark.parametrize("hashed", [False, True])
def test_ids_of_ones_own_and_removal(hashed: bool, vectors: np.ndarray, queries: np.ndarray) -> None:
    ids = np.arange(600)[::-1].copy() * 5 - 40
    pair = [trained(faiss, vectors, add=False) for faiss in (ours, theirs)]
    for index, faiss in zip(pair, (ours, theirs), strict=True):
        if hashed:
            index.set_direct_map_type(faiss.DirectMap.Hashtable)
        index.add_with_ids(vectors, ids)
        index.nprobe = 4
        if hashed:
            np.testing.assert_array_equal(index.reconstruct(int(ids[17])), vectors[17])
    assert_same_neighbours(pair[0].search(queries, 9), pair[1].search(queries, 9))
    gone = ids[::3].copy()
    removed = [index.remove_ids(faiss.IDSelectorArray(gone)) for index, faiss in zip(pair, (ours, theirs), strict=True)]
    assert removed[0] == removed[1] == 200
    assert pair[0].ntotal == pair[1].ntotal
    assert_same_neighbours(pair[0].search(queries, 9), pair[1].search(queries, 9))


def test_vectors_come_back(vectors: np.ndarray) -> None:
    index = trained(ours, vectors)
    np.testing.assert_array_equal(index.reconstruct_n(5, 7), vectors[5:12])
    with pytest.raises(RuntimeError, match="there is no direct map"):
        index.reconstruct(3)
    index.make_direct_map()
    np.testing.assert_array_equal(index.reconstruct(3), vectors[3])
    _, ids, found = index.search_and_reconstruct(vectors[:4], 3)
    np.testing.assert_array_equal(found, vectors[ids])


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("added", [0, 7, 600])
def test_files_both_ways(added: int, mapped: bool, vectors: np.ndarray, queries: np.ndarray, tmp_path: Path) -> None:
    pair = [trained(faiss, vectors, add=False) for faiss in (ours, theirs)]
    for index in pair:
        index.add(vectors[:added])
        index.nprobe = 3
        if mapped:
            index.make_direct_map()
    ours.write_index_binary(pair[0], tmp_path / "ours")
    theirs.write_index_binary(pair[1], str(tmp_path / "theirs"))
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
    index, reference = ours.read_index_binary(tmp_path / "theirs"), theirs.read_index_binary(str(tmp_path / "ours"))
    assert_same_neighbours(index.search(queries, 5), reference.search(queries, 5))
    for one in (index, reference):
        one.add(vectors[:50])
    assert_same_neighbours(index.search(queries, 5), reference.search(queries, 5))


def test_under_ids(vectors: np.ndarray, queries: np.ndarray) -> None:
    """Of equal distances the smaller of the outer ids is first."""
    ids = np.arange(600)[::-1].copy() * 5 - 40
    pair = [faiss.index_binary_factory(BITS, f"IDMap,BIVF{NLIST}") for faiss in (ours, theirs)]
    for index in pair:
        index.train(vectors)
        index.add_with_ids(vectors, ids)
    assert_same_neighbours(pair[0].search(queries, 9), pair[1].search(queries, 9))


def test_merging(vectors: np.ndarray, queries: np.ndarray) -> None:
    pair = []
    for faiss in (ours, theirs):
        index = trained(faiss, vectors)
        other = faiss.clone_binary_index(index)
        index.merge_from(other, 1000)
        assert other.ntotal == 0
        pair.append(index)
    assert pair[0].ntotal == pair[1].ntotal == 1200
    assert_same_neighbours(pair[0].search(queries, 9), pair[1].search(queries, 9))
    pair[0].reset()
    assert pair[0].ntotal == 0
    assert (pair[0].search(queries, 2)[1] == -1).all()


def test_a_graph_as_the_quantizer(vectors: np.ndarray, queries: np.ndarray) -> None:
    index = ours.index_binary_factory(BITS, f"BIVF{NLIST}_HNSW8")
    index.train(vectors)
    index.add(vectors)
    index.nprobe = NLIST
    exact = ours.knn_hamming(queries, vectors, 5)
    np.testing.assert_array_equal(index.search(queries, 5)[0], exact[0])


@BOTH
def test_bad_arguments(faiss: ModuleType, vectors: np.ndarray) -> None:
    with pytest.raises(RuntimeError):
        faiss.IndexBinaryIVF(faiss.IndexBinaryFlat(16), BITS, NLIST)
    quantizer = faiss.IndexBinaryFlat(BITS)
    index = faiss.IndexBinaryIVF(quantizer, BITS, NLIST)
    assert not index.is_trained
    with pytest.raises(RuntimeError):
        index.add(vectors)
    with pytest.raises(RuntimeError):
        index.train(vectors[:5])
    index = trained(faiss, vectors)
    index.nprobe = 0
    with pytest.raises(RuntimeError):
        index.search(vectors, 1)
    index.nprobe = 1
    with pytest.raises(RuntimeError):
        index.search(vectors, 1, params=faiss.SearchParameters())
    index.make_direct_map()
    with pytest.raises(RuntimeError):
        index.remove_ids(np.arange(3))
