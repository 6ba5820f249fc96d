"""FAISS's random numbers: for the same seed, the same numbers as FAISS draws."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.random.bit_generator import ISeedSequence
from numpy.typing import NDArray

from .pointers import Pointer, rev_swig_ptr
from .struct import FaissObject

_BLOCKS = 1024  # FAISS fills long arrays in so many parts, each from its own generator


class _Blank(ISeedSequence):
    """Fills a state that is seeded right after, faster than numpy's own mixing."""

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> NDArray[Any]:
        return np.zeros(n_words, dtype)


class RandomGenerator(FaissObject):
    """The Mersenne Twister std::mt19937, whose words numpy's RandomState gives for the same seed."""

    _state: np.random.RandomState

    def __init__(self, seed: int = 1234) -> None:
        self._state = np.random.RandomState(np.random.MT19937(_Blank()))  # type: ignore[arg-type]
        self._state.seed(operator.index(seed) & 0xFFFFFFFF)

    def _words(self, n: int) -> NDArray[np.uint32]:
        # numpy draws a word for no bytes.
        return np.frombuffer(self._state.bytes(4 * n) if n else b"", "<u4")

    def _positive(self, n: int) -> NDArray[np.int64]:
        words = self._words(2 * n).astype(np.int64) & 0x7FFFFFFF
        return words[::2] | (words[1::2] << 31)

    def _floats(self, n: int) -> NDArray[np.float32]:
        floats: NDArray[np.float32] = self._words(n).astype(np.float32) / np.float32(2**32 - 1)
        return floats

    def _doubles(self, n: int) -> NDArray[np.float64]:
        return self._words(n) / float(2**32 - 1)

    def rand_int(self, max: int | None = None) -> int:
        """An integer from 0 to 2**31 - 1, or below `max`."""
        word = int(self._words(1)[0])
        return word & 0x7FFFFFFF if max is None else word % operator.index(max)

    def rand_int64(self) -> int:
        """An integer from 0 to 2**62 - 1."""
        return int(self._positive(1)[0])

    def rand_float(self) -> float:
        """Between 0 and 1, both included, in float32."""
        return float(self._floats(1)[0])

    def rand_double(self) -> float:
        """Between 0 and 1, both included."""
        return float(self._doubles(1)[0])


class SplitMix64RandomGenerator(FaissObject):
    """SplitMix64 (Steele, Lea and Flood, 2014; https://prng.di.unimi.it/splitmix64.c)."""

    state: int = 0

    def __init__(self, seed: int = 1234) -> None:
        self.state = operator.index(seed) & 0xFFFFFFFFFFFFFFFF

    def _words(self, n: int) -> NDArray[np.uint64]:
        steps = np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = np.uint64(self.state) + steps
        self.state = int(z[-1]) if n else self.state
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        words: NDArray[np.uint64] = z ^ (z >> np.uint64(31))
        return words

    def next(self) -> int:
        """An integer from 0 to 2**64 - 1."""
        return int(self._words(1)[0])

    def rand_int(self, max: int | None = None) -> int:
        """An integer from 0 to 2**31 - 1, or below `max`."""
        word = self.next()
        return word & 0x7FFFFFFF if max is None else word % operator.index(max)

    def rand_int64(self) -> int:
        """An integer from 0 to 2**63 - 1."""
        return self.next() & 0x7FFFFFFFFFFFFFFF

    def rand_float(self) -> float:
        """Between 0 and 1, both included, in float32."""
        return float(np.float32(self.next()) / np.float32(2**64 - 1))

    def rand_double(self) -> float:
        """Between 0 and 1, both included."""
        return self.next() / float(2**64 - 1)


def permutation(n: int, seed: int, count: int | None = None) -> NDArray[np.int64]:
    """The first `count` entries of `rand_perm`'s permutation of n, or all."""
    return _swapped(n, RandomGenerator(seed), n if count is None else count)


def _swapped(n: int, generator: RandomGenerator | SplitMix64RandomGenerator, count: int) -> NDArray[np.int64]:
    """The first `count` of 0 ... n - 1 after entry t was swapped with entry targets[t] >= t, one t after the other.

    Without that loop: just before its own swap, place t holds what the last earlier swap with target t moved there
    from its own place, and so on.
    """
    steps: NDArray[np.int64] = np.arange(count)
    targets = steps.copy()
    swaps = max(min(count, n - 1), 0)
    targets[:swaps] += (generator._words(swaps) % (n - steps[:swaps]).astype(np.uint64)).astype(np.int64)
    source = steps.copy()  # of what place t holds: the last assignment to a repeated target stays
    moved = (targets > steps) & (targets < count)
    source[targets[moved]] = steps[moved]
    held = source
    while not np.array_equal(held, held[held]):
        held = held[held]
    entries: NDArray[np.int64] = targets.copy()
    order = np.argsort(targets, kind="stable")
    again = targets[order[1:]] == targets[order[:-1]]
    entries[order[1:][again]] = held[order[:-1][again]]
    return entries


