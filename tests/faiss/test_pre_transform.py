"""IndexPreTransform beside that of faiss-cpu."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import fastret.faiss as ours

theirs = pytest.importorskip("faiss")

BOTH = pytest.mark.parametrize("faiss", [ours, theirs], ids=["ours", "theirs"])


@pytest.fixture
def vectors(generator: np.random.Generator) -> np.ndarray:
    return generator.standard_normal((200, 10), dtype=np.float32) * np.arange(1, 11, dtype=np.float32)


def make(faiss: ModuleType, flat: str = "IndexFlatL2") -> Any:
    """Centred, then the six principal components. Both transforms have a reverse."""
    index = faiss.IndexPreTransform(faiss.PCAMatrix(10, 6), getattr(faiss, flat)(6))
    index.prepend_transform(faiss.CenteringTransform(10))
    return index


def pair(vectors: np.ndarray, flat: str = "IndexFlatL2") -> tuple[Any, Any]:
    indexes = make(ours, flat), make(theirs, flat)
    for index in indexes:
        index.train(vectors)
        index.add(vectors)
    return indexes


def assert_same(answers: Any, references: Any) -> None:
    for answer, reference in zip(answers, references, strict=True):
        np.testing.assert_allclose(answer, reference, rtol=1e-4, atol=1e-3, strict=True)


@pytest.mark.parametrize("flat", ["IndexFlatL2", "IndexFlatIP"])
def test_answers_are_those_of_faiss(flat: str, vectors: np.ndarray) -> None:
    index, reference = pair(vectors, flat)
    assert (index.d, index.ntotal, index.index.ntotal, index.chain.size()) == (10, 200, 200, 2)
    assert index.metric_type == reference.metric_type
    assert_same(index.search(vectors[:20], 5), reference.search(vectors[:20], 5))
    assert_same(index.range_search(vectors[:20], 40.0), reference.range_search(vectors[:20], 40.0))
    assert_same(index.search_and_reconstruct(vectors[:4], 3), reference.search_and_reconstruct(vectors[:4], 3))
    assert_same([index.reconstruct(7)], [reference.reconstruct(7)])
    assert_same([index.reconstruct_n(5, 9)], [reference.reconstruct_n(5, 9)])
    assert index.sa_code_size() == reference.sa_code_size()
    decoded = [one.sa_decode(one.sa_encode(vectors[:5])) for one in (index, reference)]
    assert_same(decoded[:1], decoded[1:])
    assert index.remove_ids(np.arange(10)) == reference.remove_ids(np.arange(10)) == 10
    assert (index.ntotal, index.index.ntotal) == (190, 190)
    assert_same(index.search(vectors[:20], 5), reference.search(vectors[:20], 5))
    index.reset()
    assert (index.ntotal, index.index.ntotal, index.is_trained) == (0, 0, True)


@BOTH
def test_all_vectors_of_an_inverted_file_come_back_without_a_direct_map(faiss: ModuleType, vectors: np.ndarray) -> None:
    index = faiss.index_factory(10, "PCA10,IVF4,Flat")
    index.train(vectors)
    index.add(vectors)
    np.testing.assert_allclose(index.reconstruct_n(5, 90), vectors[5:95], rtol=1e-3, atol=1e-3)


def test_selectors_reach_the_index_behind(vectors: np.ndarray) -> None:
    index, reference = pair(vectors)
    answers = []
    for one, faiss in ((index, ours), (reference, theirs)):
        plain = faiss.SearchParameters(sel=faiss.IDSelectorRange(3, 7))
        wrapped = faiss.SearchParametersPreTransform(index_params=plain)
        answers += [one.search(vectors[:8], 6, params=params) for params in (plain, wrapped)]
    assert set(answers[0][1].ravel()) == {-1, 3, 4, 5, 6}
    for answer in answers[1:]:
        assert_same(answers[0], answer)


@BOTH
def test_only_what_is_not_trained_learns(faiss: ModuleType, vectors: np.ndarray) -> None:
    pca = faiss.PCAMatrix(10, 6)
    pca.train(vectors[:50])
    before = faiss.vector_to_array(pca.A).copy()
    index = faiss.IndexPreTransform(pca, faiss.IndexScalarQuantizer(6, faiss.ScalarQuantizer.QT_8bit))
    assert not index.is_trained
    with pytest.raises(RuntimeError):
        index.add(vectors)
    index.train(vectors)
    assert index.is_trained
    np.testing.assert_array_equal(faiss.vector_to_array(pca.A), before)
    index.add(vectors)
    assert index.ntotal == 200
    assert faiss.IndexPreTransform(pca, faiss.IndexFlatL2(6)).is_trained


@BOTH
def test_ids_are_given_where_the_index_behind_takes_them(faiss: ModuleType, vectors: np.ndarray) -> None:
    index = faiss.IndexPreTransform(faiss.RandomRotationMatrix(10, 10), faiss.IndexIDMap2(faiss.IndexFlatL2(10)))
    index.train(vectors)
    index.add_with_ids(vectors, np.arange(200) + 1000)
    np.testing.assert_array_equal(index.search(vectors[:9], 1)[1][:, 0], np.arange(9) + 1000)
    np.testing.assert_allclose(index.reconstruct(1003), vectors[3], rtol=1e-4, atol=1e-4)
    with pytest.raises(RuntimeError):
        faiss.IndexPreTransform(faiss.IndexFlatL2(10)).add_with_ids(vectors[:1], np.array([3]))


@BOTH
def test_indexes_with_the_same_chain_merge(faiss: ModuleType, vectors: np.ndarray) -> None:
    rotations = [faiss.RandomRotationMatrix(10, 10) for _ in range(3)]
    for rotation, seed in zip(rotations, (1, 1, 2), strict=True):
        rotation.init(seed)
    indexes = [faiss.IndexPreTransform(rotation, faiss.IndexFlatL2(10)) for rotation in rotations]
    for index in indexes:
        index.add(vectors)
    indexes[0].merge_from(indexes[1])
    assert (indexes[0].ntotal, indexes[1].index.ntotal) == (400, 0)
    with pytest.raises(RuntimeError):
        indexes[0].merge_from(indexes[2])
    with pytest.raises(RuntimeError):
        indexes[0].merge_from(faiss.IndexPreTransform(faiss.IndexFlatL2(10)))


@BOTH
def test_the_chain_is_seen_and_goes_through_pointers(faiss: ModuleType, vectors: np.ndarray) -> None:
    rotation = faiss.RandomRotationMatrix(10, 10)
    rotation.init(1)
    index = faiss.IndexPreTransform(rotation, faiss.IndexFlatL2(10))
    assert index.chain.size() == 1
    seen = faiss.downcast_VectorTransform(index.chain.at(0))
    assert isinstance(seen, faiss.RandomRotationMatrix)
    assert isinstance(faiss.downcast_index(index.index), faiss.IndexFlatL2)
    rotated = faiss.rev_swig_ptr(index.apply_chain(200, faiss.swig_ptr(vectors)), 2000).reshape(200, 10).copy()
    np.testing.assert_array_equal(rotated, rotation.apply(vectors))
    back = np.empty_like(vectors)
    index.reverse_chain(200, faiss.swig_ptr(rotated), faiss.swig_ptr(back))
    np.testing.assert_allclose(back, vectors, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("trained", [True, False])
def test_files_go_both_ways(trained: bool, vectors: np.ndarray, tmp_path: Path) -> None:
    index, reference = pair(vectors) if trained else (make(ours), make(theirs))
    theirs.write_index(reference, str(tmp_path / "theirs"))
    read = ours.read_index(tmp_path / "theirs")
    ours.write_index(read, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "theirs").read_bytes()
    assert (type(read), read.is_trained, read.d, read.chain.size()) == (ours.IndexPreTransform, trained, 10, 2)
    if trained:
        ours.write_index(index, tmp_path / "ours")
        back = theirs.read_index(str(tmp_path / "ours"))
        assert_same(read.search(vectors[:9], 4), reference.search(vectors[:9], 4))
        assert_same(back.search(vectors[:9], 4), index.search(vectors[:9], 4))


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, ours.clone_index, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_copies_are_independent(copied: Callable[[Any], Any], vectors: np.ndarray) -> None:
    index, _ = pair(vectors)
    other = copied(index)
    other.remove_ids(np.arange(50))
    other.add(vectors[:2])
    assert (index.ntotal, other.ntotal) == (200, 152)
    np.testing.assert_array_equal(index.search(vectors[:9], 1)[1][:, 0], np.arange(9))


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (
            lambda: ours.IndexPreTransform(ours.PCAMatrix(8, 4), ours.IndexFlatL2(5)),
            RuntimeError,
            r"IndexPreTransform.prepend_transform: d_out must be d = 5, got PCAMatrix\(d_in=8, d_out=4\)",
        ),
        (lambda: ours.IndexPreTransform(), TypeError, "IndexPreTransform: an index, or .*, are needed, got None"),
        (
            lambda: ours.IndexPreTransform(ours.IndexFlatL2(5), 3),
            TypeError,
            "IndexPreTransform: an index, or a transform and an index, are needed, got 3",
        ),
        (
            lambda: ours.IndexPreTransform(ours.IndexFlatL2(5)).prepend_transform(3),
            TypeError,
            "IndexPreTransform.prepend_transform: a transform is needed, got 3",
        ),
        (
            lambda: make(ours).search(np.ones((1, 10)), 1),
            RuntimeError,
            "IndexPreTransform.search: the index is not trained; call train first",
        ),
    ],
)
def test_it_refuses_in_one_sentence(call: Callable[[], object], error: type, sentence: str) -> None:
    with pytest.raises(error, match=f"^{sentence}$"):
        call()


def test_a_file_that_contradicts_itself_is_refused(vectors: np.ndarray) -> None:
    index, _ = pair(vectors)
    data = ours.serialize_index(index).copy()
    data[4] = 11  # d
    with pytest.raises(
        RuntimeError, match=r"^read_index: memory was .*: transforms .* of vectors of d 11 for IndexFlatL2"
    ):
        ours.deserialize_index(data)
