"""Results that come in parts, beside those of faiss-cpu."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastret.faiss as ours

theirs = pytest.importorskip("faiss")

KEEP_MAX = pytest.mark.parametrize("keep_max", [False, True])


@KEEP_MAX
@pytest.mark.parametrize("k", [1, 4, 40])
def test_heaps_hold_the_best_of_all_parts(keep_max: bool, k: int, generator: np.random.Generator) -> None:
    heaps = [faiss.ResultHeap(6, k, keep_max=keep_max) for faiss in (ours, theirs)]
    for part in range(3):
        scores = generator.permutation(6 * 9).reshape(6, 9) + generator.random((6, 9))
        ids = generator.permutation(54).reshape(6, 9) + 54 * part
        subset = generator.permutation(6)[:2]
        for heap in heaps:
            heap.add_result(scores.astype(np.float32), ids)
            heap.add_result_subset(subset, (scores[:2] / 2).astype(np.float32), ids[:2] + 1000)
            heap.add_result_subset(subset, (scores[:2] / 3).astype(np.float32), ids[0] + 2000)
    for heap in heaps:
        heap.finalize()
    np.testing.assert_array_equal(heaps[0].I, heaps[1].I)
    np.testing.assert_array_equal(heaps[0].D, heaps[1].D)
    assert (heaps[0].nq, heaps[0].k) == (6, k)


@KEEP_MAX
def test_of_equal_scores_the_smaller_id_stays(keep_max: bool) -> None:
    heap = ours.ResultHeap(1, 2, keep_max)
    for ids in ([9, 4], [7, 3]):
        heap.add_result(np.ones((1, 2), np.float32), np.array([ids]))
    np.testing.assert_array_equal(heap.I, [[3, 4]])


@KEEP_MAX
@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_shards_are_merged(keep_max: bool, dtype: str, generator: np.random.Generator) -> None:
    scores = np.sort(generator.permutation(3 * 5 * 4).reshape(3, 5, 4), 2).astype(dtype)
    scores = np.ascontiguousarray(scores[:, :, ::-1]) if keep_max else scores
    ids = generator.permutation(60).reshape(3, 5, 4)
    ids[0, 0, 2:] = ids[1, 2, 1:] = -1
    answers = [faiss.merge_knn_results(scores, ids, keep_max) for faiss in (ours, theirs)]
    for answer, expected in zip(*answers, strict=True):
        assert answer.dtype == expected.dtype
        np.testing.assert_array_equal(answer, expected)


def test_shards_with_equal_scores_give_the_smaller_id() -> None:
    scores, ids = np.ones((2, 1, 2), np.float32), np.array([[[10, 11]], [[5, 6]]])
    np.testing.assert_array_equal(ours.merge_knn_results(scores, ids)[1], [[5, 6]])


def test_shards_that_found_nothing_are_padded() -> None:
    scores, ids = np.ones((2, 1, 2), np.float32), np.array([[[3, -1]], [[-1, -1]]])
    D, I = ours.merge_knn_results(scores, ids)  # noqa: E741
    np.testing.assert_array_equal(I, [[3, -1]])
    np.testing.assert_array_equal(D, [[1, np.finfo(np.float32).max]])


@pytest.mark.parametrize("name", ["kmin", "kmax"])
@pytest.mark.parametrize("k", [0, 1, 4, 9])
def test_the_best_columns(name: str, k: int, generator: np.random.Generator) -> None:
    array = generator.standard_normal((5, 7))
    array[0, 3] = np.nan
    for answer, expected in zip(getattr(ours, name)(array, k), getattr(theirs, name)(array, k), strict=True):
        assert answer.dtype == expected.dtype
        np.testing.assert_array_equal(answer, expected)


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda faiss: faiss.ResultHeap(3, 2).add_result(np.zeros((2, 2)), np.zeros((2, 2))), AssertionError),
        (lambda faiss: faiss.ResultHeap(3, 2).add_result(np.zeros((3, 2)), np.zeros((3, 1))), AssertionError),
        (lambda faiss: faiss.ResultHeap(3, 2).add_result(np.zeros((3, 2)), np.zeros(2)), AssertionError),
        (lambda faiss: faiss.ResultHeap(3, 2).add_result_subset([1], np.zeros((2, 2)), np.zeros(2)), AssertionError),
        (lambda faiss: faiss.merge_knn_results(np.zeros((1, 2, 3)), np.zeros((1, 2, 2))), AssertionError),
        (lambda faiss: faiss.merge_knn_results(np.zeros((1, 2, 3)), np.zeros((1, 2, 3), int)), TypeError),
        (lambda faiss: faiss.kmin(np.zeros(3), 1), ValueError),
    ],
)
def test_what_is_refused(call: Any, kind: type[Exception]) -> None:
    for faiss in (ours, theirs):
        with pytest.raises(kind):
            call(faiss)
