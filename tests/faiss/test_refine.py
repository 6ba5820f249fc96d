"""IndexRefine and IndexRefineFlat beside those of faiss-cpu."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import fastret.faiss as ours

theirs = pytest.importorskip("faiss")

METRICS = pytest.mark.parametrize("metric", [ours.METRIC_L2, ours.METRIC_INNER_PRODUCT])
BOTH = pytest.mark.parametrize("faiss", [ours, theirs], ids=["ours", "theirs"])


@pytest.fixture
def vectors(generator: np.random.Generator) -> np.ndarray:
    return generator.standard_normal((300, 16), dtype=np.float32)


def rough(faiss: ModuleType, metric: int = ours.METRIC_L2) -> Any:
    return faiss.IndexScalarQuantizer(16, faiss.ScalarQuantizer.QT_4bit_uniform, metric)


def pair(vectors: np.ndarray, metric: int = ours.METRIC_L2) -> tuple[Any, Any]:
    indexes = [faiss.IndexRefineFlat(rough(faiss, metric)) for faiss in (ours, theirs)]
    for index in indexes:
        index.train(vectors)
        index.add(vectors)
    return indexes[0], indexes[1]


def assert_same(answers: Any, references: Any) -> None:
    for answer, reference in zip(answers, references, strict=True):
        np.testing.assert_allclose(answer, reference, rtol=1e-5, atol=1e-5, strict=True)


@METRICS
@pytest.mark.parametrize("k_factor", [1.0, 1.5, 8.0])
def test_answers_are_those_of_faiss(metric: int, k_factor: float, vectors: np.ndarray) -> None:
    index, reference = pair(vectors, metric)
    for one in (index, reference):
        one.k_factor = k_factor
    assert_same(index.search(vectors[:30], 5), reference.search(vectors[:30], 5))
    assert_same(index.search(vectors[:3], 400), reference.search(vectors[:3], 400))
    assert_same(index.range_search(vectors[:9], 9.0), reference.range_search(vectors[:9], 9.0))


@METRICS
def test_refined_scores_are_those_of_a_flat_index(metric: int, vectors: np.ndarray) -> None:
    index, _ = pair(vectors, metric)
    flat = ours.IndexFlat(16, metric)
    flat.add(vectors)
    params = ours.IndexRefineSearchParameters(k_factor=300)
    answers = index.search(vectors[:30], 5, params=params), flat.search(vectors[:30], 5)
    for answer, exact in zip(*answers, strict=True):
        np.testing.assert_array_equal(answer, exact, strict=True)


def test_of_equal_scores_the_smaller_id_is_first() -> None:
    index = ours.IndexRefineFlat(ours.IndexFlatL2(2))
    index.add(np.zeros((40, 2)))
    np.testing.assert_array_equal(index.search(np.zeros((2, 2)), 7)[1], [range(7)] * 2)


def test_refining_by_codes_that_are_finer(vectors: np.ndarray) -> None:
    indexes = []
    for faiss in (ours, theirs):
        fine = faiss.IndexScalarQuantizer(16, faiss.ScalarQuantizer.QT_fp16)
        index = faiss.IndexRefine(rough(faiss), fine)
        index.k_factor = 4
        index.train(vectors)
        index.add(vectors)
        indexes.append(index)
    assert_same(*(index.search(vectors[:30], 5) for index in indexes))
    assert_same(*([index.reconstruct(4)] for index in indexes))
    assert_same(*([index.reconstruct_n(4, 9)] for index in indexes))
    assert indexes[0].sa_code_size() == indexes[1].sa_code_size() == 8 + 32
    codes = [index.sa_encode(vectors[:5]) for index in indexes]
    np.testing.assert_array_equal(*codes)
    assert_same(*([index.sa_decode(codes[0])] for index in indexes))


@METRICS
def test_parameters_reach_the_base_index(metric: int, vectors: np.ndarray) -> None:
    answers = []
    for index, faiss in zip(pair(vectors, metric), (ours, theirs), strict=True):
        base = faiss.SearchParameters(sel=faiss.IDSelectorRange(3, 6))
        params = faiss.IndexRefineSearchParameters(k_factor=10.0, base_index_params=base)
        answers.append(index.search(vectors[:8], 4, params=params))
        with pytest.raises(RuntimeError):
            index.search(vectors[:8], 4, params=base)
    assert_same(*answers)
    assert set(answers[0][1].ravel()) == {-1, 3, 4, 5}


@BOTH
def test_the_vectors_of_a_full_base_index_are_given(faiss: ModuleType, vectors: np.ndarray) -> None:
    base = rough(faiss)
    base.train(vectors)
    base.add(vectors)
    with pytest.raises(RuntimeError):
        faiss.IndexRefineFlat(base)
    index = faiss.IndexRefineFlat(base, faiss.swig_ptr(vectors))
    np.testing.assert_array_equal(index.search(vectors[:9], 1)[1][:, 0], np.arange(9))
    assert index.ntotal == index.refine_index.ntotal == 300


@BOTH
def test_it_is_emptied_and_trained_by_its_parts(faiss: ModuleType, vectors: np.ndarray) -> None:
    index = faiss.IndexRefineFlat(rough(faiss))
    assert not index.is_trained
    with pytest.raises(RuntimeError):
        index.add(vectors)
    index.train(vectors)
    index.add(vectors)
    index.reset()
    assert (index.ntotal, index.base_index.ntotal, index.refine_index.ntotal) == (0, 0, 0)
    for refused in ("remove_ids(np.arange(2))", "add_with_ids(vectors, np.arange(300))"):
        with pytest.raises(RuntimeError):
            eval(f"index.{refused}", {"index": index, "vectors": vectors, "np": np})


@pytest.mark.parametrize("fine", [None, "QT_fp16"])
def test_files_go_both_ways(fine: str | None, vectors: np.ndarray, tmp_path: Path) -> None:
    indexes = []
    for faiss in (ours, theirs):
        if fine is None:
            index = faiss.IndexRefineFlat(rough(faiss))
        else:
            index = faiss.IndexRefine(
                rough(faiss), faiss.IndexScalarQuantizer(16, getattr(faiss.ScalarQuantizer, fine))
            )
        index.k_factor = 3.0
        index.train(vectors)
        index.add(vectors)
        faiss.write_index(index, str(tmp_path / faiss.__name__))
        indexes.append(index)
    assert (tmp_path / "fastret.faiss").read_bytes() == (tmp_path / "faiss").read_bytes()
    read = ours.read_index(tmp_path / "faiss")
    assert (type(read), read.k_factor) == (type(indexes[0]), 3.0)
    assert_same(read.search(vectors[:9], 4), indexes[1].search(vectors[:9], 4))
    copied = copy.copy(read)
    copied.add(vectors[:2])
    assert (copied.ntotal, read.ntotal) == (302, 300)


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (
            lambda: ours.IndexRefine(ours.IndexFlatL2(4), ours.IndexFlatIP(4)),
            RuntimeError,
            "IndexRefine: the indexes must share d, metric_type, ntotal, got IndexFlatL2.*, IndexFlatIP.*",
        ),
        (lambda: ours.IndexRefineFlat(3), TypeError, "IndexRefineFlat: an index is needed, got int"),
        (
            lambda: ours.IndexRefineFlat(ours.IndexFlatL2(4)).search(
                np.ones((1, 4)), 3, params=ours.IndexRefineSearchParameters(k_factor=0.5)
            ),
            RuntimeError,
            "IndexRefineFlat.search: k_factor must be 1 at least, got 0.5",
        ),
    ],
)
def test_it_refuses_in_one_sentence(call: Callable[[], object], error: type, sentence: str) -> None:
    with pytest.raises(error, match=f"^{sentence}$"):
        call()
