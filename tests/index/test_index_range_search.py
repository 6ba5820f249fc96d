"""range_search: FAISS's convention, strict, in the order of ids."""

from __future__ import annotations

import pytest
import torch

import fastret
from fastret import FlatIndex


def vectors(n: int, dim: int = 6, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("metric", "threshold"), [("ip", 0.5), ("cosine", 0.2), ("l2", 9.0)])
def test_finds_exactly_the_scores_beyond_the_threshold(metric: str, threshold: float) -> None:
    keys, queries = vectors(50), vectors(10, seed=1)
    own_ids = torch.randperm(1000, generator=torch.Generator().manual_seed(2))[:50]
    index = FlatIndex(6, metric)
    index.add(keys, own_ids)
    lims, scores, ids = index.range_search(queries, threshold)
    all_scores = fastret.cosine_scores(queries, keys, metric)
    assert lims.dtype == ids.dtype == torch.int64
    assert lims[0] == 0
    assert lims[-1] == len(scores) == len(ids) > 0
    for query in range(10):
        within = all_scores[query] < threshold if metric == "l2" else all_scores[query] > threshold
        expected_ids, order = own_ids[within].sort()
        part = slice(int(lims[query]), int(lims[query + 1]))
        assert torch.equal(ids[part], expected_ids)
        assert torch.equal(scores[part], all_scores[query][within][order])


@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_a_score_equal_to_the_threshold_is_left_out(metric: str) -> None:
    index = FlatIndex(1, metric)
    index.add(torch.tensor([[1.0], [2.0], [3.0]]))
    _, _, ids = index.range_search(torch.tensor([[1.0]]), 2.0 if metric == "ip" else 1.0)
    assert ids.tolist() == ([2] if metric == "ip" else [0])


def test_the_threshold_is_compared_in_float32() -> None:
    index = FlatIndex(1)
    index.add(torch.tensor([[0.1]]))  # float32(0.1) > 0.1
    assert len(index.range_search(torch.tensor([[1.0]]), 0.1)[2]) == 0


def test_nan_is_never_within_and_infinity_sorts_as_it_should() -> None:
    index = FlatIndex(2)
    index.add(torch.tensor([[torch.nan, 0.0], [torch.inf, 0.0], [-torch.inf, 0.0], [1.0, 0.0]]))
    lims, scores, ids = index.range_search(torch.tensor([[1.0, 1.0], [torch.nan, 1.0]]), 0.0)
    assert lims.tolist() == [0, 2, 2]
    assert ids.tolist() == [1, 3]
    assert scores.tolist() == [torch.inf, 1.0]


def test_scores_are_the_bits_that_search_gives() -> None:
    index = FlatIndex(6, "cosine")
    index.add(vectors(80))
    query = vectors(1, seed=3)
    top_scores, top_ids = index.search(query, 80)
    _, scores, ids = index.range_search(query, -2.0)
    assert torch.equal(scores, top_scores[0][top_ids[0].argsort()])
    assert torch.equal(ids, torch.arange(80))
