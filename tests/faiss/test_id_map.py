"""IndexIDMap and IndexIDMap2 beside those of faiss-cpu."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

import fastret.faiss as ours

theirs = pytest.importorskip("faiss")

BOTH = pytest.mark.parametrize("faiss", [ours, theirs], ids=["ours", "theirs"])
MAPS = pytest.mark.parametrize("name", ["IndexIDMap", "IndexIDMap2"])
FLATS = pytest.mark.parametrize("flat", ["IndexFlatL2", "IndexFlatIP"])


def pair_of_maps(name: str, flat: str, vectors: np.ndarray, ids: np.ndarray) -> tuple[Any, Any]:
    pair = [getattr(faiss, name)(getattr(faiss, flat)(vectors.shape[1])) for faiss in (ours, theirs)]
    for index in pair:
        index.add_with_ids(vectors, ids)
    return pair[0], pair[1]


def assert_same_search(answer: tuple[Any, Any], reference: tuple[Any, Any]) -> None:
    np.testing.assert_array_equal(answer[1], reference[1])
    np.testing.assert_allclose(answer[0], reference[0], rtol=1e-5, atol=1e-4)


@MAPS
@FLATS
@pytest.mark.parametrize("ascending", [True, False])
def test_programs_give_the_same_answers(
    name: str, flat: str, ascending: bool, generator: np.random.Generator, tmp_path: Path
) -> None:
    vectors = generator.standard_normal((60, 8), dtype=np.float32)
    queries = generator.standard_normal((7, 8), dtype=np.float32)
    ids = generator.permutation(np.arange(-20, 400))[:60]
    ids = np.sort(ids) if ascending else ids
    pair = pair_of_maps(name, flat, vectors, ids)
    for step in range(6):
        index, reference = pair
        assert index.ntotal == reference.ntotal
        np.testing.assert_array_equal(ours.vector_to_array(index.id_map), theirs.vector_to_array(reference.id_map))
        for k in (1, 5, 80):
            assert_same_search(index.search(queries, k), reference.search(queries, k))
        chosen = generator.choice(ids, 20, replace=False)
        answers = [
            one.search(queries, 5, params=faiss.SearchParameters(sel=faiss.IDSelectorBatch(chosen)))
            for one, faiss in zip(pair, (ours, theirs), strict=True)
        ]
        assert_same_search(*answers)
        for limits, expected in zip(
            index.range_search(queries, 6.0), reference.range_search(queries, 6.0), strict=True
        ):
            np.testing.assert_allclose(limits, expected, rtol=1e-5)
        gone = chosen[:5] if step % 2 else np.array([], np.int64)
        assert index.remove_ids(gone) == reference.remove_ids(gone)
        more, more_ids = (
            generator.standard_normal((4, 8), dtype=np.float32),
            np.arange(1000 + 4 * step, 1004 + 4 * step),
        )
        for one in pair:
            one.add_with_ids(more, more_ids)
        ours.write_index(index, tmp_path / "ours")
        theirs.write_index(reference, str(tmp_path / "theirs"))
        assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
        pair = ours.read_index(tmp_path / "theirs"), theirs.read_index(str(tmp_path / "ours"))
        assert type(pair[0]) is getattr(ours, name)


@FLATS
def test_of_equal_scores_the_smaller_id_comes_first_also_at_the_boundary_of_k(flat: str) -> None:
    rng = np.random.default_rng(1)
    vectors = rng.integers(0, 2, (500, 5)).astype(np.float32)
    ids = rng.permutation(1000)[:500] - 300
    index = ours.IndexIDMap(getattr(ours, flat)(5))
    index.add_with_ids(vectors, ids)
    queries = rng.integers(0, 3, (9, 5)).astype(np.float32)
    scores = queries @ vectors.T if flat == "IndexFlatIP" else ((queries[:, None] - vectors) ** 2).sum(2)
    for k in (1, 3, 40, 499, 500, 600):
        found_scores, found = index.search(queries, k)
        for q, row in enumerate(scores):
            order = np.lexsort((ids, -row if flat == "IndexFlatIP" else row))[:k]
            np.testing.assert_array_equal(found[q, : len(order)], ids[order])
            np.testing.assert_array_equal(found_scores[q, : len(order)], row[order])
            assert (found[q, len(order) :] == -1).all()


def test_ties_are_sought_in_parts_where_they_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastret.faiss.id_map._WIDE", 64)
    index = ours.IndexIDMap(ours.IndexFlatL2(2))
    index.add_with_ids(np.zeros((300, 2), np.float32), np.arange(300)[::-1].copy())
    for k in (1, 7, 299):
        np.testing.assert_array_equal(index.search(np.zeros((20, 2)), k)[1], np.tile(np.arange(k), (20, 1)))


@BOTH
@MAPS
def test_what_is_refused(faiss: ModuleType, name: str) -> None:
    kind, x = getattr(faiss, name), np.zeros((3, 4), np.float32)
    index = kind(faiss.IndexFlatL2(4))
    with pytest.raises(RuntimeError):
        index.add(x)
    with pytest.raises(AssertionError):
        index.add_with_ids(x, np.arange(2))
    index.add_with_ids(x, np.arange(3))
    with pytest.raises(RuntimeError):
        kind(index)
    with pytest.raises(RuntimeError):
        index.merge_from(faiss.IndexFlatL2(4))
    with pytest.raises(RuntimeError):
        kind(faiss.IndexFlatL2(4)).merge_from(kind(faiss.IndexFlatIP(4)))
    with pytest.raises(TypeError):
        kind(5)
    with pytest.raises(AttributeError):
        index.nprobe = 3
    with pytest.raises(RuntimeError):
        index.sa_encode(x)


@BOTH
def test_only_the_second_kind_reconstructs(faiss: ModuleType) -> None:
    x, ids = np.arange(12, dtype=np.float32).reshape(3, 4), np.array([70, 5, 70])
    first, second = faiss.IndexIDMap(faiss.IndexFlatL2(4)), faiss.IndexIDMap2(faiss.IndexFlatL2(4))
    for index in (first, second):
        index.add_with_ids(x, ids)
    with pytest.raises(RuntimeError):
        first.reconstruct(5)
    with pytest.raises(RuntimeError):
        first.search_and_reconstruct(x, 1)
    with pytest.raises(RuntimeError):
        second.reconstruct(71)
    with pytest.raises(RuntimeError):
        second.check_consistency()
    # Of an id that occurs twice, the last.
    np.testing.assert_array_equal(second.reconstruct_batch(np.array([5, 70])), x[1:])
    np.testing.assert_array_equal(second.reconstruct(5), x[1])
    assert second.remove_ids(np.array([70])) == 2
    second.check_consistency()
    second.construct_rev_map()
    np.testing.assert_array_equal(second.reconstruct_n(5, 1), x[1:2])
    np.testing.assert_array_equal(second.search_and_reconstruct(x[:1], 2)[2][0, 0], x[1])


@BOTH
def test_the_fields_of_both(faiss: ModuleType) -> None:
    flat = faiss.IndexFlatIP(4)
    index = faiss.IndexIDMap(flat)
    assert (index.d, index.metric_type, index.ntotal, index.is_trained, index.own_fields) == (4, 0, 0, True, False)
    index.add_with_ids(np.eye(4, dtype=np.float32), np.arange(10, 14))
    assert (flat.ntotal, index.index.ntotal, index.id_map.at(3), index.sa_code_size()) == (4, 4, 13, 16)
    index.reset()
    assert (index.ntotal, flat.ntotal, index.id_map.size()) == (0, 0, 0)


@BOTH
def test_a_merge_takes_ids_along_and_raises_them(faiss: ModuleType) -> None:
    one, other = faiss.IndexIDMap2(faiss.IndexFlatL2(4)), faiss.IndexIDMap2(faiss.IndexFlatL2(4))
    one.add_with_ids(np.eye(4, dtype=np.float32), np.arange(4))
    other.add_with_ids(2 * np.eye(4, dtype=np.float32), np.arange(4))
    one.merge_from(other, 10)
    assert (one.ntotal, other.ntotal, other.id_map.size()) == (8, 0, 0)
    np.testing.assert_array_equal(one.search(2 * np.eye(4, dtype=np.float32), 1)[1].ravel(), np.arange(10, 14))
    np.testing.assert_array_equal(one.reconstruct(12), [0, 0, 2, 0])


def test_vectors_that_came_without_ids_are_told_of() -> None:
    flat = ours.IndexFlatL2(2)
    index = ours.IndexIDMap(flat)
    flat.add(np.zeros((2, 2)))
    with pytest.raises(RuntimeError, match=r"IndexIDMap\.search: it has 0 ids and its index 2 vectors"):
        index.search(np.zeros((1, 2)), 1)


def test_torch_goes_in_and_comes_out() -> None:
    index = ours.IndexIDMap2(ours.IndexFlatIP(2))
    index.add_with_ids(torch.eye(2), torch.tensor([7, 3]))
    scores, ids = index.search(torch.eye(2), 2)
    assert ids.tolist() == [[7, 3], [3, 7]]
    assert isinstance(scores, torch.Tensor)


def trained_maps(make: Any, generator: np.random.Generator) -> tuple[Any, Any, np.ndarray, np.ndarray]:
    vectors, ids = generator.random((600, 8), dtype=np.float32), generator.permutation(9000)[:600]
    pair = [faiss.IndexIDMap2(make(faiss)) for faiss in (ours, theirs)]
    for index in pair:
        assert index.is_trained == index.index.is_trained
        index.train(vectors)
        assert index.is_trained
        index.add_with_ids(vectors, ids)
    return pair[0], pair[1], vectors, ids


@pytest.mark.parametrize(
    "make",
    [
        lambda faiss: faiss.IndexIVFFlat(faiss.IndexFlatL2(8), 8, 10),
        lambda faiss: faiss.IndexHNSWFlat(8, 8),
        lambda faiss: faiss.IndexScalarQuantizer(8, faiss.ScalarQuantizer.QT_8bit),
        lambda faiss: faiss.IndexRefineFlat(faiss.IndexScalarQuantizer(8, faiss.ScalarQuantizer.QT_4bit)),
    ],
    ids=["ivf", "hnsw", "sq", "refine"],
)
def test_ids_for_other_kinds_of_indexes(make: Any, generator: np.random.Generator) -> None:
    index, reference, vectors, _ = trained_maps(make, generator)
    assert_same_search(index.search(vectors[:50], 5), reference.search(vectors[:50], 5))
    for faiss, one, other in ((ours, index, reference), (theirs, reference, index)):
        held = faiss.deserialize_index((theirs if faiss is ours else ours).serialize_index(other))
        assert_same_search(held.search(vectors[:50], 5), one.search(vectors[:50], 5))


def test_inverted_lists_keep_their_ids_when_others_go(generator: np.random.Generator) -> None:
    """In faiss-cpu the vectors then have each other's ids."""
    index, _, vectors, ids = trained_maps(lambda faiss: faiss.IndexIVFFlat(faiss.IndexFlatL2(8), 8, 10), generator)
    assert index.remove_ids(ids[:40]) == 40
    np.testing.assert_array_equal(index.search(vectors[40:], 1)[1][:, 0], ids[40:])
    index.index.make_direct_map()
    np.testing.assert_array_equal(index.reconstruct(int(ids[77])), vectors[77])
    with pytest.raises(RuntimeError, match="the direct map would keep the numbers"):
        index.remove_ids(ids[50:60])


