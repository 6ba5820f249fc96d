"""Sorts into buckets, maps, checksums and intersections beside those of faiss-cpu."""

from __future__ import annotations

from itertools import pairwise
from types import ModuleType

import numpy as np
import pytest

import fastret.faiss as ours

theirs = pytest.importorskip("faiss")

BOTH = pytest.mark.parametrize("faiss", [ours, theirs], ids=["ours", "theirs"])


@pytest.mark.parametrize("nbucket", [None, 12])
@pytest.mark.parametrize("nt", [0, 2])
def test_integers_are_sorted_into_buckets(nbucket: int | None, nt: int, generator: np.random.Generator) -> None:
    values = generator.integers(0, 9, 200)
    lims, perm = ours.bucket_sort(values, nbucket=nbucket, nt=nt)
    reference_lims, reference = theirs.bucket_sort(values, nbucket=nbucket, nt=nt)
    np.testing.assert_array_equal(lims, reference_lims)
    for first, last in pairwise(lims):  # faiss's order within a bucket varies
        np.testing.assert_array_equal(perm[first:last], np.sort(reference[first:last]))


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_matrices_are_sorted_into_buckets_of_rows(dtype: str, generator: np.random.Generator) -> None:
    table = generator.integers(0, 9, (50, 3)).astype(dtype)
    reference = table.copy()
    lims = ours.matrix_bucket_sort_inplace(table)
    np.testing.assert_array_equal(lims, theirs.matrix_bucket_sort_inplace(reference))
    for first, last in pairwise(lims):
        np.testing.assert_array_equal(table.ravel()[first:last], np.sort(reference.ravel()[first:last]))
    with pytest.raises(AssertionError):
        ours.matrix_bucket_sort_inplace(table.astype(np.int16))


def test_integers_outside_the_buckets_are_refused() -> None:
    with pytest.raises(ValueError, match="bucket_sort: integers must be from 0 to 1, got 0 to 2"):
        ours.bucket_sort(np.arange(3), nbucket=2)


@pytest.mark.parametrize("shape", [(0,), (1,), (13,), (400,), (5, 0), (5, 7), (5, 16)])
def test_checksums_are_faiss_s(shape: tuple[int, ...], generator: np.random.Generator) -> None:
    array = generator.integers(0, 256, shape).astype(np.uint8)
    np.testing.assert_array_equal(ours.checksum(array), theirs.checksum(array))


def test_checksums_are_of_the_bytes(generator: np.random.Generator) -> None:
    array = generator.standard_normal((6, 5), dtype=np.float32)
    np.testing.assert_array_equal(ours.checksum(array), theirs.checksum(array))
    assert ours.checksum(array[0]) == theirs.checksum(array[0])


def test_intersections_are_counted(generator: np.random.Generator) -> None:
    one, other = generator.integers(-1, 12, (30, 6)), generator.integers(-1, 12, (30, 9))
    assert ours.eval_intersection(one, other) == theirs.eval_intersection(one, other)
    with pytest.raises(AssertionError):
        ours.eval_intersection(one, other[:3])


@BOTH
def test_maps_from_ids_to_ids(faiss: ModuleType) -> None:
    table = faiss.MapInt64ToInt64(16)
    table.add(np.array([3, 5]), np.array([1, 2]))
    np.testing.assert_array_equal(table.lookup(np.array([3, 5, 7])), [1, 2, -1])
    with pytest.raises(RuntimeError):
        table.add(np.arange(40), np.arange(40))
    with pytest.raises(AssertionError):
        faiss.MapInt64ToInt64(15)
    other = faiss.MapLong2Long()
    other.add(np.array([3, 5, 3]), np.array([1, 2, 9]))
    np.testing.assert_array_equal(other.search_multiple(np.array([3, 5, 7])), [9, 2, -1])
    assert other.search(5) == 2


def test_settings_without_effect_can_be_set() -> None:
    for name in vars(type(ours.cvar))["__annotations__"]:
        if name.startswith("distance"):
            assert getattr(ours.cvar, name) == getattr(theirs.cvar, name)
    ours.cvar.distance_compute_blas_threshold = 7
    assert ours.cvar.distance_compute_blas_threshold == 7
    with pytest.raises(AttributeError):
        ours.cvar.no_such_variable = 1
