"""What FAISS does to vectors before it indexes them: VectorTransform, and the kinds that are no matrix."""

from __future__ import annotations

import operator
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from ...ops.unit_rows import unit_rows
from ..arrays import float32_rows, in_kind_of
from ..pointers import Pointer, rev_swig_ptr
from ..random import SplitMix64RandomGenerator, permutation
from ..selectors import flat_array
from ..struct import FaissObject
from ..vectors import Float32Vector, Int32Vector, VectorField


class VectorTransform(FaissObject):
    """The base of every transform of vectors [n, d_in] to vectors [n, d_out].

    Kinds of transforms implement the methods with an underscore, on float32 tensors that were checked.
    """

    d_in: int = 0
    d_out: int = 0
    is_trained: bool = True

    def __init__(self, d_in: int = 0, d_out: int = 0) -> None:
        self.d_in, self.d_out = operator.index(d_in), operator.index(d_out)

    def _train(self, rows: Tensor) -> None:
        """rows [n, d_in]"""

    def _apply(self, rows: Tensor) -> Tensor:
        self._refuse("apply", "this is the base of transforms")

    def _reverse(self, rows: Tensor) -> Tensor:
        self._refuse("reverse_transform", "this kind of transform has none")

    def _state(self) -> tuple[Any, ...]:
        """What else `check_identical` compares: numbers and tensors."""
        return ()

    def train(self, x: Any) -> None:
        """Learn from vectors x [n, d_in] what the transform needs."""
        self._train(float32_rows(self._named("train"), x, self.d_in))

    def apply(self, x: Any) -> Any:
        """Vectors x [n, d_in] transformed, [n, d_out] float32. Raises RuntimeError before training."""
        rows = float32_rows(self._named("apply"), x, self.d_in)
        if not self.is_trained:
            self._refuse("apply", "the transform is not trained; call train first")
        return in_kind_of(x, self._apply(rows))

    def apply_py(self, x: Any) -> Any:
        """The same as `apply`."""
        return self.apply(x)

    def apply_noalloc(self, n: int, x: Pointer, xt: Pointer) -> None:
        """`apply` from a pointer to n vectors to a pointer to n vectors."""
        rows = rev_swig_ptr(x, n * self.d_in).reshape(n, self.d_in)
        rev_swig_ptr(xt, n * self.d_out)[:] = self.apply(rows).reshape(-1)

    def reverse_transform(self, x: Any) -> Any:
        """Vectors [n, d_in] that transform to x [n, d_out], or near it. Raises RuntimeError where there are none."""
        rows = float32_rows(self._named("reverse_transform"), x, self.d_out)
        if not self.is_trained:
            self._refuse("reverse_transform", "the transform is not trained; call train first")
        return in_kind_of(x, self._reverse(rows))

    def check_identical(self, other: VectorTransform) -> None:
        """Raises RuntimeError unless another transform does exactly the same."""
        state, others = ([t.d_in, t.d_out, *t._state()] for t in (self, other))
        same = type(other) is type(self) and all(
            torch.equal(torch.as_tensor(a), torch.as_tensor(b)) for a, b in zip(state, others, strict=True)
        )
        if not same:
            self._refuse("check_identical", "the transforms differ")

    def _refuse(self, operation: str, why: str) -> NoReturn:
        raise RuntimeError(f"{self._named(operation)}: {why}")

    def _named(self, operation: str) -> str:
        return f"{type(self).__name__}.{operation}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}(d_in={self.d_in}, d_out={self.d_out})"


class NormalizationTransform(VectorTransform):
    """Each vector divided by its L2 norm, zero vectors as they are; the reverse leaves vectors as they are."""

    norm: float = 2.0

    def __init__(self, d: int = -1, norm: float = 2.0) -> None:
        super().__init__(d, d)
        self.norm = float(norm)

    def _apply(self, rows: Tensor) -> Tensor:
        if self.norm != 2:
            self._refuse("apply", f"norm must be 2, got {self.norm}")
        return torch.as_tensor(unit_rows(rows))

    def _reverse(self, rows: Tensor) -> Tensor:
        return rows.clone()

    def _state(self) -> tuple[Any, ...]:
        return (self.norm,)


class CenteringTransform(VectorTransform):
    """The mean of the training vectors subtracted."""

    is_trained: bool = False
    mean = VectorField("_mean", Float32Vector)
    _mean: Tensor  # [d_in]; [0] before training

    def __init__(self, d: int = 0) -> None:
        super().__init__(d, d)
        self._mean = torch.empty(0)

    def _train(self, rows: Tensor) -> None:
        if not len(rows):
            self._refuse("train", "there must be vectors to learn from, got none")
        self._mean = rows.mean(0, dtype=torch.float64).float()
        self.is_trained = True

    def _apply(self, rows: Tensor) -> Tensor:
        return rows - self._mean

    def _reverse(self, rows: Tensor) -> Tensor:
        return rows + self._mean

    def _state(self) -> tuple[Any, ...]:
        return (self._mean,)


