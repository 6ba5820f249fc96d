"""FAISS's rotations for binary codes: iterative quantization (ITQ)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...ops.unit_rows import unit_rows
from ..vectors import Float32Vector, Float64Vector, VectorField
from .linear import LinearTransform, random_rotation, times
from .pca import PCAMatrix
from .transform import VectorTransform, sampled


class ITQMatrix(LinearTransform):
    """The rotation after which signs lose the least, by Gong and Lazebnik (2011), Iterative Quantization.

    FAISS takes the factors of its singular value decomposition in another order, so that its rotation depends on the
    signs that LAPACK happens to give them: this one is not that of FAISS.
    """

    max_iter: int = 50
    seed: int = 123
    init_rotation = VectorField("_init_rotation", Float64Vector)
    _init_rotation: Tensor  # [d * d] or [0]: that of the seed

    def __init__(self, d: int = 0) -> None:
        super().__init__(d, d)
        self._init_rotation = torch.empty(0, dtype=torch.float64)

    def _train(self, rows: Tensor) -> None:
        d, vectors = self.d_in, rows.double()
        given = self._init_rotation.numel() == d * d
        rotation = (self._init_rotation.view(d, d) if given else random_rotation(d, d, self.seed).double()).T
        for _ in range(self.max_iter):
            signs = torch.where(vectors @ rotation.T < 0, -1.0, 1.0).double()
            u, _, v = torch.linalg.svd(signs.T @ vectors)
            rotation = u @ v
        self._A = rotation.float().contiguous()
        self.is_trained = True


class ITQTransform(VectorTransform):
    """Centred and normalised vectors, their principal axes if do_pca, and the rotation of ITQMatrix."""

    is_trained: bool = False
    do_pca: bool = False
    max_train_per_dim: int = 10
    itq: ITQMatrix
    pca_then_itq: LinearTransform
    mean = VectorField("_mean", Float32Vector)
    _mean: Tensor  # [d_in]; [0] before training

    def __init__(self, d_in: int = 0, d_out: int = 0, do_pca: bool = False) -> None:
        super().__init__(d_in, d_out)
        self.do_pca = bool(do_pca)
        if not self.do_pca and self.d_in != self.d_out:
            raise RuntimeError(f"ITQTransform: without do_pca d_out must be d_in, got {self.d_in} and {self.d_out}")
        object.__setattr__(self, "itq", ITQMatrix(self.d_out))
        object.__setattr__(self, "pca_then_itq", LinearTransform(self.d_in, self.d_out))
        self._mean = torch.empty(0)

    def _train(self, rows: Tensor) -> None:
        if self.is_trained:
            self._refuse("train", "the transform is trained already")
        if not len(rows):
            self._refuse("train", "there must be vectors to learn from, got none")
        rows = sampled(rows, max(self.d_in * self.max_train_per_dim, 32768))
        self._mean = rows.mean(0, dtype=torch.float64).float()
        rows = self._centred(rows)
        axes = torch.eye(self.d_in)
        if self.do_pca:
            pca = PCAMatrix(self.d_in, self.d_out)
            pca.have_bias = False
            pca._train(rows)
            axes = pca._matrix("train")
        self.itq._train(times(rows, axes))
        self.pca_then_itq._A = times(self.itq._matrix("train"), axes.T)
        self.pca_then_itq.is_trained = self.is_trained = True

    def _centred(self, rows: Tensor) -> Tensor:
        return torch.as_tensor(unit_rows(rows - self._mean))

    def _apply(self, rows: Tensor) -> Tensor:
        return self.pca_then_itq._apply(self._centred(rows))

    def _state(self) -> tuple[Any, ...]:
        return self._mean, *self.pca_then_itq._state()
