"""Synthetic vectors have the traits of embeddings; real ones come from a file, with queries held out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks.vectors import embedding_like, embeddings_from_file, spectrum
from torch import Tensor


def effective_rank(vectors: Tensor) -> float:
    """exp of the entropy of the variances on the principal axes (Roy and Vetterli, 2007)."""
    variance = torch.linalg.svdvals(vectors - vectors.mean(0)).square()
    share = variance / variance.sum()
    return float(torch.special.entr(share).sum().exp())


def between_means(keys: Tensor, queries: Tensor) -> float:
    return float(torch.cosine_similarity(keys.mean(0), queries.mean(0), dim=0))


def nearest_in_deviations(keys: Tensor, queries: Tensor) -> float:
    """How many standard deviations the best score of a query lies above its mean score (median over queries)."""
    scores = queries @ keys.T
    return float(((scores.max(dim=1).values - scores.mean(dim=1)) / scores.std(dim=1)).median())


def test_the_spectrum_decays_and_sums_to_one() -> None:
    shares = spectrum(256)
    assert shares.sum() == pytest.approx(1, abs=1e-5)
    assert (shares.diff() < 0).all()


@pytest.mark.parametrize("family", ["clip", "text"])
def test_vectors_have_unit_norm_and_follow_the_seed(family: str) -> None:
    keys, queries = embedding_like(500, 20, 64, family, seed=1)
    assert keys.shape == (500, 64) and queries.shape == (20, 64)
    assert torch.allclose(torch.cat([keys, queries]).norm(dim=1), torch.ones(520), atol=1e-6)
    embedding_like.cache_clear()
    again = embedding_like(500, 20, 64, family, seed=1)
    assert torch.equal(again[0], keys) and torch.equal(again[1], queries)
    assert not torch.equal(embedding_like(500, 20, 64, family, seed=2)[0], keys)


def test_few_directions_carry_most_of_the_variance() -> None:
    keys, _ = embedding_like(2000, 1, 128, "text")
    isotropic = torch.nn.functional.normalize(torch.randn(2000, 128, generator=torch.Generator().manual_seed(0)))
    assert effective_rank(keys) < 0.75 * effective_rank(isotropic)


def test_only_clip_has_a_modality_gap() -> None:
    assert between_means(*embedding_like(2000, 500, 128, "clip")) < 0.8
    assert between_means(*embedding_like(2000, 500, 128, "text")) > 0.95


@pytest.mark.parametrize("family", ["clip", "text"])
def test_the_nearest_key_of_a_query_stands_out(family: str) -> None:
    keys, queries = embedding_like(2000, 100, 128, family)
    generator = torch.Generator().manual_seed(0)
    isotropic = torch.randn(2000, 128, generator=generator), torch.randn(100, 128, generator=generator)
    assert nearest_in_deviations(keys, queries) > nearest_in_deviations(*isotropic) + 0.3


def test_rows_of_a_file_are_keys_or_queries_but_never_both(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float16)
    np.save(tmp_path / "rows.npy", rows)
    keys, queries = embeddings_from_file(tmp_path / "rows.npy")
    assert keys.shape == (45, 8) and queries.shape == (5, 8)
    unit = torch.nn.functional.normalize(torch.from_numpy(rows.astype(np.float32)))
    assert sorted(torch.cat([keys, queries]).tolist()) == sorted(unit.tolist())


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (np.zeros(5, np.float32), r"must hold floats \[N, D\] with N >= 2, got float32 \[5\]"),
        (np.zeros((5, 2), np.int64), r"must hold floats \[N, D\] with N >= 2, got int64 \[5, 2\]"),
        (np.zeros((1, 2), np.float32), r"must hold floats \[N, D\] with N >= 2, got float32 \[1, 2\]"),
        (np.array([[1, 2], [np.nan, 1], [np.inf, 1]], np.float32), r"must be finite, got NaN or infinity in row 1"),
    ],
)
def test_a_file_that_holds_no_embeddings_is_refused(tmp_path: Path, rows: np.ndarray, sentence: str) -> None:
    np.save(tmp_path / "rows.npy", rows)
    with pytest.raises(ValueError, match=sentence):
        embeddings_from_file(tmp_path / "rows.npy")