def rand_perm(perm: Pointer, n: int, seed: int) -> None:
    """Fill perm [n] int32 with a permutation of 0 ... n - 1."""
    rev_swig_ptr(perm, n)[:] = permutation(n, seed)


def rand_perm_splitmix64(perm: Pointer, n: int, seed: int) -> None:
    """As rand_perm, from the other generator."""
    rev_swig_ptr(perm, n)[:] = _swapped(n, SplitMix64RandomGenerator(seed), n)


def _filled(values: NDArray[Any], seed: int, draw: Callable[[RandomGenerator, int], NDArray[Any]]) -> NDArray[Any]:
    flat = values.reshape(-1)
    for part, generator in _parts(flat.size, seed):
        flat[part] = draw(generator, part.stop - part.start)
    return values


def _parts(n: int, seed: int) -> Iterator[tuple[slice, RandomGenerator]]:
    generator = RandomGenerator(seed)
    first, step = generator.rand_int(), generator.rand_int()
    parts = 1 if n < _BLOCKS else _BLOCKS
    for part in range(parts):
        yield slice(part * n // parts, (part + 1) * n // parts), RandomGenerator(first + part * step)


def _normals(generator: RandomGenerator, n: int) -> NDArray[np.float64]:
    """Marsaglia's polar method (1964): of points in a square those inside the unit circle, two values from each."""
    points = np.empty((0, 2))
    while 2 * len(points) < n:
        drawn = 2.0 * generator._doubles(2 * n + 16).reshape(-1, 2) - 1
        points = np.concatenate([points, drawn[np.square(drawn).sum(1) < 1]])
    points = points[: (n + 1) // 2]
    squares = np.square(points).sum(1, keepdims=True)
    normals: NDArray[np.float64] = points * np.sqrt(-2.0 * np.log(squares) / squares)
    return normals.reshape(-1)[:n]


def float_rand(x: Pointer, n: int, seed: int) -> None:
    """Fill x [n] float32 uniformly between 0 and 1."""
    _filled(rev_swig_ptr(x, n), seed, RandomGenerator._floats)


def float_randn(x: Pointer, n: int, seed: int) -> None:
    """Fill x [n] float32 from the normal distribution."""
    _filled(rev_swig_ptr(x, n), seed, _normals)


def int64_rand(x: Pointer, n: int, seed: int) -> None:
    """Fill x [n] int64 uniformly from 0 to 2**62 - 1."""
    _filled(rev_swig_ptr(x, n), seed, RandomGenerator._positive)


def int64_rand_max(x: Pointer, n: int, max: int, seed: int) -> None:
    """Fill x [n] int64 uniformly below max."""
    _filled(rev_swig_ptr(x, n), seed, lambda generator, m: generator._positive(m) % max)


def byte_rand(x: Pointer, n: int, seed: int) -> None:
    """Fill x [n] uint8 uniformly from 0 to 255."""
    _filled(rev_swig_ptr(x, n), seed, lambda generator, m: generator._positive(m).astype(np.uint8))


def rand(n: int | tuple[int, ...], seed: int = 12345) -> NDArray[np.float32]:
    """n (a number or a shape) values uniform between 0 and 1, float32."""
    return _filled(np.empty(n, np.float32), seed, RandomGenerator._floats)


def randn(n: int | tuple[int, ...], seed: int = 12345) -> NDArray[np.float32]:
    """n (a number or a shape) values of the normal distribution, float32."""
    return _filled(np.empty(n, np.float32), seed, _normals)


def randint(n: int | tuple[int, ...], seed: int = 12345, vmax: int | None = None) -> NDArray[np.int64]:
    """n (a number or a shape) integers from 0 to 2**62 - 1 or below vmax, int64."""
    values = _filled(np.empty(n, np.int64), seed, RandomGenerator._positive)
    return values if vmax is None else values % vmax


lrand = randint


def rand_smooth_vectors(n: int, d: int, seed: int = 1234) -> NDArray[np.float32]:
    """Vectors [n, d] float32 that have 10 degrees of freedom, as sines of random projections of those."""
    hidden = randn((n, 10), seed) @ rand((10, d), seed + 1)
    scales = rand(d, seed + 2)
    smooth: NDArray[np.float32] = np.sin(hidden * (scales * np.float32(4) + np.float32(0.1)))
    return smooth