@BOTH
@MAPS
def test_whole_numbers_may_be_floats(faiss: ModuleType, name: str) -> None:
    index = getattr(faiss, name)(faiss.IndexFlatL2(4))
    index.add_with_ids(np.eye(4, dtype=np.float32), np.array([7.0, 5.0, 3.0, 1.0]))
    np.testing.assert_array_equal(index.search(np.eye(4, dtype=np.float32), 1)[1][:, 0], [7, 5, 3, 1])


@pytest.mark.parametrize("ids", [[1.5, 2.0], [np.nan, 1.0]])
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_ids_that_are_no_whole_numbers_are_refused(ids: list[float]) -> None:
    index = ours.IndexIDMap(ours.IndexFlatL2(4))
    with pytest.raises(TypeError, match=r"IndexIDMap.add_with_ids: ids must be whole numbers, got float64"):
        index.add_with_ids(np.zeros((2, 4), np.float32), np.array(ids))


@pytest.mark.parametrize("binary", [False, True], ids=["float", "binary"])
def test_vectors_that_went_behind_the_ids_are_noticed(binary: bool) -> None:
    held = ours.IndexBinaryFlat(8) if binary else ours.IndexFlatL2(1)
    index = (ours.IndexBinaryIDMap2 if binary else ours.IndexIDMap2)(held)
    rows = np.arange(3)[:, None].astype(np.uint8 if binary else np.float32)
    index.add_with_ids(rows, np.array([4, 4, 2]))
    with pytest.raises(RuntimeError, match="id 4 occurs more than once"):
        index.check_consistency()
    held.reset()
    with pytest.raises(RuntimeError, match="it has 3 ids and its index 0 vectors"):
        index.check_consistency()
    with pytest.raises(RuntimeError, match="add_with_ids: it has 3 ids and its index 0 vectors"):
        index.add_with_ids(rows, np.arange(3))
