"""What the losses refuse, each in one sentence."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch

import fastret

Q, K = torch.randn(4, 3), torch.randn(6, 3)

REFUSED: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"queries": [1.0]}, TypeError, "queries must be a torch tensor, got list"),
    ({"queries": Q.int()}, TypeError, "queries must be float32, bfloat16, float16 or float64, got torch.int32"),
    ({"keys": K[0]}, ValueError, "keys must be 2-D, got [3]"),
    ({"keys": torch.randn(6, 5)}, ValueError, "queries and keys must share D, got [4, 3] and [6, 5]"),
    ({"keys": K[:2]}, ValueError, "without labels every query needs a key of its own, got 4 queries and 2 keys"),
    ({"labels": torch.tensor([0, 1, 2, 6])}, ValueError, "labels must be rows of the 6 keys, got 6"),
    ({"labels": torch.tensor([0, 1])}, ValueError, "labels must be [4], got [2]"),
    ({"labels": torch.rand(4)}, TypeError, "labels must be a tensor of integers, got torch.float32"),
    ({"temperature": 0.0}, ValueError, "temperature must be above 0, got 0.0"),
    ({"temperature": torch.ones(2)}, ValueError, "temperature must be a number or a tensor of one float, got [2]"),
    ({"temperature": "hot"}, TypeError, "temperature must be a number, got str"),
    ({"reduction": "max"}, ValueError, "reduction must be 'mean', 'sum' or 'none', got 'max'"),
]
REFUSED_BY_INFO_NCE: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"hard_negatives": torch.randn(4, 3)}, ValueError, "hard_negatives must be 3-D, got [4, 3]"),
    ({"hard_negatives": torch.randn(5, 2, 3)}, ValueError, "hard_negatives must be [4, M, D], got [5, 2, 3]"),
    ({"hard_negatives": torch.full((4, 1), 6)}, ValueError, "hard_negatives must be rows of the 6 keys, got 6"),
    ({"hardness": -1.0}, ValueError, "hardness must be at least 0 and finite, got -1.0"),
    ({"hardness": float("inf")}, ValueError, "hardness must be at least 0 and finite, got inf"),
    ({"label_smoothing": 1.0}, ValueError, "label_smoothing must be at least 0 and below 1, got 1.0"),
    ({"margin": float("nan")}, ValueError, "margin must be finite, got nan"),
    ({"false_negative_mode": "both"}, ValueError, "false_negative_mode must be 'absolute' or 'relative', got 'both'"),
    ({"guide": (Q,)}, ValueError, "guide must be vectors of queries and of keys, got 1"),
    ({"guide": (Q, Q)}, ValueError, "guide's keys must be [6, 'G'], got [4, 3]"),
    ({"matryoshka": [4]}, ValueError, "matryoshka must be dimensions from 1 to 3, got [4]"),
    ({"key_key": True, "labels": torch.zeros(4, 2, dtype=torch.int64)}, ValueError, "key_key needs pairs"),
    ({"reduction": "none", "symmetric": True}, ValueError, "reduction 'none' with symmetric needs as many queries"),
    ({"return_topk": -1}, ValueError, "return_topk must not be negative, got -1"),
    ({"query_ids": torch.arange(3)}, ValueError, "query_ids must be [4], got [3]"),
    ({"query_ids": torch.arange(4), "labels": torch.arange(4)}, ValueError, "with labels query_ids need key_ids"),
]


@pytest.mark.parametrize(("given", "error", "sentence"), REFUSED + REFUSED_BY_INFO_NCE)
def test_info_nce_says_what_it_refuses(given: dict[str, Any], error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match="^" + re.escape(f"info_nce: {sentence}")):
        fastret.info_nce(**{"queries": Q, "keys": K, "temperature": 0.1, **given})


@pytest.mark.parametrize(("given", "error", "sentence"), REFUSED)
def test_sigmoid_loss_says_what_it_refuses(given: dict[str, Any], error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match="^" + re.escape(f"sigmoid_loss: {sentence}")):
        fastret.sigmoid_loss(**{"queries": Q, "keys": K, "temperature": 0.1, **given})
