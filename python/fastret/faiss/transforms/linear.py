"""FAISS's transforms by a matrix: LinearTransform and RandomRotationMatrix."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor

from ...ops.cosine_scores import cosine_scores
from ..pointers import Pointer, rev_swig_ptr
from ..random import randn
from ..vectors import Float32Vector, VectorField
from .transform import VectorTransform

_ORTHONORMAL = 4e-5  # the furthest that an entry of A A^T may be from the identity's


class LinearTransform(VectorTransform):
    """A x + b: A [d_out, d_in] is filled, then is_trained is set, or a subclass learns it.

    Products are summed in float64 and rounded once, in the same way on every machine.
    """

    is_trained: bool = False
    have_bias: bool = False
    is_orthonormal: bool = False
    verbose: bool = False
    A = VectorField("_A", Float32Vector)
    b = VectorField("_b", Float32Vector)
    _A: Tensor  # [d_out * d_in] or [d_out, d_in]; [0] before training
    _b: Tensor  # [d_out], or [0]

    def __init__(self, d_in: int = 0, d_out: int = 0, have_bias: bool = False) -> None:
        super().__init__(d_in, d_out)
        self.have_bias = bool(have_bias)
        self._A = self._b = torch.empty(0)

    def _matrix(self, operation: str) -> Tensor:
        """[d_out, d_in]"""
        if self._A.numel() != self.d_out * self.d_in:
            self._refuse(operation, f"A must be [{self.d_out} * {self.d_in}], got [{self._A.numel()}]")
        return self._A.view(self.d_out, self.d_in)

    def _bias(self, operation: str) -> Tensor | float:
        if not self.have_bias:
            return 0.0
        if self._b.numel() != self.d_out:
            self._refuse(operation, f"b must be [{self.d_out}], got [{self._b.numel()}]")
        return self._b

    def _apply(self, rows: Tensor) -> Tensor:
        bias = self._bias("apply")
        return times(rows, self._matrix("apply")) + bias

    def _reverse(self, rows: Tensor) -> Tensor:
        if not self.is_orthonormal:
            self._refuse("reverse_transform", "A must be orthonormal, see set_is_orthonormal")
        return self._transposed(rows)

    def _transposed(self, rows: Tensor) -> Tensor:
        """A^T (x - b)"""
        return times(rows - self._bias("transform_transpose"), self._matrix("transform_transpose").T)

    def transform_transpose(self, n: int, y: Pointer, x: Pointer) -> None:
        """A^T (y - b) of n vectors behind the pointer y, written behind the pointer x."""
        rows = torch.from_numpy(rev_swig_ptr(y, n * self.d_out)).view(n, self.d_out)
        rev_swig_ptr(x, n * self.d_in)[:] = self._transposed(rows).reshape(-1).numpy()

    def set_is_orthonormal(self) -> None:
        """Set is_orthonormal by whether the rows of A are, within 4e-5."""
        if self.d_out > self.d_in:
            self.is_orthonormal = False
            return
        a = self._matrix("set_is_orthonormal").double()
        self.is_orthonormal = bool(((a @ a.T - torch.eye(self.d_out)).abs() <= _ORTHONORMAL).all())

    def _state(self) -> tuple[Any, ...]:
        return self._A.view(-1), self._b.view(-1)


class RandomRotationMatrix(LinearTransform):
    """A random rotation, of its first d_out or d_in dimensions where these differ; `train` takes seed 12345."""

    def __init__(self, d_in: int = 0, d_out: int = 0) -> None:
        super().__init__(d_in, d_out)

    def init(self, seed: int) -> None:
        """Draw the rotation that FAISS draws for a seed."""
        size = max(self.d_in, self.d_out)
        self._A = random_rotation(size, self.d_out, seed)[:, : self.d_in].contiguous()
        self.is_orthonormal = self.is_trained = True

    def _train(self, rows: Tensor) -> None:
        self.init(12345)


def times(rows: Tensor, matrix: Tensor) -> Tensor:
    """rows [n, d] times the transpose of a matrix [e, d], [n, e] float32, with the bits that every machine gives."""
    return torch.as_tensor(cosine_scores(rows, matrix.contiguous(), "ip"))


def random_rotation(d_in: int, d_out: int, seed: int) -> Tensor:
    """Orthonormal rows [d_out, d_in] float32, d_out <= d_in: those of FAISS, by QR of its random numbers."""
    drawn = torch.from_numpy(randn((d_out, d_in), operator.index(seed)))
    rotation: Tensor = torch.linalg.qr(drawn.double().T).Q.T.float()
    return rotation
