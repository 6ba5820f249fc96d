"""Elements beyond 2^31 from the start of a tensor. Only the pages that are written to become real memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from same_bits import assert_same_bits, every_way
from torch import Generator, Tensor

import fastret
from fastret.ops import reference

ROW_STRIDE = 2**30 + 8
DIM = 40


@pytest.fixture(scope="module")
def far_apart() -> Tensor:
    """[3, 40] float16 whose last row begins beyond 2^31 elements."""
    memory = torch.from_numpy(np.zeros(2 * ROW_STRIDE + DIM, dtype=np.float16))
    rows = memory.as_strided((3, DIM), (ROW_STRIDE, 1))
    rows.copy_(torch.randn(3, DIM, generator=Generator().manual_seed(5)))
    return rows


def test_keys_and_queries(far_apart: Tensor) -> None:
    assert 2 * far_apart.stride(0) > 2**31
    rows = far_apart.clone()
    for queries, keys in ((far_apart, rows), (rows.repeat(2, 1), far_apart), (far_apart, far_apart)):
        want = reference.search(queries.clone(), keys.clone(), 3, "l2")
        for way, arguments in every_way(keys, "l2"):
            for got, wanted in zip(fastret.search(queries, **arguments, k=3, metric="l2"), want, strict=True):
                assert_same_bits(got, wanted, way)


def test_rows_to_select_from(far_apart: Tensor) -> None:
    for largest in (True, False):
        want = reference.select_k(far_apart.clone(), 7, largest)
        for got, wanted in zip(fastret.select_k(far_apart, 7, largest), want, strict=True):
            assert_same_bits(got, wanted)


def test_rows_and_matrices_of_a_batch(far_apart: Tensor) -> None:
    rows = far_apart.clone()
    want = reference.cosine_scores(rows, rows)
    assert_same_bits(fastret.cosine_scores(far_apart, far_apart), want)
    batch = far_apart.view(3, 1, DIM)
    assert_same_bits(fastret.cosine_scores(batch, batch)[:, 0, 0], want.diagonal().contiguous())
