"""mine_hard_negatives equals its definition, and its definition means what the docstring says."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hard_vectors import DTYPES, FAMILIES, METRICS, Family, duplicates_in_random_order, normal
from hypothesis import given, settings
from hypothesis import strategies as st
from same_bits import assert_same_bits, check_everywhere, every_way
from torch import Generator, Tensor

import fastret
from fastret.ops import principal_axes, reference


def check_mining(
    queries: Tensor, keys: Tensor, k: int, positives: Tensor | None, metric: str, **limits: Any
) -> tuple[Tensor, Tensor]:
    """Mining equals its definition in every way and under every setting. Returns the scores and ids."""
    want = reference.mine_hard_negatives(queries, keys, k, positives, metric, **limits)

    def mine_in_every_way() -> tuple[Tensor, ...]:
        for way, arguments in every_way(keys, metric):
            got = fastret.mine_hard_negatives(queries, k=k, positives=positives, metric=metric, **arguments, **limits)
            for name, part, wanted in zip(("scores", "ids"), got, want, strict=True):
                assert_same_bits(part, wanted, f"{fastret._C.get_isa()}, {way}: {name}")
        return got

    check_everywhere(mine_in_every_way, want, (queries, keys))
    return want


def some_ids(num_queries: int, num_keys: int, count: int, g: Generator) -> Tensor:
    """Padded with -1 at any place."""
    return torch.randint(-1, num_keys, (num_queries, count), generator=g)


def some_labels(num_queries: int, num_keys: int, g: Generator) -> dict[str, Tensor]:
    sizes = {"query_labels": num_queries, "key_labels": num_keys}
    return {name: torch.randint(5, (size,), generator=g) for name, size in sizes.items()}


# Scores 9, 8, ... 0 of keys 0, 1, ... 9.
QUERY, LADDER = torch.ones(1, 1), torch.arange(9.0, -1, -1)[:, None]


def mined(k: int = 10, positives: list[int] | None = None, **limits: Any) -> list[int]:
    """What is mined of the ladder; its padding, which is at the end, is cut off."""
    own = None if positives is None else torch.tensor([positives])
    scores, ids = fastret.mine_hard_negatives(QUERY, LADDER, k, own, **limits)
    row = ids[0].tolist()
    found = [key for key in row if key >= 0]
    assert row == found + [-1] * (k - len(found))
    assert scores[0].tolist() == [9.0 - key for key in found] + [-torch.inf] * (k - len(found))
    return found


def test_positives_are_no_negatives() -> None:
    assert mined(3) == [0, 1, 2]
    assert mined(3, [1]) == [0, 2, 3]
    assert mined(3, [2, -1, 0, 2]) == [1, 3, 4]


def test_labels_are_no_negatives() -> None:
    labels = {"query_labels": torch.tensor([7]), "key_labels": torch.arange(10) % 2 * 7}
    assert mined(3, [2], **labels) == [0, 4, 6]


def test_an_absolute_margin_is_kept_from_the_least_similar_positive() -> None:
    assert mined(3, [4], absolute_margin=0.0) == [5, 6, 7]
    assert mined(3, [4], absolute_margin=2.0) == [6, 7, 8]
    assert mined(3, [1, 4], absolute_margin=2.0) == [6, 7, 8]
    assert mined(3, [4], absolute_margin=-1.5) == [3, 5, 6]  # a little better may pass
    assert mined(3, [9], absolute_margin=0.5) == []


def test_a_relative_margin_is_a_part_of_the_positive_score() -> None:
    assert mined(3, [1], relative_margin=0.25) == [3, 4, 5]  # 8 - 2
    assert mined(3, [1], relative_margin=0.26) == [4, 5, 6]
    assert mined(3, [1], relative_margin=0.25, absolute_margin=3.0) == [4, 5, 6]  # the stricter one


def test_a_relative_margin_of_a_negative_score_goes_down() -> None:
    keys = -torch.arange(10.0)[:, None]  # scores 0, -1, ... -9
    ids = fastret.mine_hard_negatives(QUERY, keys, 10, torch.tensor([2]), relative_margin=0.5)[1]
    assert ids[0].tolist() == [3, 4, 5, 6, 7, 8, 9, -1, -1, -1]


def test_limits_of_the_score_are_inclusive() -> None:
    assert mined(min_score=4.0, max_score=6.0) == [3, 4, 5]
    assert mined(min_score=4.1, max_score=5.9) == [4]
    assert mined(2, min_score=0.0, max_score=6.0) == [3, 4]
    assert mined(min_score=torch.inf) == mined(max_score=-torch.inf) == []


def test_ranks_are_those_of_the_non_positives() -> None:
    assert mined(range_min=2, range_max=5) == [2, 3, 4]
    assert mined(2, [3, 0], range_min=2, range_max=5) == [4, 5]
    assert mined(range_min=8) == [8, 9]
    assert mined(range_min=4, range_max=4) == mined(range_min=100) == []
    assert mined(2, range_max=1 << 40) == [0, 1]


def test_nothing_takes_the_place_of_what_a_limit_removed() -> None:
    assert mined(range_max=5, max_score=6.0) == [3, 4]
    assert mined(range_min=4, max_score=6.0) == [4, 5, 6, 7, 8, 9]
    assert mined(1, [0], range_min=1, range_max=5, absolute_margin=3.5) == [4]
    assert mined(3, range_min=1, min_score=7.5) == [1]


def test_l2_is_mirrored() -> None:
    keys = torch.arange(10.0)[:, None]  # distances 0, 1, 4, ... 81

    def mined_l2(positives: list[int] | None = None, **limits: Any) -> list[int]:
        own = None if positives is None else torch.tensor([positives])
        scores, ids = fastret.mine_hard_negatives(torch.zeros(1, 1), keys, 10, own, "l2", **limits)
        assert scores[0][ids[0] < 0].eq(torch.inf).all()
        return [key for key in ids[0].tolist() if key >= 0]

    assert mined_l2([3], absolute_margin=7.0) == [4, 5, 6, 7, 8, 9]
    assert mined_l2([3, 1], absolute_margin=7.1) == [5, 6, 7, 8, 9]  # the farthest positive decides
    assert mined_l2([4], relative_margin=0.5625) == [5, 6, 7, 8, 9]
    assert mined_l2(min_score=4.0, max_score=25.0) == [2, 3, 4, 5]
    assert mined_l2(min_score=4.5, range_max=4) == [3]


def test_a_query_without_a_positive_score_has_no_margin() -> None:
    queries, keys = torch.ones(3, 1), LADDER.clone()
    keys[4] = torch.nan
    positives = torch.tensor([[-1, -1], [4, -1], [4, 6]])
    _, ids = check_mining(queries, keys, 3, positives, "ip", absolute_margin=1.0)
    assert ids.tolist() == [[0, 1, 2], [0, 1, 2], [7, 8, 9]]
    _, ids = check_mining(queries, keys, 3, torch.empty(3, 0, dtype=torch.int64), "ip", relative_margin=1.0)
    assert ids.tolist() == [[0, 1, 2]] * 3


def test_infinite_positive_scores() -> None:
    keys = torch.tensor([[torch.inf], [1.0], [0.5], [-torch.inf]])
    positives = torch.tensor([[0], [3], [-1]])
    for margins in ({"absolute_margin": 1.0}, {"relative_margin": 0.0}, {"relative_margin": 0.5}):
        _, ids = check_mining(torch.ones(3, 1), keys, 4, positives, "ip", **margins)
        assert ids.tolist() == [[1, 2, 3, -1], [-1, -1, -1, -1], [0, 1, 2, 3]]


def test_limits_lie_between_two_floats() -> None:
    below, above = 1 - 2.0**-24, 1 + 2.0**-23
    keys = torch.tensor([[above], [1.0], [below]])
    for metric in ("ip", "l2"):
        queries = torch.ones(1, 1) if metric == "ip" else torch.zeros(1, 1)
        for limit in (below, (1 + below) / 2, 1.0, 1 + 2.0**-25, above):
            for limits in ({"min_score": limit}, {"max_score": limit}):
                check_mining(queries, keys if metric == "ip" else keys.sqrt(), 3, None, metric, **limits)
    ones = torch.tensor([[1.0], [1.0], [below]])
    for margin in ("absolute_margin", "relative_margin"):
        _, ids = check_mining(torch.ones(1, 1), ones, 3, torch.tensor([[0]]), "ip", **{margin: 2.0**-26})
        assert ids.tolist() == [[2, -1, -1]]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("num_queries", [2, 15])
@pytest.mark.parametrize("family", FAMILIES)
def test_hard_vectors(family: Family, num_queries: int, metric: str, generator: Generator) -> None:
    queries, keys = family(num_queries, 400, 35, generator)
    positives, labels = some_ids(num_queries, 400, 3, generator), some_labels(num_queries, 400, generator)
    check_mining(queries, keys, 10, positives, metric, absolute_margin=0.01, relative_margin=0.05, **labels)
    check_mining(queries, keys, 10, positives, metric, relative_margin=0.0, range_min=2, range_max=30, **labels)


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes(dtype: torch.dtype, generator: Generator) -> None:
    queries, keys = normal(9, 300, 40, generator)
    positives = fastret.search(queries, keys, 20)[1][:, [3, 7]]
    check_mining(queries.to(dtype), keys, 8, positives, "cosine", relative_margin=0.1)
    check_mining(queries, keys.to(dtype), 8, positives, "l2", absolute_margin=1.0, range_min=3)


@pytest.mark.parametrize("metric", METRICS)
def test_ties_at_the_ceiling(metric: str, generator: Generator) -> None:
    queries, keys = duplicates_in_random_order(9, 600, 24, generator)
    positives = fastret.search(queries, keys, 50, metric)[1][:, 20]
    scores, ids = check_mining(queries, keys, 20, positives[:, None], metric, absolute_margin=0.0)
    own = torch.ops.fastret.pair_scores(queries, keys, positives[:, None], METRICS.index(metric))
    assert (scores[:, 0] == own[:, 0]).any()  # duplicates of the positive are as hard as it is
    assert (ids != positives[:, None]).all()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("rank", [0, 100, 2000, 4900])
def test_any_number_of_keys_beats_the_ceiling(rank: int, metric: str, generator: Generator) -> None:
    queries, keys = normal(5, 5000, 48, generator)
    positives = fastret.search(queries, keys, 5000, metric)[1][:, rank, None]
    check_mining(queries, keys, 30, positives, metric, absolute_margin=0.0)


def test_most_keys_have_the_label_of_the_query(generator: Generator) -> None:
    queries, keys = normal(5, 5000, 48, generator)
    labels = {"query_labels": torch.zeros(5, dtype=torch.int64), "key_labels": (torch.arange(5000) % 300 == 0).long()}
    _, ids = check_mining(queries, keys, 30, None, "cosine", **labels)
    assert (ids[:, 17:] == -1).all()


@pytest.mark.parametrize("metric", METRICS)
def test_heads_of_principal_axes(metric: str, generator: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(principal_axes, "_WORTH_AXES_BYTES", 0)
    monkeypatch.setattr(principal_axes, "_LARGEST_SHARE", 10)
    spread = torch.arange(1, 151).float() ** -1
    queries, keys = (torch.randn(size, 150, generator=generator) * spread for size in (3, 3000))
    packed = fastret.pack(keys, "int8", metric, sample_queries=queries)
    assert packed.packing is not None and packed.packing.principal is not None
    positives = fastret.search(queries, keys, 200, metric)[1][:, 150, None]
    limits = {"relative_margin": 0.01, **some_labels(3, 3000, generator)}
    want = reference.mine_hard_negatives(queries, keys, 9, positives, metric, **limits)
    for got, wanted in zip(fastret.mine_hard_negatives(queries, packed, 9, positives, **limits), want, strict=True):
        assert_same_bits(got, wanted)


def test_empty_axes_are_answered(generator: Generator) -> None:
    for num_queries, num_keys, dim in ((0, 9, 4), (3, 0, 4), (3, 9, 0), (0, 0, 0)):
        queries, keys = normal(num_queries, num_keys, dim, generator)
        positives = torch.full((num_queries, 2), -1)
        for ranks in ({}, {"range_min": 1}, {"range_max": 2}):
            check_mining(queries, keys, 3, positives, "ip", absolute_margin=0.1, min_score=-1.0, **ranks)
            check_mining(queries, keys, 0, positives, "l2", absolute_margin=0.1, **ranks)


@st.composite
def minings(draw: st.DrawFn) -> dict[str, Any]:
    """Small works of few distinct scores, with every combination of limits and filters."""
    g = Generator().manual_seed(draw(st.integers(0, 2**31)))
    num_queries, num_keys, dim = draw(st.integers(0, 7)), draw(st.integers(0, 80)), draw(st.integers(1, 5))
    queries, keys = (torch.randint(-2, 3, (n, dim), generator=g).float() for n in (num_queries, num_keys))
    work: dict[str, Any] = {"queries": queries, "keys": keys, "k": draw(st.integers(0, 12))}
    work["metric"] = draw(st.sampled_from(METRICS))
    number = st.sampled_from([-2.0, -0.1, 0.0, 0.05, 0.5, 1.0, 3.0])
    if draw(st.booleans()):
        work["positives"] = some_ids(num_queries, num_keys, draw(st.integers(0, 3)), g)
        for margin in ("absolute_margin", "relative_margin"):
            work[margin] = draw(st.none() | number)
    for limit in ("min_score", "max_score"):
        work[limit] = draw(st.none() | number)
    work["range_min"] = draw(st.integers(0, 9))
    work["range_max"] = draw(st.none() | st.integers(work["range_min"], 90))
    if draw(st.booleans()):
        work |= some_labels(num_queries, num_keys, g)
    if draw(st.booleans()):
        work["allowed"] = torch.rand(num_keys, generator=g) < 0.6
    if draw(st.booleans()):
        work["excluded"] = some_ids(num_queries, num_keys, 4, g)
    return work


@settings(max_examples=150, deadline=None)
@given(minings(), st.sampled_from(["auto", "int8", "int16", "float32"]))
def test_any_limits(work: dict[str, Any], first_pass: str) -> None:
    want = reference.mine_hard_negatives(**work)
    for got, wanted in zip(fastret.mine_hard_negatives(**work, first_pass=first_pass), want, strict=True):
        assert_same_bits(got, wanted)
