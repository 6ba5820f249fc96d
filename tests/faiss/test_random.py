"""FAISS's random numbers: the same as faiss-cpu draws for the same seed."""

from __future__ import annotations

import numpy as np
import pytest

import fastret.faiss.random as ours
from fastret.faiss.pointers import swig_ptr

theirs = pytest.importorskip("faiss")

SEEDS = [0, 1, 1234, 2**31 + 5, -7]


@pytest.mark.parametrize("name", ["RandomGenerator", "SplitMix64RandomGenerator"])
@pytest.mark.parametrize("seed", SEEDS)
def test_generators_draw_the_same_numbers_in_any_order_of_calls(name: str, seed: int) -> None:
    generators = [getattr(module, name)(seed) for module in (ours, theirs)]
    for _ in range(300):
        for call in ("rand_int", "rand_int64", "rand_float", "rand_double"):
            drawn = [getattr(generator, call)() for generator in generators]
            assert drawn[0] == drawn[1], call
        bounded = [generator.rand_int(1000) for generator in generators]
        assert bounded[0] == bounded[1]


@pytest.mark.parametrize("n", [0, 1, 2, 3, 50, 1000, 20001])
@pytest.mark.parametrize("seed", SEEDS)
def test_permutations_are_those_of_faiss(n: int, seed: int) -> None:
    reference, perm = np.empty(n, dtype=np.int32), np.empty(n, dtype=np.int32)
    for name in ("rand_perm_splitmix64", "rand_perm"):
        getattr(theirs, name)(theirs.swig_ptr(reference), n, seed)
        getattr(ours, name)(swig_ptr(perm), n, seed)
        np.testing.assert_array_equal(perm, reference)
    np.testing.assert_array_equal(ours.permutation(n, seed, n // 3), reference[: n // 3])


@pytest.mark.parametrize("n", [0, 1, 7, 1023, 1024, 5000, (31, 67)])
@pytest.mark.parametrize("seed", SEEDS)
def test_arrays_are_those_of_faiss(n: int | tuple[int, ...], seed: int) -> None:
    np.testing.assert_array_equal(ours.rand(n, seed), theirs.rand(n, seed))
    np.testing.assert_array_equal(ours.randint(n, seed), theirs.randint(n, seed))
    np.testing.assert_array_equal(ours.lrand(n, seed, vmax=1000), theirs.lrand(n, seed, vmax=1000))
    # One rounding: logarithms and square roots of two libraries.
    np.testing.assert_allclose(ours.randn(n, seed), theirs.randn(n, seed), rtol=2**-23)


def test_drawing_nothing_leaves_the_generator_as_it_is() -> None:
    generator = ours.RandomGenerator(5)
    assert len(generator._words(0)) == 0
    assert generator.rand_int() == theirs.RandomGenerator(5).rand_int()


def test_default_seeds_and_dtypes_are_those_of_faiss() -> None:
    for name in ("rand", "randn", "randint"):
        drawn, reference = (getattr(module, name)(10) for module in (ours, theirs))
        np.testing.assert_allclose(drawn, reference, rtol=2**-23)
        assert drawn.dtype == reference.dtype


def test_bytes_are_those_of_faiss() -> None:
    drawn, reference = np.empty(3000, dtype=np.uint8), np.empty(3000, dtype=np.uint8)
    ours.byte_rand(swig_ptr(drawn), 3000, 5)
    theirs.byte_rand(theirs.swig_ptr(reference), 3000, 5)
    np.testing.assert_array_equal(drawn, reference)


def test_smooth_vectors_are_those_of_faiss() -> None:
    # Sines of arguments up to about 100, whose float32 products of 10 terms are summed in another order.
    reference = theirs.rand_smooth_vectors(200, 24, 9)
    np.testing.assert_allclose(ours.rand_smooth_vectors(200, 24, 9), reference, atol=100 * 10 * 2**-24)
