"""Adverse vectors are as hard as they say: near-copies, ties, rising scores, one query."""

from __future__ import annotations

import pytest
import torch
from benchmarks.adverse_vectors import ADVERSE, adverse_vectors


@pytest.mark.parametrize("kind", ADVERSE)
def test_vectors_have_their_sizes_and_unit_norm_and_follow_the_seed(kind: str) -> None:
    queries, keys = adverse_vectors(kind, 10, 300, 32)
    assert queries.shape == (10, 32) and keys.shape == (300, 32)
    assert torch.allclose(torch.cat([queries, keys]).norm(dim=1), torch.ones(310), atol=1e-6)
    adverse_vectors.cache_clear()
    again = adverse_vectors(kind, 10, 300, 32)
    assert torch.equal(again[0], queries) and torch.equal(again[1], keys)


@pytest.mark.parametrize("num_originals", [2, 20])
def test_near_duplicates_are_distinct_and_lie_around_a_few_keys(num_originals: int) -> None:
    _, keys = adverse_vectors(f"near-duplicates of {num_originals} keys", 10, 1000, 32)
    assert len(keys.unique(dim=0)) == 1000
    near = torch.cdist(keys, keys) < 1e-3
    assert len(near.unique(dim=0)) == num_originals


def test_equal_keys_are_equal() -> None:
    _, keys = adverse_vectors("all-equal keys", 10, 300, 32)
    assert torch.equal(keys, keys[:1].expand(300, 32))


def test_sorted_keys_score_ever_better_with_every_query() -> None:
    queries, keys = adverse_vectors("score-sorted keys", 10, 300, 32)
    place = torch.arange(300.0)
    for scores in queries @ keys.T:
        assert torch.corrcoef(torch.stack([scores, place]))[0, 1] > 0.9


def test_one_query_is_repeated() -> None:
    queries, keys = adverse_vectors("one query repeated", 10, 300, 32)
    assert torch.equal(queries, queries[:1].expand(10, 32))
    assert len(keys.unique(dim=0)) == 300
