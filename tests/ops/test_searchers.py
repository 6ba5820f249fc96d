"""What the native searchers refuse."""

from __future__ import annotations

import numpy as np
import pytest

from fastret._C import ListSearcher, RowSearcher


def test_one_sentence_for_arrays_of_another_kind() -> None:
    codes = np.zeros((5, 16), np.uint8)
    with pytest.raises(
        ValueError, match=r"searcher: codes must be contiguous \[5, 16\] of uint8, got \[5, 8\] of uint8"
    ):
        RowSearcher(codes[:, ::2], 4, 2, 0)
    with pytest.raises(ValueError, match="searcher: codec must be from 0 to 7, got 99"):
        RowSearcher(codes, 4, 2, 99)
    with pytest.raises(ValueError, match="searcher: metric must be 0"):
        RowSearcher(codes, 4, 3, 0)
    with pytest.raises(ValueError, match="searcher: codec 3 needs ranges"):
        RowSearcher(codes, 16, 2, 3)


def test_a_list_outside_the_arena_is_refused() -> None:
    coarse, codes = np.zeros((1, 2), np.float32), np.zeros((3, 8), np.uint8)
    searcher = ListSearcher(coarse, 2, codes, np.arange(3), np.array([2]), np.array([2]), 2, 0)
    with pytest.raises(RuntimeError, match="list 0 must lie within the 3 rows, got start 2 and size 2"):
        searcher.search(np.zeros((1, 2), np.float32), 1, 1, 0)
