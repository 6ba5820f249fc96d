"""normalize_L2 and knn beside faiss-cpu."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

import fastret.faiss as ours

theirs = pytest.importorskip("faiss")


def test_normalize_gives_unit_rows_in_place(generator: np.random.Generator) -> None:
    x = generator.standard_normal((50, 31), dtype=np.float32)
    x[7] = 0
    reference = x.copy()
    assert ours.normalize_L2(x) is None
    theirs.normalize_L2(reference)
    np.testing.assert_allclose(x, reference, rtol=1e-6, atol=0)
    np.testing.assert_array_equal(x[7], 0)


def test_normalize_takes_values_whose_squares_leave_float32() -> None:
    x = np.array([[3e30, 4e30], [3e-30, 4e-30]], dtype=np.float32)
    ours.normalize_L2(x)
    np.testing.assert_allclose(x, [[0.6, 0.8], [0.6, 0.8]], rtol=1e-6)


def test_normalize_leaves_a_row_with_nan_and_changes_no_other() -> None:
    x = np.array([[np.nan, 1.0], [3.0, 4.0]], dtype=np.float32)
    ours.normalize_L2(x)
    np.testing.assert_array_equal(x[0], [np.nan, 1.0])
    np.testing.assert_allclose(x[1], [0.6, 0.8], rtol=1e-6)


def test_normalize_works_in_place_on_a_tensor() -> None:
    x = torch.tensor([[3.0, 4.0]])
    ours.normalize_L2(x)
    torch.testing.assert_close(x, torch.tensor([[0.6, 0.8]]))


def test_normalize_of_nothing() -> None:
    ours.normalize_L2(np.empty((0, 3), dtype=np.float32))
    ours.normalize_L2(np.empty((3, 0), dtype=np.float32))


def read_only() -> np.ndarray:
    x = np.ones((2, 3), dtype=np.float32)
    x.flags.writeable = False
    return x


@pytest.mark.parametrize(
    ("x", "error", "sentence"),
    [
        (np.ones((2, 3)), TypeError, "normalize_L2: x is changed in place and must be float32, got float64"),
        (np.ones((2, 6), dtype=np.float32)[:, ::2], ValueError, r"normalize_L2: .*C-contiguous, got shape \[2, 3\].*"),
        (np.ones(3, dtype=np.float32), ValueError, r"normalize_L2: .* \[n, d\].*got shape \[3\].*"),
        (read_only(), ValueError, "normalize_L2: .* writable False"),
        ([[1.0]], ValueError, "normalize_L2: x must be numpy or a tensor in CPU memory, got list"),
    ],
)
def test_normalize_refuses_what_it_cannot_change_in_place(x: object, error: type, sentence: str) -> None:
    with pytest.raises(error, match=f"^{sentence}$"):
        ours.normalize_L2(x)


@pytest.mark.parametrize("metric", [ours.METRIC_L2, ours.METRIC_INNER_PRODUCT])
@pytest.mark.parametrize(("n", "k"), [(70, 5), (3, 5), (0, 2), (4, 0)])
def test_knn_gives_the_same_neighbours(metric: int, n: int, k: int, generator: np.random.Generator) -> None:
    keys = generator.standard_normal((n, 10), dtype=np.float32)
    queries = generator.standard_normal((6, 10))
    scores, ids = ours.knn(queries, keys, k, metric=metric)
    reference_scores, reference_ids = theirs.knn(queries, keys, k, metric=metric)
    assert (scores.dtype, ids.dtype) == (np.float32, np.int64)
    np.testing.assert_array_equal(ids, reference_ids, strict=True)
    np.testing.assert_allclose(scores, reference_scores, rtol=1e-5, atol=1e-5, strict=True)


def test_knn_is_l2_by_default_and_takes_lists() -> None:
    scores, ids = ours.knn([[0.0, 0.0]], [[3.0, 4.0], [0.0, 1.0]], 2)
    assert ids.tolist() == [[1, 0]]
    assert scores.tolist() == [[1.0, 25.0]]


def test_knn_of_tensors_gives_tensors() -> None:
    scores, ids = ours.knn(torch.eye(3), torch.eye(3), 1)
    assert torch.equal(ids, torch.tensor([[0], [1], [2]]))
    assert torch.equal(scores, torch.zeros(3, 1))


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda x: ours.knn(x, x[:, :2], 1), AssertionError, r"knn: vectors must be \[n, 3\], got \[2, 2\]"),
        (lambda x: ours.knn(x[0], x, 1), ValueError, r"knn: vectors must be \[n, d\], got \[3\]"),
        (lambda x: ours.knn(x, x, -1), ValueError, "knn: k must not be negative, got -1"),
        (lambda x: ours.knn(x, x, 1, metric=7), RuntimeError, "knn: metric 7 is not known"),
    ],
)
def test_knn_refuses_in_one_sentence(call: Callable[[np.ndarray], object], error: type, sentence: str) -> None:
    with pytest.raises(error, match=f"^{sentence}$"):
        call(np.ones((2, 3), dtype=np.float32))
