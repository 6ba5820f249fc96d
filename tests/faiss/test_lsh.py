"""IndexLSH beside that of faiss-cpu: the same rotation, thresholds, codes, answers and files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hamming_neighbours import assert_same_neighbours

import fastret.faiss as ours

theirs = pytest.importorskip("faiss")

KINDS = pytest.mark.parametrize(
    ("nbits", "rotate", "thresholds"),
    [(24, False, False), (17, False, True), (40, True, True), (16, True, False), (8, True, True), (24, False, True)],
)


@pytest.fixture
def vectors(generator: np.random.Generator) -> np.ndarray:
    return generator.standard_normal((300, 24), dtype=np.float32)


def pair_of(arguments: tuple[Any, ...], vectors: np.ndarray) -> tuple[Any, Any]:
    pair = [faiss.IndexLSH(24, *arguments) for faiss in (ours, theirs)]
    for index in pair:
        index.train(vectors)
        index.add(vectors)
    return pair[0], pair[1]


@KINDS
def test_codes_and_answers(nbits: int, rotate: bool, thresholds: bool, vectors: np.ndarray) -> None:
    index, reference = pair_of((nbits, rotate, thresholds), vectors)
    np.testing.assert_array_equal(ours.vector_to_array(index.codes), theirs.vector_to_array(reference.codes))
    for k in (1, 7, 400):
        distances, ids = index.search(vectors[:9], k)
        expected, expected_ids = reference.search(vectors[:9], k)
        if k < len(vectors):
            assert_same_neighbours((distances, ids), (expected, expected_ids))
        np.testing.assert_array_equal(ids < 0, expected_ids < 0)
    np.testing.assert_array_equal(index.sa_encode(vectors), reference.sa_encode(vectors))
    if rotate or nbits == 24:  # FAISS leaves the dimensions without a bit as they are in memory
        np.testing.assert_allclose(
            index.sa_decode(index.sa_encode(vectors)), reference.sa_decode(reference.sa_encode(vectors)), atol=1e-5
        )
        np.testing.assert_allclose(index.reconstruct(3), reference.reconstruct(3), atol=1e-5)


@KINDS
def test_files_both_ways(nbits: int, rotate: bool, thresholds: bool, vectors: np.ndarray, tmp_path: Path) -> None:
    index, reference = pair_of((nbits, rotate, thresholds), vectors)
    ours.write_index(index, tmp_path / "ours")
    theirs.write_index(reference, str(tmp_path / "theirs"))
    assert (tmp_path / "ours").stat().st_size == (tmp_path / "theirs").stat().st_size
    read, other = ours.read_index(tmp_path / "theirs"), theirs.read_index(str(tmp_path / "ours"))
    assert (read.nbits, read.rotate_data, read.train_thresholds) == (nbits, rotate, thresholds)
    for one in (read, other):
        one.add(vectors[:20])
    assert_same_neighbours(read.search(vectors[:9], 5), other.search(vectors[:9], 5))


def test_an_even_number_of_vectors_has_medians_between_two(vectors: np.ndarray) -> None:
    for n in (100, 101):
        pair = [faiss.IndexLSH(24, 24, False, True) for faiss in (ours, theirs)]
        for index in pair:
            index.train(vectors[:n])
        np.testing.assert_allclose(
            ours.vector_to_array(pair[0].thresholds), theirs.vector_to_array(pair[1].thresholds), rtol=1e-6
        )


def test_vectors_are_removed_and_merged(vectors: np.ndarray) -> None:
    index, reference = pair_of((24, False, False), vectors)
    gone = np.arange(0, 300, 4)
    assert index.remove_ids(gone) == reference.remove_ids(gone)
    others = [faiss.IndexLSH(24, 24, False, False) for faiss in (ours, theirs)]
    for one, other in zip((index, reference), others, strict=True):
        other.add(vectors[:30])
        one.merge_from(other)
    assert index.ntotal == reference.ntotal == 255
    assert_same_neighbours(index.search(vectors[:9], 5), reference.search(vectors[:9], 5))


def test_thresholds_can_be_given_to_a_transform(vectors: np.ndarray) -> None:
    biases = []
    for faiss in (ours, theirs):
        index = faiss.IndexLSH(24, 16, True, True)
        index.train(vectors)
        rotation = faiss.RandomRotationMatrix(24, 16)
        rotation.init(5)
        index.transfer_thresholds(rotation)
        assert not index.train_thresholds
        biases.append(faiss.vector_to_array(rotation.b))
    np.testing.assert_allclose(*biases, atol=1e-6)


def test_bad_arguments(vectors: np.ndarray) -> None:
    for faiss in (ours, theirs):
        with pytest.raises(RuntimeError):
            faiss.IndexLSH(8, 16, False)
        index = faiss.IndexLSH(24, 16, True, True)
        with pytest.raises(RuntimeError):
            index.add(vectors)
        with pytest.raises(AssertionError):
            faiss.IndexLSH(24, 16).search(vectors[:, :5], 1)


@pytest.mark.parametrize("description", ["LSH", "LSH16", "LSH32r", "LSH16rt", "LSHt"])
def test_factory(description: str, vectors: np.ndarray) -> None:
    pair = [faiss.index_factory(24, description) for faiss in (ours, theirs)]
    for index in pair:
        index.train(vectors)
        index.add(vectors)
    assert_same_neighbours(pair[0].search(vectors[:9], 5), pair[1].search(vectors[:9], 5))
