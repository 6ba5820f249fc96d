"""range_search finds exactly the keys whose canonical score is beyond the threshold."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from hard_vectors import DTYPES, FAMILIES, METRICS, Family, normal
from hypothesis import given, settings
from hypothesis import strategies as st
from same_bits import assert_same_bits, check_range_search
from torch import Generator

import fastret
from fastret.ops import reference, score_blocks
from fastret.ops.search_arguments import search_arguments

SHAPES = [(5, 200, 1), (5, 200, 33), (1, 33, 100), (3, 31, 32), (29, 1000, 17), (4, 5001, 16), (0, 9, 4), (6, 0, 4)]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("shape", [*SHAPES, (6, 9, 0), (0, 0, 0)])
def test_off_tile_shapes(shape: tuple[int, int, int], metric: str, generator: Generator) -> None:
    queries, keys = normal(*shape, generator)
    scores = reference.cosine_scores(queries, keys, metric)
    for threshold in (0.0, float(scores.median()) if scores.numel() else 1.0):
        check_range_search(queries, keys, threshold, metric)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("num_queries", [2, 15])
@pytest.mark.parametrize("family", FAMILIES)
def test_hard_vectors(family: Family, num_queries: int, metric: str, generator: Generator) -> None:
    queries, keys = family(num_queries, 300, 19, generator)
    scores = reference.cosine_scores(queries, keys, metric)
    # A score that pairs have: ties with the threshold are left out.
    in_order = scores.flatten().sort().values
    for place in (0.02, 0.5, 0.9):
        check_range_search(queries, keys, float(in_order[int(place * len(in_order))]), metric)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("threshold", [torch.inf, -torch.inf, torch.nan, 3e38, -3e38, 1e-40, 0.0, -0.0])
def test_thresholds_at_the_ends_of_float32(threshold: float, metric: str, generator: Generator) -> None:
    queries, keys = normal(7, 200, 20, generator)
    keys[::9] *= 1e30
    keys[3], keys[4], queries[2] = torch.inf, torch.nan, 0.0
    check_range_search(queries, keys, threshold, metric)


@pytest.mark.parametrize("key_dtype", DTYPES)
@pytest.mark.parametrize("query_dtype", DTYPES)
def test_dtypes_are_taken_at_their_exact_value(
    query_dtype: torch.dtype, key_dtype: torch.dtype, generator: Generator
) -> None:
    queries, keys = normal(7, 333, 37, generator)
    check_range_search(queries.to(query_dtype), keys.to(key_dtype), 0.05, "cosine")


def test_the_scores_have_the_bits_of_search_and_ids_ascend(generator: Generator) -> None:
    queries, keys = normal(5, 80, 33, generator)
    lims, scores, ids = fastret.range_search(queries, keys, -2.0, "cosine")
    top_scores, top_ids = fastret.search(queries, keys, 80, "cosine")
    assert lims.tolist() == [0, 80, 160, 240, 320, 400]
    assert_same_bits(ids, torch.arange(80).repeat(5))
    assert_same_bits(scores.view(5, 80).gather(1, top_ids), top_scores)


def test_a_score_equal_to_the_threshold_is_left_out() -> None:
    keys = torch.tensor([[1.0], [2.0], [3.0]])
    assert fastret.range_search(torch.ones(1, 1), keys, 2)[2].tolist() == [2]
    assert fastret.range_search(torch.ones(1, 1), keys, np.float32(1), "l2")[2].tolist() == [0]
    # float32(0.1) > 0.1: compared in float32 they are equal
    assert len(fastret.range_search(torch.ones(1, 1), torch.tensor([[0.1]]), 0.1)[2]) == 0


@pytest.mark.parametrize(("queries_per_block", "keys_per_block"), [(64, 65536), (3, 7), (1, 1)])
@pytest.mark.parametrize("metric", METRICS)
def test_devices_without_a_kernel_score_blocks(
    queries_per_block: int, keys_per_block: int, metric: str, generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score_blocks, "_QUERIES_PER_BLOCK", queries_per_block)
    monkeypatch.setattr(score_blocks, "_KEYS_PER_BLOCK", keys_per_block)
    queries, keys = normal(10, 50, 6, generator)
    filters = {
        "allowed": torch.rand(50, generator=generator) < 0.7,
        "excluded": torch.randint(-1, 55, (10, 6), generator=generator),
    }
    for num_queries, num_keys, chosen in ((10, 50, filters), (10, 50, {}), (0, 50, {}), (10, 0, {})):
        q, x = queries[:num_queries], keys[:num_keys]
        arguments = search_arguments(
            "range_search", q, x, metric, "auto", chosen.get("allowed"), chosen.get("excluded")
        )
        want = reference.range_search(q, x, 0.4, metric, **chosen)
        for got, wanted in zip(score_blocks.range_search_by_blocks(arguments, 0.4), want, strict=True):
            assert_same_bits(got, wanted)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_values_at_all(data: st.DataObject) -> None:
    dim = data.draw(st.integers(1, 5))
    numbers = st.one_of(st.floats(width=32), st.sampled_from([0.0, -0.0, 1.0, -1.0, 1e-45, 3e38]))
    rows = st.lists(st.lists(numbers, min_size=dim, max_size=dim), min_size=1, max_size=12)
    queries, keys = torch.tensor(data.draw(rows)), torch.tensor(data.draw(rows))
    check_range_search(queries, keys, data.draw(numbers), data.draw(st.sampled_from(METRICS)))


def test_numpy_in_numpy_out(generator: Generator) -> None:
    queries, keys = normal(5, 80, 33, generator)
    want = fastret.range_search(queries, keys, 1.0)
    for got, wanted in zip(fastret.range_search(queries.numpy(), keys, 1.0), want, strict=True):
        assert_same_bits(torch.from_numpy(got), wanted)


Q, X = torch.zeros(8, 4), torch.zeros(100, 4)


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ((Q, X, "much"), TypeError, "range_search: threshold must be a number, got str"),
        ((Q, X, None), TypeError, "range_search: threshold must be a number, got NoneType"),
        ((Q, X[:, :3], 1.0), ValueError, "range_search: queries and keys must share D, got [8, 4] and [100, 3]"),
        ((Q, X, 1.0, "dot"), ValueError, 'range_search: metric must be "ip", "cosine" or "l2", got \'dot\''),
    ],
)
def test_errors_are_one_sentence(arguments: tuple[Any, ...], error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(sentence)}$"):
        fastret.range_search(*arguments)
