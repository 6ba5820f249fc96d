"""FAISS's principal components: PCAMatrix."""

from __future__ import annotations

import operator

import torch
from torch import Tensor

from ..vectors import Float32Vector, VectorField
from .linear import LinearTransform, random_rotation
from .transform import sampled

_BLOCK_ROWS = 4096  # of training vectors that are held in float64 at a time


class PCAMatrix(LinearTransform):
    """The principal components of the training vectors, d_out of them, the greatest variance first.

    Components are multiplied by their variance to the power `eigen_power` (-0.5: whitening), to which `epsilon` is
    added before; `random_rotation` spreads variance over all dimensions, balanced_bins > 0 over so many parts of them.

    Of an axis both signs are right, and FAISS takes what LAPACK gives it. Here the entry of an axis that is furthest
    from zero is positive.
    """

    eigen_power: float = 0.0
    epsilon: float = 0.0
    random_rotation: bool = False
    max_points_per_d: int = 1000
    balanced_bins: int = 0
    mean = VectorField("_mean", Float32Vector)
    eigenvalues = VectorField("_eigenvalues", Float32Vector)
    PCAMat = VectorField("_axes", Float32Vector)
    _mean: Tensor  # [d_in]; these three [0] before training
    _eigenvalues: Tensor  # [d_in], of the sum of squares, not their mean
    _axes: Tensor  # [min(n, d_in) * d_in], every axis of n training vectors

    def __init__(self, d_in: int = 0, d_out: int = 0, eigen_power: float = 0.0, random_rotation: bool = False) -> None:
        super().__init__(d_in, d_out, have_bias=True)
        self.eigen_power, self.random_rotation = float(eigen_power), bool(random_rotation)
        self._mean = self._eigenvalues = self._axes = torch.empty(0)

    def _train(self, rows: Tensor) -> None:
        rows = sampled(rows, self.max_points_per_d * self.d_in)
        most = min(len(rows), self.d_in)
        if not 0 < self.d_out <= most:
            self._refuse(
                "train", f"{len(rows)} vectors of {self.d_in} dimensions have {most} axes, d_out is {self.d_out}"
            )
        mean = rows.mean(0, dtype=torch.float64) if self.have_bias else torch.zeros(self.d_in, dtype=torch.float64)
        if most == self.d_in:
            blocks = (block - mean for block in torch.split(rows, _BLOCK_ROWS))
            scatter = sum((block.T @ block for block in blocks), torch.zeros(most, most, dtype=torch.float64))
            values, vectors = torch.linalg.eigh(scatter)
            values, axes = values.flip(0), vectors.T.flip(0)
        else:
            _, lengths, axes = torch.linalg.svd(rows - mean, full_matrices=False)
            values = torch.nn.functional.pad(lengths.square(), (0, self.d_in - most))
        signs = axes.gather(1, axes.abs().argmax(1, keepdim=True)).sign()
        self._mean, self._eigenvalues, self._axes = mean.float(), values.float(), (axes * signs).float().contiguous()
        self.prepare_Ab()
        self.is_trained = True

    def copy_from(self, other: PCAMatrix) -> None:
        """Take the axes of another PCAMatrix that is trained."""
        if not other.is_trained:
            self._refuse("copy_from", "the other one is not trained")
        self._mean, self._eigenvalues, self._axes = other._mean, other._eigenvalues, other._axes
        self.prepare_Ab()
        self.is_trained = True

    def prepare_Ab(self) -> None:
        """Set A and b by the axes and by what the fields say now. Raises RuntimeError for fewer than d_out axes."""
        axes = self._axes.view(-1, self.d_in)[: self.d_out]
        if len(axes) < self.d_out:
            self._refuse("prepare_Ab", f"d_out is {self.d_out}, there are {len(axes)} axes")
        if self.balanced_bins and (self.random_rotation or self.d_out % self.balanced_bins):
            self._refuse(
                "prepare_Ab",
                f"balanced_bins must divide d_out {self.d_out} and exclude random_rotation, got {self.balanced_bins}",
            )
        matrix = axes.double()
        if self.eigen_power:
            # FAISS adds no epsilon before a random rotation.
            variances = self._eigenvalues[: self.d_out].double() + (0 if self.random_rotation else self.epsilon)
            matrix = matrix * variances.pow(self.eigen_power)[:, None]
        if self.random_rotation:
            matrix = random_rotation(self.d_out, self.d_out, 5).double() @ matrix
        elif self.balanced_bins:
            matrix = matrix[self._balanced_order()]
        self._A = matrix.float()
        self._b = -(self._A.double() @ self._mean.double()).float()
        self.is_orthonormal = self.eigen_power == 0

    def _balanced_order(self) -> Tensor:
        """Which axis each row of A holds: one after the other goes to the bin that has the least variance and room."""
        bins: list[list[int]] = [[] for _ in range(operator.index(self.balanced_bins))]
        variances = self._eigenvalues.double()
        for axis in range(self.d_out):
            open_bins = [members for members in bins if len(members) < self.d_out // len(bins)]
            min(open_bins, key=lambda members: float(variances[members].sum())).append(axis)
        return torch.tensor(bins).view(-1)
