"""search returns the ids and score bits of its definition: any instruction set, threads, batch, dtype and layout."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hard_vectors import DTYPES, FAMILIES, LAYOUTS, METRICS, Family, normal, within_a_few_ulps
from hypothesis import given, settings
from hypothesis import strategies as st
from same_bits import assert_same_bits, check_search, every_setting, every_way
from torch import Generator, Tensor

import fastret
from fastret.ops import reference

OFF_TILE_SHAPES = (
    [(5, 200, dim) for dim in (1, 15, 16, 17, 31, 33, 100, 513)]
    + [(num_queries, 200, 33) for num_queries in (1, 2, 3, 4, 13, 14, 15, 29)]
    + [(5, num_keys, 17) for num_keys in (1, 7, 8, 31, 32, 33, 1000, 5001)]
)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("num_queries", "num_keys", "dim"), OFF_TILE_SHAPES)
def test_off_tile_shapes(num_queries: int, num_keys: int, dim: int, metric: str, generator: Generator) -> None:
    check_search(*normal(num_queries, num_keys, dim, generator), 10, metric)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("num_queries", [2, 15])  # scored exactly at once; certified first pass
@pytest.mark.parametrize("family", FAMILIES)
def test_hard_vectors(family: Family, num_queries: int, metric: str, generator: Generator) -> None:
    check_search(*family(num_queries, 600, 19, generator), 10, metric)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("key_dtype", DTYPES)
@pytest.mark.parametrize("query_dtype", DTYPES)
def test_dtypes_are_taken_at_their_exact_value(
    query_dtype: torch.dtype, key_dtype: torch.dtype, metric: str, generator: Generator
) -> None:
    queries, keys = normal(7, 333, 37, generator)
    queries, keys = queries.to(query_dtype), keys.to(key_dtype)
    _, ids = check_search(queries, keys, 9, metric)
    assert_same_bits(fastret.search(queries.float(), keys.float(), 9, metric)[1], ids)


@pytest.mark.parametrize("dtype", DTYPES[1:])
def test_every_value_of_a_16_bit_dtype_is_widened_exactly(dtype: torch.dtype) -> None:
    keys = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(dtype)[:, None]
    check_search(torch.ones(4, 1), keys, 2**16, "ip")


@pytest.mark.parametrize("k", [0, 1, 39, 40, 43, 1000])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("num_queries", [1, 6])
def test_k_up_to_and_beyond_the_keys(num_queries: int, k: int, metric: str, generator: Generator) -> None:
    scores, ids = check_search(*normal(num_queries, 40, 8, generator), k, metric)
    assert (ids[:, 40:] == -1).all()
    assert (scores[:, 40:] == float("inf" if metric == "l2" else "-inf")).all()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("shape", [(0, 9, 4), (1, 0, 4), (6, 0, 4), (1, 9, 0), (6, 9, 0), (0, 0, 0)])
def test_empty_axes_are_answered(shape: tuple[int, int, int], metric: str, generator: Generator) -> None:
    scores, ids = check_search(*normal(*shape, generator), 3, metric)
    assert scores.shape == ids.shape == (shape[0], 3)


@pytest.mark.parametrize("key_layout", LAYOUTS)
@pytest.mark.parametrize("query_layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES[:2])
def test_memory_layouts(
    query_layout: Callable[[Tensor], Tensor],
    key_layout: Callable[[Tensor], Tensor],
    dtype: torch.dtype,
    generator: Generator,
) -> None:
    queries, keys = (rows.to(dtype) for rows in normal(6, 70, 21, generator))
    check_search(query_layout(queries), key_layout(keys), 5, "l2")


@pytest.mark.parametrize("metric", METRICS)
def test_expanded_rows_and_expanded_elements(metric: str, generator: Generator) -> None:
    queries, keys = normal(6, 1, 20, generator)
    _, ids = check_search(queries, keys.expand(500, 20), 4, metric)
    assert ids.tolist() == [[0, 1, 2, 3]] * 6
    check_search(queries, torch.randn(50, 1, generator=generator).expand(50, 20), 4, metric)


@pytest.mark.parametrize("metric", METRICS)
def test_one_query_at_a_time_gives_the_bits_of_the_batch(metric: str, generator: Generator) -> None:
    queries, keys = normal(29, 1500, 40, generator)
    keys = torch.cat([keys, keys[:500]])
    scores, ids = fastret.search(queries, keys, 12, metric)
    for batch in (1, 3, 4, 10):
        parts = [fastret.search(part, keys, 12, metric) for part in queries.split(batch)]
        assert_same_bits(torch.cat([part[0] for part in parts]), scores, f"batch {batch}")
        assert_same_bits(torch.cat([part[1] for part in parts]), ids, f"batch {batch}")


def test_equal_scores_come_in_the_order_of_ids(generator: Generator) -> None:
    direction = torch.randn(1, 24, generator=generator)
    keys = torch.cat([direction * scale for scale in (1.0, 3.0, 2.0)]).repeat(1000, 1)
    for setting in every_setting():
        want = list(range(1, 3000, 3)) + list(range(2, 1500, 3))
        for way, arguments in every_way(keys, "ip"):
            _, ids = fastret.search(direction.repeat(5, 1), **arguments, k=1500)
            assert ids.tolist() == [want] * 5, f"{setting}, {way}"


@pytest.mark.parametrize("metric", METRICS)
def test_one_query_repeated(metric: str, generator: Generator) -> None:
    queries, keys = normal(1, 3000, 40, generator)
    _, ids = check_search(queries.repeat(40, 1), keys, 10, metric)
    assert (ids == ids[0]).all()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("unbounded", [1, 40, 1500])  # some keys, a panel of them, too many to score for each query
def test_keys_that_no_first_pass_can_hold(unbounded: int, metric: str, generator: Generator) -> None:
    queries, keys = normal(9, 2000, 33, generator)
    places = torch.randperm(2000, generator=generator)[:unbounded]
    values = torch.tensor([1e30, -1e30, torch.inf, -torch.inf])
    keys[places, 5] = values[torch.randint(4, (unbounded,), generator=generator)]
    keys[places[: unbounded // 3], 6] = torch.nan
    check_search(queries, keys, 15, metric)


def test_a_zero_query_has_cosine_0_with_every_key_but_nan() -> None:
    keys = torch.ones(6, 3)
    keys[2], keys[4, 0] = float("nan"), float("inf")
    for num_queries in (1, 5):
        scores, ids = check_search(torch.zeros(num_queries, 3), keys, 6, "cosine")
        assert ids[0].tolist() == [0, 1, 3, 4, 5, -1]
        assert scores[0].tolist() == [0.0] * 5 + [float("-inf")]


@pytest.mark.parametrize("metric", METRICS)
def test_a_nan_query_has_no_neighbours_and_disturbs_no_other(metric: str, generator: Generator) -> None:
    queries, keys = normal(9, 50, 12, generator)
    queries[4, 7] = float("nan")
    _, ids = check_search(queries, keys, 3, metric)
    assert (ids[4] == -1).all() and (ids[5] >= 0).all()


def test_infinite_scores_sort_around_finite_ones() -> None:
    keys = torch.tensor([[1.0], [float("-inf")], [float("inf")], [2.0]])
    for num_queries in (1, 4):
        scores, ids = check_search(torch.ones(num_queries, 1), keys, 5, "ip")
        assert ids[0].tolist() == [2, 3, 0, 1, -1]
        assert scores[0].tolist() == [float("inf"), 2.0, 1.0, float("-inf"), float("-inf")]


@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_infinitely_bad_keys_fill_the_places_that_are_left(metric: str) -> None:
    keys = torch.full((3000, 2), float("-inf"))
    keys[::2, 1], keys[2000] = float("nan"), 1.0
    for num_queries in (1, 5):
        _, ids = check_search(torch.ones(num_queries, 2), keys, 4, metric)
        assert ids[0].tolist() == [2000, 1, 3, 5]


@pytest.mark.parametrize("metric", METRICS)
def test_more_survivors_than_the_first_pass_keeps(metric: str, generator: Generator) -> None:
    check_search(*within_a_few_ulps(5, 6000, 8, generator), 7, metric)


@pytest.mark.parametrize("metric", METRICS)
def test_a_query_that_overflows_beside_queries_that_do_not(metric: str, generator: Generator) -> None:
    queries, near = within_a_few_ulps(6, 5000, 8, generator)
    _, far = normal(6, 1500, 8, generator)
    queries[::2] = -near[:1]
    check_search(queries, torch.cat([near, far])[torch.randperm(6500, generator=generator)], 6, metric)


@pytest.mark.parametrize("metric", METRICS)
def test_keys_split_over_threads(metric: str, generator: Generator) -> None:
    queries, keys = normal(6, 8300, 9, generator)
    keys[4100:4300] = keys[:200]  # ties across the parts
    keys[8200:8210] = float("inf")
    check_search(queries, keys, 20, metric)


@pytest.mark.parametrize(("num_queries", "num_keys", "k"), [(8200, 20, 3), (300, 9000, 9000)])
def test_several_blocks_of_queries(num_queries: int, num_keys: int, k: int, generator: Generator) -> None:
    queries, keys = normal(num_queries, num_keys, 4, generator)
    want = fastret.select_k(fastret.cosine_scores(queries, keys, "ip"), k)
    for way, arguments in every_way(keys, "ip"):
        for got, wanted in zip(fastret.search(queries, **arguments, k=k), want, strict=True):
            assert_same_bits(got, wanted, way)


def test_a_dimension_beyond_the_error_bound_is_scored_exactly(generator: Generator) -> None:
    queries, keys = normal(4, 5, 2**20 + 1, generator)
    want = fastret.select_k(fastret.cosine_scores(queries, keys), 3)  # the definition would take seconds
    for way, arguments in every_way(keys, "cosine"):
        for got, wanted in zip(fastret.search(queries, **arguments, k=3, metric="cosine"), want, strict=True):
            assert_same_bits(got, wanted, way)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("num_queries", [2, 6])
def test_flushing_subnormals_in_the_caller_changes_nothing(num_queries: int, metric: str, generator: Generator) -> None:
    for scale in (1e-20, 1e-38):
        queries, keys = (rows * scale for rows in normal(num_queries, 300, 8, generator))
        want = reference.search(queries, keys, 300, metric)
        assert torch.set_flush_denormal(True)
        got = [
            fastret.search(queries, **arguments, k=300, metric=metric)
            for _ in every_setting()
            for _, arguments in every_way(keys, metric)
        ]
        torch.set_flush_denormal(False)
        for scores, ids in got:
            assert_same_bits(scores, want[0])
            assert_same_bits(ids, want[1])


def test_the_callers_float_mode_is_left_alone() -> None:
    tiny = torch.tensor([1e-39])
    torch.set_flush_denormal(True)
    fastret.search(torch.ones(5, 2), torch.ones(5, 2), 1)
    assert (tiny * 0.5).item() == 0.0
    torch.set_flush_denormal(False)
    fastret.search(torch.ones(5, 2), torch.ones(5, 2), 1)
    assert (tiny * 0.5).item() > 0.0


@settings(max_examples=100, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_shape_dtype_layout_and_family(data: st.DataObject) -> None:
    generator = Generator().manual_seed(data.draw(st.integers(0, 2**32)))
    shape = [data.draw(st.integers(0, most)) for most in (20, 90, 40)]
    queries, keys = data.draw(st.sampled_from(FAMILIES))(*shape[:1], max(1, shape[1]), shape[2], generator)
    keys = keys[: shape[1]]
    queries, keys = (
        data.draw(st.sampled_from(LAYOUTS))(rows.to(data.draw(st.sampled_from(DTYPES)))) for rows in (queries, keys)
    )
    k, metric = data.draw(st.integers(0, 100)), data.draw(st.sampled_from(METRICS))
    filters: dict[str, Tensor] = {}
    if data.draw(st.booleans()):
        filters["allowed"] = torch.rand(len(keys), generator=generator) < data.draw(st.sampled_from([0.05, 0.7]))
    if data.draw(st.booleans()):
        filters["excluded"] = torch.randint(-1, len(keys) + 1, (len(queries), 3), generator=generator)
    fastret._C.set_isa(data.draw(st.sampled_from(fastret._C.available_isas())))
    want = reference.search(queries, keys, k, metric, **filters)
    for way, arguments in every_way(keys, metric):
        got = fastret.search(queries, **arguments, k=k, metric=metric, **filters)
        for part, wanted in zip(got, want, strict=True):
            assert_same_bits(part, wanted, way)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_values_at_all(data: st.DataObject) -> None:
    dim = data.draw(st.integers(1, 5))
    numbers = st.one_of(st.floats(width=32), st.sampled_from([0.0, -0.0, 1.0, -1.0, 1e-45, 3e38]))
    rows = st.lists(st.lists(numbers, min_size=dim, max_size=dim), min_size=1, max_size=12)
    queries, keys = torch.tensor(data.draw(rows)), torch.tensor(data.draw(rows))
    check_search(queries, keys, data.draw(st.integers(1, 14)), data.draw(st.sampled_from(METRICS)))
