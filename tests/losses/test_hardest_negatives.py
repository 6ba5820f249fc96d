"""return_topk: the hardest in-batch negatives, from the pass that makes the loss."""

from __future__ import annotations

import torch
from batches import unit_rows

import fastret


def test_they_are_the_highest_scores_that_are_no_positives() -> None:
    queries, keys = unit_rows(20, 16, seed=1, dtype=torch.float32), unit_rows(33, 16, seed=2, dtype=torch.float32)
    labels = torch.arange(20).flip(0)
    loss, scores, ids = fastret.info_nce(queries, keys, labels, temperature=0.1, return_topk=5)
    wanted = (queries @ keys.T).scatter(1, labels[:, None], -torch.inf).topk(5)
    assert torch.equal(ids, wanted.indices)
    torch.testing.assert_close(scores, wanted.values)
    assert torch.equal(loss, fastret.info_nce(queries, keys, labels, temperature=0.1))


def test_fewer_than_k_are_padded() -> None:
    queries, keys = unit_rows(3, 8, seed=1, dtype=torch.float32), unit_rows(3, 8, seed=2, dtype=torch.float32)
    _, scores, ids = fastret.info_nce(queries, keys, temperature=0.1, key_ids=torch.tensor([1, 1, 2]), return_topk=4)
    assert torch.equal((ids >= 0).sum(1), torch.tensor([1, 1, 2]))
    assert torch.equal(scores == -torch.inf, ids == -1)


def test_equal_scores_are_told_by_column() -> None:
    keys = torch.ones(40, 4)
    _, _, ids = fastret.info_nce(keys[:2], keys, temperature=1.0, return_topk=3)
    assert torch.equal(ids, torch.tensor([[1, 2, 3], [0, 2, 3]]))


def test_a_filter_removes_them_too() -> None:
    queries, keys = unit_rows(9, 8, seed=1, dtype=torch.float32), unit_rows(9, 8, seed=2, dtype=torch.float32)
    scores = queries @ keys.T
    _, hardest, _ = fastret.info_nce(queries, keys, temperature=0.1, false_negative_margin=0.0, return_topk=9)
    assert (hardest <= scores.diag()[:, None]).all()
