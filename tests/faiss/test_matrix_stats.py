"""MatrixStats beside that of faiss-cpu."""

from __future__ import annotations

import numpy as np
import pytest

import fastret.faiss as ours

theirs = pytest.importorskip("faiss")


def test_counts_and_norms_are_those_of_faiss(generator: np.random.Generator) -> None:
    vectors = generator.standard_normal((300, 8), dtype=np.float32)
    vectors[5] = 0
    vectors[7, 1], vectors[11, 2] = np.nan, np.inf
    stats, reference = ours.MatrixStats(vectors), theirs.MatrixStats(vectors)
    for name in ("n", "d", "n_valid", "n0"):
        assert getattr(stats, name) == getattr(reference, name)
    for name in ("min_norm2", "max_norm2"):
        np.testing.assert_allclose(getattr(stats, name), getattr(reference, name), rtol=1e-6)


def test_comments_name_what_makes_searches_fail(generator: np.random.Generator) -> None:
    vectors = generator.standard_normal((100, 5), dtype=np.float32)
    vectors[3] = vectors[4] = vectors[9]
    vectors[7, 1] = np.nan
    vectors[:, 2] = 2
    vectors[:, 3] += 1000
    comments = ours.MatrixStats(vectors).comments
    assert "100 vectors of 5 dimensions\n1 hold NaN or infinity, and are never found\n" in comments
    assert "98 are distinct; the most frequent occurs 3 times" in comments
    assert "they are normalised" in comments
    assert "1 dimensions are constant, 0 nearly so" in comments
    assert "1 dimensions are far from zero" in comments
    assert "normalised" not in ours.MatrixStats(generator.standard_normal((9, 2))).comments


def test_nothing_has_no_stats() -> None:
    assert ours.MatrixStats(np.ones((0, 3))).comments == "0 vectors of 3 dimensions\n0 hold NaN or infinity\n"
    assert ours.MatrixStats(np.ones((2, 0))).n_valid == 2
    with pytest.raises(ValueError, match=r"^MatrixStats: vectors must be \[n, d\], got \[3\]$"):
        ours.MatrixStats(np.ones(3))
