"""Searches among some ids, without some, and of every stored vector for the others."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from torch import Tensor

import fastret
from fastret import FlatIndex

DIM = 33
METRICS = ("ip", "cosine", "l2")


def random(n: int, seed: int = 0) -> Tensor:
    return torch.randn(n, DIM, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=["positions", "own ids", "packed"])
def index(request: pytest.FixtureRequest) -> FlatIndex:
    """200 vectors; ids are positions, or apart and added out of order."""
    index = FlatIndex(DIM, "cosine")
    if request.param == "positions":
        index.add(random(200))
    else:
        ids = torch.randperm(5000, generator=torch.Generator().manual_seed(1))[:200]
        index.add(random(200), ids)
    if request.param == "packed":
        index.pack()
    return index


def test_only_allowed_ids_are_found(index: FlatIndex) -> None:
    queries, allowed = random(6, seed=2), index.ids[::7]
    rows = torch.arange(0, 200, 7)
    scores, positions = fastret.search(queries, index.vectors[rows], 40, "cosine")
    expected = torch.cat([allowed, torch.tensor([-1])])[positions]
    for given in (allowed, allowed.numpy(), allowed.tolist(), torch.cat([allowed, torch.tensor([99999, -5])])):
        got = index.search(queries, 40, allowed_ids=given)
        assert torch.equal(got[0], scores) and torch.equal(got[1], expected)
    lims, _, ids = index.range_search(queries, -2.0, allowed_ids=allowed)
    assert lims.diff().tolist() == [len(allowed)] * 6
    assert torch.equal(ids, allowed.repeat(6))


def test_excluded_ids_are_not_found(index: FlatIndex) -> None:
    queries = random(6, seed=2)
    _, best = index.search(queries, 30)
    per_query = torch.cat([best[:, :20], torch.full((6, 2), -1), torch.full((6, 1), 99999)], dim=1)
    assert torch.equal(index.search(queries, 10, excluded_ids=per_query)[1], best[:, 20:])
    assert torch.equal(
        torch.from_numpy(index.search(queries.numpy(), 10, excluded_ids=per_query.numpy())[1]), best[:, 20:]
    )
    for_all = best[0, :20]
    rest = index.ids[~torch.isin(index.ids, for_all)]
    want = index.search(queries, 10, allowed_ids=rest)
    got = index.search(queries, 10, excluded_ids=for_all.tolist())
    assert torch.equal(got[0], want[0]) and torch.equal(got[1], want[1])
    lims, _, ids = index.range_search(queries, -2.0, excluded_ids=per_query)
    assert lims.diff().tolist() == [180] * 6
    assert not torch.isin(ids[: int(lims[1])], best[0, :20]).any()


def test_both_filters_together(index: FlatIndex) -> None:
    queries, allowed = random(6, seed=2), index.ids[:50]
    excluded = index.ids[torch.arange(6)][:, None]
    _, ids = index.search(queries, 60, allowed_ids=allowed, excluded_ids=excluded)
    for query in range(6):
        assert set(ids[query].tolist()) == {*allowed.tolist(), -1} - {int(excluded[query])}
    _, ids = index.search(queries, 60, allowed_ids=allowed, excluded_ids=allowed[:10])
    assert set(ids[0].tolist()) == {*allowed[10:].tolist(), -1}


def test_nothing_allowed_and_nothing_excluded(index: FlatIndex) -> None:
    queries = random(6, seed=2)
    assert (index.search(queries, 3, allowed_ids=[])[1] == -1).all()
    assert index.range_search(queries, -2.0, allowed_ids=[])[0].tolist() == [0] * 7
    want = index.search(queries, 3)
    for nothing in ([], torch.empty(6, 0, dtype=torch.int64), np.array([-1]), [424242]):
        got = index.search(queries, 3, excluded_ids=nothing)
        assert torch.equal(got[0], want[0]) and torch.equal(got[1], want[1])


def test_an_empty_index_is_filtered_too() -> None:
    index = FlatIndex(DIM)
    assert index.search(random(2), 3, allowed_ids=[1], excluded_ids=[[1], [2]])[1].tolist() == [[-1] * 3] * 2
    assert index.search_self(3)[1].shape == (0, 3)


@pytest.mark.parametrize("metric", METRICS)
def test_search_self_finds_the_others(metric: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastret.index.flat._SELF_QUERIES", 64)
    keys = random(150)
    keys[100:] = keys[:50]  # duplicates find each other
    ids = torch.arange(150) * 3 + 1
    index = FlatIndex(DIM, metric)
    index.add(keys, ids)
    scores, found = index.search_self(7)
    want_scores, want = index.search(keys, 7, excluded_ids=ids[:, None])
    assert torch.equal(scores, want_scores) and torch.equal(found, want)
    assert not (found == ids[:, None]).any()
    if metric != "ip":
        assert torch.equal(found[:50, 0], ids[100:]) and torch.equal(found[100:, 0], ids[:50])


def test_search_self_with_k_beyond_the_others() -> None:
    index = FlatIndex(DIM)
    index.add(random(3))
    assert index.search_self(4)[1][:, 2:].tolist() == [[-1, -1]] * 3
    assert index.search_self(0)[1].shape == (3, 0)


@pytest.mark.parametrize("operation", ["search", "range_search"])
@pytest.mark.parametrize(
    ("filters", "error", "sentence"),
    [
        ({"allowed_ids": [[1]]}, ValueError, "allowed_ids must be [n], got [1, 1]"),
        ({"allowed_ids": [1.5]}, TypeError, "allowed_ids must be integers, got torch.float32"),
        ({"excluded_ids": [[1]]}, ValueError, "excluded_ids must be [E] or [2, E], got [1, 1]"),
        ({"excluded_ids": np.array([2**63], np.uint64)}, ValueError, f"excluded_ids must be below 2^63, got {2**63}"),
        ({"excluded_ids": np.array([0.5])}, TypeError, "excluded_ids must be integers, got torch.float64"),
    ],
)
def test_errors_are_one_sentence(operation: str, filters, error: type[Exception], sentence: str) -> None:
    index = FlatIndex(DIM)
    index.add(random(3))
    with pytest.raises(error, match=f"^{re.escape(f'FlatIndex.{operation}: {sentence}')}$"):
        getattr(index, operation)(random(2), 1, **filters)


def test_search_self_refuses_a_negative_k() -> None:
    with pytest.raises(ValueError, match=r"^FlatIndex\.search_self: k must not be negative, got -1$"):
        FlatIndex(DIM).search_self(-1)
