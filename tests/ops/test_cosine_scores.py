"""cosine_scores returns the bits of its definition, those of search, and the gradients of the formulas."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hard_vectors import DTYPES, FAMILIES, LAYOUTS, METRICS, Family, normal
from hypothesis import given, settings
from hypothesis import strategies as st
from same_bits import assert_same_bits, check_everywhere
from score_gradients import gradients
from torch import Generator, Tensor

import fastret
from fastret.ops import reference


def check_cosine_scores(queries: Tensor, keys: Tensor, metric: str) -> Tensor:
    want = reference.cosine_scores(queries, keys, metric)
    check_everywhere(lambda: (fastret.cosine_scores(queries, keys, metric),), (want,), (queries, keys))
    return want


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dim", [0, 1, 15, 16, 17, 31, 33, 100, 513])
def test_dimensions(dim: int, metric: str, generator: Generator) -> None:
    check_cosine_scores(*normal(5, 23, dim, generator), metric)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (1, 1), (1, 4), (2, 5), (7, 1000), (300, 3)])
def test_shapes(shape: tuple[int, int], generator: Generator) -> None:
    check_cosine_scores(*normal(*shape, 20, generator), "cosine")


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("family", FAMILIES)
def test_hard_vectors(family: Family, metric: str, generator: Generator) -> None:
    check_cosine_scores(*family(9, 70, 19, generator), metric)


@pytest.mark.parametrize("key_dtype", DTYPES)
@pytest.mark.parametrize("query_dtype", DTYPES)
def test_mixed_dtypes(query_dtype: torch.dtype, key_dtype: torch.dtype, generator: Generator) -> None:
    queries, keys = normal(7, 33, 37, generator)
    for metric in METRICS:
        check_cosine_scores(queries.to(query_dtype), keys.to(key_dtype), metric)


@pytest.mark.parametrize("out_dtype", DTYPES)
def test_out_dtype_rounds_the_float32_score_once_more(out_dtype: torch.dtype, generator: Generator) -> None:
    for family in FAMILIES:
        queries, keys = family(3, 40, 11, generator)
        for metric in METRICS:
            want = reference.cosine_scores(queries, keys, metric).to(out_dtype)
            for isa in fastret._C.available_isas():
                fastret._C.set_isa(isa)
                assert_same_bits(fastret.cosine_scores(queries, keys, metric, out_dtype=out_dtype), want, isa)


@pytest.mark.parametrize("out_dtype", DTYPES[1:])
def test_every_rounding_boundary_of_a_16_bit_out_dtype(out_dtype: torch.dtype) -> None:
    patterns = torch.arange(2**15, dtype=torch.int32).to(torch.int16).view(out_dtype).float()
    patterns = patterns[patterns.isfinite()]
    halfway = (patterns[1:] + patterns[:-1]) / 2
    bits = halfway.view(torch.int32)
    keys = torch.cat([patterns, halfway, (bits + 1).view(torch.float32), (bits - 1).view(torch.float32)])
    keys = torch.cat([keys, -keys])[:, None]
    got = fastret.cosine_scores(torch.ones(1, 1), keys, "ip", out_dtype=out_dtype)
    assert_same_bits(got, (keys + 0.0).T.to(out_dtype).contiguous())


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("batch", [0, 1, 3])
def test_a_batch_is_its_matrices(batch: int, metric: str, generator: Generator) -> None:
    queries = torch.randn(batch, 4, 18, generator=generator)
    keys = torch.randn(batch, 9, 18, generator=generator)
    scores = check_cosine_scores(queries, keys, metric)
    for b in range(batch):
        assert_same_bits(fastret.cosine_scores(queries[b], keys[b], metric), scores[b])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_memory_layouts(layout: Callable[[Tensor], Tensor], generator: Generator) -> None:
    for dtype in DTYPES:
        queries, keys = (layout(rows.to(dtype)) for rows in normal(6, 30, 21, generator))
        check_cosine_scores(queries, keys, "cosine")
    batch = torch.randn(21, 4, 3, generator=generator)
    check_cosine_scores(batch.permute(2, 1, 0), batch.permute(2, 1, 0)[:, :2], "l2")
    check_cosine_scores(batch.transpose(0, 1), batch.transpose(0, 1)[:, 5:].flip(1), "ip")
    one = torch.randn(1, 5, 8, generator=generator).expand(4, 5, 8)
    check_cosine_scores(one, one, "ip")


@pytest.mark.parametrize("metric", METRICS)
def test_the_bits_are_those_of_search(metric: str, generator: Generator) -> None:
    queries, keys = normal(6, 400, 50, generator)
    scores, ids = fastret.search(queries, keys, 400, metric)
    assert_same_bits(fastret.cosine_scores(queries, keys, metric).gather(1, ids), scores)


def test_flushing_subnormals_in_the_caller_changes_nothing(generator: Generator) -> None:
    queries, keys = (rows * 1e-20 for rows in normal(5, 40, 8, generator))
    want = reference.cosine_scores(queries, keys, "ip")
    assert torch.set_flush_denormal(True)
    got = fastret.cosine_scores(queries, keys, "ip")
    torch.set_flush_denormal(False)
    assert_same_bits(got, want)


def test_l2_rounds_the_square_before_it_is_added(isa: str) -> None:
    # (2^-12 + 2^-42)^2 = 2^-24 + 2^-53 + 2^-84: the last term is lost, so 1 + 2^-24 + 2^-53 rounds to even twice.
    query, key = torch.zeros(1, 17), torch.zeros(1, 17)
    query[0, 0], query[0, 16], key[0, 16] = 1.0, 2.0**-12, -(2.0**-42)
    fused = 1 + 2.0**-23
    assert fastret.cosine_scores(query, key, "l2").item() == 1.0 != fused
    assert fastret.search(query, key, 1, "l2")[0].item() == 1.0


@settings(max_examples=100, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_shape_dtype_and_layout(data: st.DataObject) -> None:
    generator = Generator().manual_seed(data.draw(st.integers(0, 2**32)))
    shape = [data.draw(st.integers(1, most)) for most in (10, 40, 40)]
    queries, keys = (
        data.draw(st.sampled_from(LAYOUTS))(rows.to(data.draw(st.sampled_from(DTYPES))))
        for rows in data.draw(st.sampled_from(FAMILIES))(*shape, generator)
    )
    check_cosine_scores(queries, keys, data.draw(st.sampled_from(METRICS)))


def formula(queries: Tensor, keys: Tensor, metric: str) -> Tensor:
    """Differentiable float64 scores; torch.nn.functional's normalize has gradient 0 at 0 as we have."""
    q, x = queries.double(), keys.double()
    if metric == "l2":
        return (q.unsqueeze(-2) - x.unsqueeze(-3)).square().sum(-1)
    if metric == "cosine":
        # Without an eps, unlike normalize: the norm of a zero vector is replaced by infinity.
        q, x = (v / torch.where((v == 0).all(-1, True), torch.inf, v.square().sum(-1, True)).sqrt() for v in (q, x))
    return q @ x.mT


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("batch", [None, 3])
def test_gradients_are_those_of_the_formula(batch: int | None, metric: str, generator: Generator) -> None:
    lead = () if batch is None else (batch,)
    queries = torch.randn(*lead, 6, 25, generator=generator)
    keys = torch.randn(*lead, 40, 25, generator=generator)
    queries[..., 2, :], keys[..., 5, :] = 0.0, 0.0
    weights = torch.randn(*lead, 6, 40, generator=generator)
    got = gradients(fastret.cosine_scores, queries, keys, weights, metric)
    want = gradients(formula, queries, keys, weights, metric)
    # The backward is two float32 products of N + Q + D terms; the largest gradient stands for their size.
    for gradient, wanted in zip(got, want, strict=True):
        assert (gradient - wanted).abs().max() <= (40 + 6 + 25) * 2.0**-24 * 4 * wanted.abs().max()


