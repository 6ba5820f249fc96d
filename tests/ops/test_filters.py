"""allowed and excluded: what they leave is searched as if the other keys were not there."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from hard_vectors import FAMILIES, METRICS, Family, normal
from same_bits import assert_same_bits, check_range_search, check_search
from torch import Generator, Tensor

import fastret


def random_mask(num_keys: int, share: float, g: Generator) -> Tensor:
    return torch.rand(num_keys, generator=g) < share


def random_exclusions(num_queries: int, num_keys: int, count: int, g: Generator) -> Tensor:
    """Padded with -1 at any place, with ids that repeat and that no key has."""
    return torch.randint(-1, num_keys + 2, (num_queries, count), generator=g)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("num_queries", [2, 15])
@pytest.mark.parametrize("family", FAMILIES)
def test_hard_vectors(family: Family, num_queries: int, metric: str, generator: Generator) -> None:
    queries, keys = family(num_queries, 400, 35, generator)
    allowed, excluded = random_mask(400, 0.5, generator), random_exclusions(num_queries, 400, 50, generator)
    check_search(queries, keys, 10, metric, allowed=allowed, excluded=excluded)


@pytest.mark.parametrize("left", [0, 1, 5, 31])
@pytest.mark.parametrize("num_queries", [1, 9])
def test_fewer_than_k_are_left(num_queries: int, left: int, generator: Generator) -> None:
    queries, keys = normal(num_queries, 3000, 32, generator)
    allowed = torch.zeros(3000, dtype=torch.bool)
    allowed[torch.randperm(3000, generator=generator)[:left]] = True
    scores, ids = check_search(queries, keys, 40, "l2", allowed=allowed)
    assert (ids[:, left:] == -1).all() and (scores[:, left:] == torch.inf).all()
    assert all(allowed[row[:left]].all() for row in ids)


def test_the_best_keys_are_excluded_one_after_the_other(generator: Generator) -> None:
    queries, keys = normal(12, 2000, 40, generator)
    _, ids = fastret.search(queries, keys, 60)
    _, rest = check_search(queries, keys, 10, "ip", excluded=ids[:, :50])
    assert_same_bits(rest, ids[:, 50:])


def test_unbounded_keys_are_filtered_too(generator: Generator) -> None:
    queries, keys = normal(9, 300, 33, generator)
    keys[::3] *= 1e25
    keys[5] = torch.inf
    allowed = torch.arange(300) % 2 == 0
    excluded = torch.arange(0, 300, 6).expand(9, 50)
    check_search(queries, keys, 12, "ip", allowed=allowed, excluded=excluded)
    check_range_search(queries, keys, 0.0, "ip", allowed=allowed, excluded=excluded)


@pytest.mark.parametrize("metric", METRICS)
def test_range_search_is_filtered_too(metric: str, generator: Generator) -> None:
    queries, keys = normal(9, 500, 33, generator)
    allowed, excluded = random_mask(500, 0.4, generator), random_exclusions(9, 500, 60, generator)
    threshold = {"ip": 3.0, "cosine": 0.1, "l2": 60.0}[metric]
    lims, _, ids = check_range_search(queries, keys, threshold, metric, allowed=allowed, excluded=excluded)
    assert 0 < int(lims[-1]) < 9 * 500 and allowed[ids].all()


def test_any_integers_and_any_layout(generator: Generator) -> None:
    queries, keys = normal(6, 200, 32, generator)
    allowed, excluded = random_mask(200, 0.5, generator), random_exclusions(6, 100, 7, generator)
    want = fastret.search(queries, keys, 5, allowed=allowed, excluded=excluded)
    for mask in (allowed.numpy(), allowed.numpy()[::-1].copy()[::-1], allowed.repeat_interleave(2)[::2]):
        for ids in (excluded.int(), excluded.to(torch.int8), excluded.numpy(), excluded.T.contiguous().T):
            got = fastret.search(queries, keys, 5, allowed=mask, excluded=ids)
            assert_same_bits(got[1], want[1])


def test_no_exclusions_at_all(generator: Generator) -> None:
    queries, keys = normal(6, 200, 32, generator)
    for excluded in (torch.empty(6, 0, dtype=torch.int64), torch.full((6, 3), -1)):
        check_search(queries, keys, 5, "cosine", excluded=excluded)


def test_empty_axes_are_answered(generator: Generator) -> None:
    for shape in ((0, 9, 4), (3, 0, 4), (3, 9, 0)):
        filters = {
            "allowed": torch.ones(shape[1], dtype=torch.bool),
            "excluded": torch.zeros(shape[0], 1, dtype=torch.int64),
        }
        check_search(*normal(*shape, generator), 3, "ip", **filters)
        check_range_search(*normal(*shape, generator), -1.0, "ip", **filters)


Q, X = torch.zeros(8, 4), torch.zeros(100, 4)
MASK, NONE = torch.ones(100, dtype=torch.bool), torch.full((8, 2), -1)


@pytest.mark.parametrize("op", ["search", "range_search", "explain_search"])
@pytest.mark.parametrize(
    ("filters", "error", "sentence"),
    [
        ({"allowed": MASK[:99]}, ValueError, "allowed must be [100], one per key, got [99]"),
        ({"allowed": MASK[None]}, ValueError, "allowed must be [100], one per key, got [1, 100]"),
        ({"allowed": MASK.long()}, TypeError, "allowed must be bool, got int64"),
        ({"allowed": np.ones(100)}, TypeError, "allowed must be bool, got float64"),
        (
            {"allowed": [True] * 100},
            TypeError,
            "allowed must be a torch tensor, a numpy array or a CuPy array, got list",
        ),
        ({"allowed": MASK.to("meta")}, ValueError, "allowed must be on the device of the keys, cpu, got meta"),
        ({"excluded": NONE[0]}, ValueError, "excluded must be [8, E], a row per query, got [2]"),
        ({"excluded": NONE[:5]}, ValueError, "excluded must be [8, E], a row per query, got [5, 2]"),
        ({"excluded": NONE.float()}, TypeError, "excluded must be integers, got float32"),
        ({"excluded": NONE.bool()}, TypeError, "excluded must be integers, got bool"),
    ],
)
def test_errors_are_one_sentence(op: str, filters: dict[str, Any], error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(f'{op}: {sentence}')}$"):
        getattr(fastret, op)(Q, X, 3, **filters)
