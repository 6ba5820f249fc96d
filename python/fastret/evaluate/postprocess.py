"""Closed-form corrections of embeddings that were never trained for retrieval.

A generator's embeddings crowd into a narrow cone: a few directions shared by every text carry most of the
variance, so that all cosines are high and say little. Both transforms here take that shared part away.
They are fitted on a support set, without labels, and then applied to other embeddings::

    correct = ReAlign().fit(support_queries)
    queries = correct(queries)

Queries and candidates usually differ in their statistics: fit one object on each. A fit on the very
embeddings that are searched is *transductive*, and a report should say so.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

__all__ = ["Centring", "ReAlign"]


class Centring:
    """Subtracts the mean direction: ``normalize(normalize(x) - mu)`` with ``mu = mean(normalize(support))``.

    See Mu and Viswanath, "All-but-the-Top" (arXiv 1702.01417), of which this is the first half.
    """

    def __init__(self) -> None:
        self.mean: Tensor | None = None  # [D] float64

    def fit(self, support: Tensor) -> Centring:
        """Learns the mean of ``support`` ([N, D], any float dtype, N >= 1); returns itself.

        Raises:
            TypeError: ``support`` is not a tensor of floats.
            ValueError: it is not [N, D], is empty or not finite.
        """
        self.mean = _unit_rows("Centring.fit", support, at_least=1).mean(0)
        return self

    def __call__(self, embeddings: Tensor) -> Tensor:
        """[M, D] embeddings, corrected, of length 1 (or 0 where a row equals the mean), in their own dtype.

        Raises:
            RuntimeError: not fitted yet. TypeError, ValueError: as ``fit``, or another D than the support's.
        """
        return normalize(_centred_rows("Centring", embeddings, self.mean), dim=1).to(embeddings.dtype)


class ReAlign:
    """Whitens with shrinkage, as ReAlign does (arXiv 2512.19115).

    With mean ``mu`` and covariance ``Sigma`` of the support's unit vectors, and

        S = (1 - b) Sigma + b tr(Sigma)/D I = U Lambda U^T

    an embedding ``h`` (of length 1) becomes ``normalize((h - mu) U (Lambda + eps I)^-1/2 U^T)``.

    Args:
        shrinkage: ``b`` in [0, 1]. 0 whitens fully and needs more rows than dimensions; 1 is centring alone.
        eps: added to every eigenvalue, so that a direction the support never uses stays bounded.
    """

    def __init__(self, shrinkage: float = 0.1, eps: float = 1e-5) -> None:
        if not 0 <= shrinkage <= 1:
            raise ValueError(f"ReAlign: shrinkage must lie in [0, 1], got {shrinkage}")
        if not eps > 0:
            raise ValueError(f"ReAlign: eps must be positive, got {eps}")
        self.shrinkage = shrinkage
        self.eps = eps
        self.mean: Tensor | None = None  # [D] float64
        self.whitening: Tensor | None = None  # [D, D] float64, symmetric

    def fit(self, support: Tensor) -> ReAlign:
        """Learns mean and covariance of ``support`` ([N, D], any float dtype, N >= 2); returns itself.

        Raises:
            TypeError: ``support`` is not a tensor of floats.
            ValueError: it is not [N, D], has fewer than two rows or is not finite.
        """
        rows = _unit_rows("ReAlign.fit", support, at_least=2)
        dim = rows.shape[1]
        self.mean = rows.mean(0)
        centred = rows - self.mean
        covariance = centred.T @ centred / (len(rows) - 1)
        identity = torch.eye(dim, dtype=rows.dtype, device=rows.device)
        shrunk = (1 - self.shrinkage) * covariance + self.shrinkage * covariance.trace() / dim * identity
        eigenvalues, axes = torch.linalg.eigh(shrunk)
        # Rounding can leave a zero eigenvalue slightly negative, and -eps would then divide by zero.
        self.whitening = axes * (eigenvalues.clamp_min(0) + self.eps).rsqrt() @ axes.T
        return self

    def __call__(self, embeddings: Tensor) -> Tensor:
        """[M, D] embeddings, corrected, of length 1 (or 0 where a row equals the mean), in their own dtype.

        Raises:
            RuntimeError: not fitted yet. TypeError, ValueError: as ``fit``, or another D than the support's.
        """
        centred = _centred_rows("ReAlign", embeddings, self.mean)
        assert self.whitening is not None  # set together with the mean
        return normalize(centred @ self.whitening, dim=1).to(embeddings.dtype)


def _unit_rows(op: str, embeddings: Tensor, at_least: int) -> Tensor:
    """The rows at length 1, in float64: a narrow cone's covariance is a small difference of large numbers."""
    if not isinstance(embeddings, Tensor) or not embeddings.is_floating_point():
        found = embeddings.dtype if isinstance(embeddings, Tensor) else type(embeddings).__name__
        raise TypeError(f"{op}: embeddings must be a floating-point tensor, got {found}")
    if embeddings.dim() != 2:
        raise ValueError(f"{op}: embeddings must be [N, D], got {list(embeddings.shape)}")
    if len(embeddings) < at_least:
        raise ValueError(f"{op}: needs at least {at_least} rows, got {list(embeddings.shape)}")
    if not embeddings.isfinite().all():
        bad = int((~embeddings.isfinite()).any(1).nonzero()[0, 0])
        raise ValueError(f"{op}: embeddings must be finite, got NaN or inf in row {bad}")
    return normalize(embeddings.double(), dim=1)


def _centred_rows(op: str, embeddings: Tensor, mean: Tensor | None) -> Tensor:
    if mean is None:
        raise RuntimeError(f"{op}: fit it on a support set first")
    rows = _unit_rows(op, embeddings, at_least=0)
    if rows.shape[1] != len(mean):
        raise ValueError(f"{op}: fitted on D = {len(mean)}, got embeddings {list(embeddings.shape)}")
    return rows - mean