def test_the_gradient_of_cosine_at_a_zero_vector_is_zero(generator: Generator) -> None:
    queries, keys = normal(3, 4, 5, generator)
    queries[1], keys[2] = 0.0, 0.0
    grad_q, grad_x = gradients(fastret.cosine_scores, queries, keys, torch.ones(3, 4), "cosine")
    assert not grad_q[1].any() and not grad_x[2].any()
    assert grad_q[0].any() and grad_x[0].any()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("side", [0, 1])
def test_one_side_alone_may_require_a_gradient(side: int, metric: str, generator: Generator) -> None:
    inputs = list(normal(3, 4, 5, generator))
    want = gradients(formula, *inputs, torch.ones(3, 4), metric)[side]
    inputs[side].requires_grad_()
    fastret.cosine_scores(*inputs, metric).sum().backward()
    assert inputs[1 - side].grad is None
    torch.testing.assert_close(inputs[side].grad, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", DTYPES[1:])
def test_gradients_have_the_dtype_of_their_input(dtype: torch.dtype, metric: str, generator: Generator) -> None:
    queries, keys = normal(3, 4, 5, generator)
    queries = queries.to(dtype)
    got = gradients(fastret.cosine_scores, queries, keys, torch.ones(3, 4), metric)
    want = gradients(formula, queries, keys, torch.ones(3, 4), metric)
    assert [gradient.dtype for gradient in got] == [dtype, torch.float32]
    # Rounded once to the dtype after float32 arithmetic.
    torch.testing.assert_close(got[0], want[0], rtol=torch.finfo(dtype).eps, atol=1e-5)
    torch.testing.assert_close(got[1], want[1], rtol=1e-5, atol=1e-5)
