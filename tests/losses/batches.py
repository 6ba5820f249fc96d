"""Small batches, and every option of info_nce with a value that matters for them."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

QUERIES, KEYS, DIM, HARD, GUIDE = 7, 9, 5, 3, 4


def unit_rows(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Vectors that lie in a cone, as embeddings do."""
    rows = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return normalize(rows + 0.7, dim=-1).to(dtype)


def guides(with_hard: bool) -> tuple[Tensor, ...]:
    found = (unit_rows(QUERIES, GUIDE, seed=11), unit_rows(KEYS, GUIDE, seed=12))
    return (*found, unit_rows(QUERIES, HARD, GUIDE, seed=13)) if with_hard else found


OPTIONS: dict[str, dict[str, Any]] = {
    "labels": {"labels": torch.tensor([3, 0, 8, -1, 2, 5, 0])},
    "several positives": {"labels": torch.tensor([[3, 1], [0, -1], [8, 4], [-1, -1], [2, 2], [5, 6], [0, 7]])},
    "hard negatives": {"hard_negatives": unit_rows(QUERIES, HARD, DIM, seed=3)},
    "chosen negatives": {
        "hard_negatives": torch.tensor(
            [[4, 5, -1], [1, 0, 8], [-1, -1, -1], [3, 0, 1], [2, 2, 5], [8, 7, 6], [6, 1, 0]]
        )
    },
    "both ids": {
        "query_ids": torch.tensor([1, 2, 3, 4, 1, 2, 7]),
        "key_ids": torch.tensor([1, 2, 3, 4, 5, 2, 1, 9, 7]),
    },
    "key ids": {"key_ids": torch.tensor([1, 2, 1, 4, 4, 6, 2, 8, 4])},
    "query ids": {"query_ids": torch.tensor([1, 2, 1, 4, 2, 6, 7])},
    "false negatives": {"false_negative_margin": 0.05},
    "relative": {"false_negative_margin": 0.1, "false_negative_mode": "relative"},
    "guide": {"guide": guides(False)},
    "hardness": {"hardness": 2.0},
    "margin": {"margin": 0.3},
    "smoothing": {"label_smoothing": 0.1},
    "symmetric": {"symmetric": True},
    "query_query": {"query_query": True},
    "key_key": {"key_key": True},
    "matryoshka": {"matryoshka": {3: 0.5, 5: 1.0}},
    "sum": {"reduction": "sum"},
    "none": {"reduction": "none"},
}


def _compatible(first: str, second: str) -> bool:
    pair = {first, second}
    one_of = ({"labels", "several positives"}, {"hard negatives", "chosen negatives"}, {"sum", "none"})
    ids, filters = {"both ids", "key ids", "query ids"}, {"false negatives", "relative"}
    if any(pair <= group for group in (*one_of, ids, filters)):
        return False
    if "several positives" in pair and pair & {"key ids", "query ids", "key_key"}:
        return False
    if "query ids" in pair and "labels" in pair:
        return False
    return pair != {"symmetric", "none"}  # which needs as many queries as keys: a test of its own


PAIRS = [(name, name) for name in OPTIONS] + [pair for pair in combinations(OPTIONS, 2) if _compatible(*pair)]


def options_of(pair: tuple[str, str]) -> dict[str, Any]:
    options = {**OPTIONS[pair[0]], **OPTIONS[pair[1]]}
    if "guide" in pair and "hard negatives" in pair:
        options["guide"] = guides(True)
    return options
