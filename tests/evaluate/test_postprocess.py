from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from fastret.evaluate.postprocess import Centring, ReAlign


def narrow_cone(rows: int, dim: int, seed: int) -> Tensor:
    """Vectors that share one strong direction and whose other axes differ in scale, as a generator's do."""
    generator = torch.Generator().manual_seed(seed)
    scale = torch.logspace(0, -1.5, dim)
    return torch.randn(rows, dim, generator=generator) * scale + 5 * torch.ones(dim)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_centring_is_the_closed_form() -> None:
    support, embeddings = narrow_cone(50, 8, 0), narrow_cone(20, 8, 1)
    mean = unit(support.double().numpy()).mean(0)
    expected = unit(unit(embeddings.double().numpy()) - mean)
    np.testing.assert_allclose(Centring().fit(support)(embeddings).numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("shrinkage", [0.0, 0.1, 1.0])
def test_realign_is_the_formula_of_the_paper(shrinkage: float) -> None:
    support, embeddings = narrow_cone(200, 12, 0), narrow_cone(30, 12, 1)
    rows = unit(support.double().numpy())
    covariance = np.cov(rows, rowvar=False)
    shrunk = (1 - shrinkage) * covariance + shrinkage * np.trace(covariance) / 12 * np.eye(12)
    axes, eigenvalues, _ = np.linalg.svd(shrunk)
    whitening = axes @ np.diag((eigenvalues + 1e-5) ** -0.5) @ axes.T
    expected = unit((unit(embeddings.double().numpy()) - rows.mean(0)) @ whitening)
    np.testing.assert_allclose(ReAlign(shrinkage).fit(support)(embeddings).numpy(), expected, atol=1e-6)


def test_realign_without_shrinkage_whitens_its_support() -> None:
    support = narrow_cone(500, 6, 0)
    fitted = ReAlign(shrinkage=0, eps=1e-12).fit(support)
    whitened = (torch.nn.functional.normalize(support.double(), dim=1) - fitted.mean) @ fitted.whitening
    torch.testing.assert_close(whitened.T.cov(), torch.eye(6, dtype=torch.float64), atol=1e-4, rtol=0)


def test_realign_opens_the_cone_that_centring_only_moves() -> None:
    support, embeddings = narrow_cone(400, 16, 0), narrow_cone(200, 16, 1)

    def mean_absolute_cosine(rows: Tensor) -> float:
        rows = torch.nn.functional.normalize(rows, dim=1)
        return float((rows @ rows.T).abs().triu(1).sum() / (200 * 199 / 2))

    raw, centred, realigned = (
        mean_absolute_cosine(rows)
        for rows in (embeddings, Centring().fit(support)(embeddings), ReAlign().fit(support)(embeddings))
    )
    assert raw > 0.9
    assert realigned < centred < raw


def test_realign_with_fewer_rows_than_dimensions_is_finite_and_unit() -> None:
    support = narrow_cone(5, 32, 0)
    corrected = ReAlign().fit(support)(support)
    torch.testing.assert_close(corrected.norm(dim=1), torch.ones(5))


def test_full_shrinkage_is_centring() -> None:
    support, embeddings = narrow_cone(100, 8, 0), narrow_cone(10, 8, 1)
    torch.testing.assert_close(
        ReAlign(shrinkage=1).fit(support)(embeddings), Centring().fit(support)(embeddings), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("transform", [Centring, ReAlign])
def test_the_length_of_an_embedding_does_not_matter_and_its_dtype_is_kept(transform: type) -> None:
    support, embeddings = narrow_cone(50, 8, 0), narrow_cone(10, 8, 1)
    fitted = transform().fit(support)
    torch.testing.assert_close(fitted(embeddings), fitted(3 * embeddings), atol=1e-6, rtol=0)
    assert fitted(embeddings.bfloat16()).dtype == torch.bfloat16
    assert fitted(embeddings[:0]).shape == (0, 8)


@pytest.mark.parametrize("transform", [Centring, ReAlign])
def test_inputs_are_left_alone(transform: type) -> None:
    support = narrow_cone(50, 8, 0)
    before = support.clone()
    transform().fit(support)(support)
    assert torch.equal(support, before)


@pytest.mark.parametrize("transform", [Centring, ReAlign])
def test_bad_input_is_named(transform: type) -> None:
    name = transform.__name__
    fitted = transform().fit(narrow_cone(20, 8, 0))
    with pytest.raises(ValueError, match=rf"{name}: fitted on D = 8, got embeddings \[4, 9\]"):
        fitted(torch.ones(4, 9))
    with pytest.raises(RuntimeError, match=f"{name}: fit it on a support set first"):
        transform()(torch.ones(4, 8))
    with pytest.raises(ValueError, match=rf"{name}.fit: embeddings must be \[N, D\], got \[8\]"):
        transform().fit(torch.ones(8))
    with pytest.raises(TypeError, match=rf"{name}.fit: embeddings must be a floating-point tensor, got torch.int64"):
        transform().fit(torch.ones(4, 8, dtype=torch.int64))
    with pytest.raises(TypeError, match=f"{name}.fit: embeddings must be a floating-point tensor, got ndarray"):
        transform().fit(np.ones((4, 8)))
    broken = torch.ones(4, 8)
    broken[2, 3] = torch.nan
    with pytest.raises(ValueError, match=rf"{name}.fit: embeddings must be finite, got NaN or inf in row 2"):
        transform().fit(broken)


def test_too_few_support_rows_are_named() -> None:
    with pytest.raises(ValueError, match=r"ReAlign.fit: needs at least 2 rows, got \[1, 8\]"):
        ReAlign().fit(torch.ones(1, 8))
    with pytest.raises(ValueError, match=r"Centring.fit: needs at least 1 rows, got \[0, 8\]"):
        Centring().fit(torch.ones(0, 8))


def test_parameters_are_checked() -> None:
    with pytest.raises(ValueError, match=r"ReAlign: shrinkage must lie in \[0, 1\], got 1.5"):
        ReAlign(shrinkage=1.5)
    with pytest.raises(ValueError, match="ReAlign: eps must be positive, got 0"):
        ReAlign(eps=0)
