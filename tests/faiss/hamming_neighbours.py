"""Comparing Hamming neighbours with FAISS's, which orders equal distances otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np

NO_DISTANCE = 2**31 - 1  # of what is not found; in float32 more


def assert_same_neighbours(answer: tuple[Any, Any], reference: tuple[Any, Any]) -> None:
    """Equal distances, ordered by id among equals; equal ids but for those that tie for the last place."""
    (distances, ids), (expected, expected_ids) = answer, reference
    np.testing.assert_array_equal(distances, expected)
    assert distances.dtype == expected.dtype
    assert ids.dtype == expected_ids.dtype
    for row, its_ids, theirs in zip(distances, ids, expected_ids, strict=True):
        found = row < NO_DISTANCE
        pairs = list(zip(row[found], its_ids[found], strict=True))
        assert pairs == sorted(pairs)
        sure = found & (row < row[-1]) if found.all() else found
        assert sorted(its_ids[sure]) == sorted(theirs[sure])
        assert (its_ids[~found] == -1).all()


def assert_same_range(answer: tuple[Any, Any, Any], reference: tuple[Any, Any, Any]) -> None:
    """The same ids and distances for each query."""
    lims, distances, ids = answer
    np.testing.assert_array_equal(lims, reference[0])
    assert [part.dtype for part in answer] == [part.dtype for part in reference]
    for first, last in zip(lims[:-1].astype(int), lims[1:].astype(int), strict=True):
        order = reference[2][first:last].argsort(kind="stable")
        np.testing.assert_array_equal(ids[first:last], reference[2][first:last][order])
        np.testing.assert_array_equal(distances[first:last], reference[1][first:last][order])