class RemapDimensionsTransform(VectorTransform):
    """Dimension i of the result is dimension map[i] of the vector, 0 where map[i] is -1.

    RemapDimensionsTransform(d_in, d_out, map) takes a map [d_out], as a pointer or an array;
    RemapDimensionsTransform(d_in, d_out, uniform) spreads the dimensions evenly, or keeps them in front.
    """

    map = VectorField("_map", Int32Vector)
    _map: Tensor  # [d_out] int32

    def __init__(self, d_in: int = 0, d_out: int = 0, map: Any = True) -> None:
        super().__init__(d_in, d_out)
        places = torch.arange(self.d_out)
        if isinstance(map, Pointer):
            map = rev_swig_ptr(map, self.d_out)
        if not isinstance(map, bool | int):
            given = torch.from_numpy(flat_array(type(self).__name__, (map,), np.int64))
        elif not map:
            given = torch.where(places < self.d_in, places, -1)
        elif self.d_in >= self.d_out:
            given = places * self.d_in // max(1, self.d_out)
        else:
            given = torch.full_like(places, -1)
            given[torch.arange(self.d_in) * self.d_out // self.d_in] = torch.arange(self.d_in)
        if len(given) != self.d_out or ((given < -1) | (given >= self.d_in)).any():
            raise RuntimeError(
                f"{type(self).__name__}: map must be [{self.d_out}] of -1 ... {self.d_in - 1}, got {given.tolist()}"
            )
        self._map = given.int()

    def _apply(self, rows: Tensor) -> Tensor:
        return torch.where(self._map >= 0, rows[:, self._map.clamp(min=0)], 0)

    def _reverse(self, rows: Tensor) -> Tensor:
        used = self._map >= 0
        vectors = torch.zeros(len(rows), self.d_in)
        vectors[:, self._map[used]] = rows[:, used]
        return vectors

    def _state(self) -> tuple[Any, ...]:
        return (self._map,)


class HadamardRotation(VectorTransform):
    """Three rounds of random signs and a Walsh-Hadamard transform; d_out is the power of two from d on."""

    seed: int = 0
    signs1 = VectorField("_signs1", Float32Vector)
    signs2 = VectorField("_signs2", Float32Vector)
    signs3 = VectorField("_signs3", Float32Vector)
    _signs1: Tensor  # [d_out], 1 or -1
    _signs2: Tensor
    _signs3: Tensor

    def __init__(self, d: int = 0, seed: int = 12345) -> None:
        d = operator.index(d)
        super().__init__(d, 1 << max(0, d - 1).bit_length() if d else 0)
        self.init(seed if d else 0)

    def init(self, seed: int) -> None:
        """Draw the signs of a seed."""
        self.seed = operator.index(seed)
        drawn = SplitMix64RandomGenerator(self.seed)._words(3 * self.d_out) % np.uint64(2)
        signs = torch.from_numpy(drawn.astype(np.float32)).view(3, self.d_out) * 2 - 1
        self._signs1, self._signs2, self._signs3 = signs.clone().unbind()

    def _train(self, rows: Tensor) -> None:
        self.init(self.seed or 12345)

    def _apply(self, rows: Tensor) -> Tensor:
        rows = torch.nn.functional.pad(rows, (0, self.d_out - self.d_in))
        for signs in (self._signs1, self._signs2, self._signs3):
            rows = _walsh_hadamard(rows * signs)
        return rows * self._scale

    def _reverse(self, rows: Tensor) -> Tensor:
        if self.d_in != self.d_out:
            self._refuse("reverse_transform", f"d must be a power of two, got {self.d_in}")
        for signs in (self._signs3, self._signs2, self._signs1):
            rows = _walsh_hadamard(rows) * signs
        return rows * self._scale

    @property
    def _scale(self) -> float:
        size = np.float32(self.d_out)
        return float(1 / (size * np.sqrt(size)))

    def _state(self) -> tuple[Any, ...]:
        return (self.seed,)


def _walsh_hadamard(rows: Tensor) -> Tensor:
    """Rows [n, p] times the Hadamard matrix of size p, a power of two."""
    n, p = rows.shape
    step = 1
    while step < p:
        pairs = rows.reshape(n, p // (2 * step), 2, step)
        rows = torch.stack([pairs[:, :, 0] + pairs[:, :, 1], pairs[:, :, 0] - pairs[:, :, 1]], 2)
        step *= 2
    return rows.reshape(n, p)


def sampled(rows: Tensor, most: int) -> Tensor:
    """Of more than `most` training vectors so many, those that FAISS draws."""
    return rows if len(rows) <= most else rows[torch.from_numpy(permutation(len(rows), 1234, most))]


def downcast_VectorTransform(transform: VectorTransform) -> VectorTransform:
    """The transform: Python objects are of their own kind already."""
    return transform
