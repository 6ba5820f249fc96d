"""Neighbours of parts, merged, are those of all keys."""

from __future__ import annotations

import pytest
import torch
from hard_vectors import METRICS, few_distinct_scores, nan_and_inf
from same_bits import assert_same_bits
from torch import Generator, Tensor

import fastret
from fastret.ops.merging import merge_neighbours, merge_ranges, neighbours_in_order, ranges_in_order

FAMILIES = (few_distinct_scores, nan_and_inf)


def dealt(num_keys: int, parts: int, generator: Generator) -> list[Tensor]:
    """The keys of each part, ascending; the first part has none."""
    owners = torch.randint(1, parts, (num_keys,), generator=generator)
    return [(owners == part).nonzero()[:, 0] for part in range(parts)]


def of_all_keys(ids: Tensor, mine: Tensor) -> Tensor:
    return torch.where(ids < 0, -1, torch.nn.functional.pad(mine, (0, 1))[ids])


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
@pytest.mark.parametrize("k", [0, 1, 7, 90])
def test_parts_that_are_mixed_up(family, metric: str, k: int, generator: Generator) -> None:
    queries, keys = family(6, 80, 3, generator)
    parts = []
    for mine in dealt(80, 4, generator):
        scores, ids = fastret.search(queries, keys[mine], k, metric)
        parts.append((scores, of_all_keys(ids, mine)))
    for got, want in zip(merge_neighbours(parts, k, metric), fastret.search(queries, keys, k, metric), strict=True):
        assert_same_bits(got, want)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_ranges_that_are_mixed_up(family, metric: str, generator: Generator) -> None:
    queries, keys = family(6, 80, 3, generator)
    parts = []
    for mine in dealt(80, 4, generator):
        lims, scores, ids = fastret.range_search(queries, keys[mine], 0.5, metric)
        parts.append((lims, scores, of_all_keys(ids, mine)))
    want = fastret.range_search(queries, keys, 0.5, metric)
    assert len(want[1]) > 10
    for got, wanted in zip(merge_ranges(parts), want, strict=True):
        assert_same_bits(got, wanted)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
@pytest.mark.parametrize("starts", [[], [0], [0, 1, 30, 30, 79]])
def test_parts_that_follow_each_other(family, metric: str, starts: list[int], generator: Generator) -> None:
    queries, keys = family(6, 80, 3, generator)
    if not starts:
        keys = keys[:0]
    runs = [(first, keys[first:last]) for first, last in zip(starts, [*starts[1:], 80], strict=False)]
    found = neighbours_in_order(((at, fastret.search(queries, run, 9, metric)) for at, run in runs), queries, 9, metric)
    for got, want in zip(found, fastret.search(queries, keys, 9, metric), strict=True):
        assert_same_bits(got, want)
    ranges = ranges_in_order(((at, fastret.range_search(queries, run, 0.5, metric)) for at, run in runs), queries)
    for got, want in zip(ranges, fastret.range_search(queries, keys, 0.5, metric), strict=True):
        assert_same_bits(got, want)


def test_of_equal_scores_the_smaller_id_comes_first_whichever_part_has_it() -> None:
    ones = torch.ones(1, 2)
    parts = [(ones, torch.tensor([[1, 4]])), (ones, torch.tensor([[0, 9]])), (ones, torch.tensor([[2, 3]]))]
    assert merge_neighbours(parts, 5, "ip")[1].tolist() == [[0, 1, 2, 3, 4]]


def test_an_infinitely_bad_key_comes_before_padding() -> None:
    worst = torch.tensor([[-torch.inf]])
    scores, ids = merge_neighbours([(worst, torch.tensor([[-1]])), (worst, torch.tensor([[7]]))], 2, "ip")
    assert ids.tolist() == [[7, -1]] and scores.tolist() == [[-torch.inf, -torch.inf]]
