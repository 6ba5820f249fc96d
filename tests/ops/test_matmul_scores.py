"""cosine_scores with exact=False: torch's matmul on unit rows, as accurate as its dtype, differentiable, compiled."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hard_vectors import DTYPES, METRICS, Family, far_from_the_origin, nan_and_inf, normal
from score_gradients import gradients
from torch import Generator, Tensor

import fastret
from fastret.ops import reference


def matmul_scores(queries: Tensor, keys: Tensor, metric: str, **options: torch.dtype) -> Tensor:
    return fastret.cosine_scores(queries, keys, metric, exact=False, **options)


def sizes(queries: Tensor, keys: Tensor, metric: str) -> Tensor:
    """[..., Q, N]: what the rounding errors of a score are in proportion to."""
    q, x = queries.double(), keys.double()
    if metric == "cosine":
        return torch.ones(*q.shape[:-1], x.shape[-2], dtype=torch.float64)
    if metric == "l2":  # around the mean of the keys
        centre = x.mean(-2, keepdim=True)
        return (q - centre).norm(dim=-1).unsqueeze(-1).add((x - centre).norm(dim=-1).unsqueeze(-2)).square()
    return q.norm(dim=-1).unsqueeze(-1) * x.norm(dim=-1).unsqueeze(-2)


def tolerance(dtype: torch.dtype, dim: int, metric: str) -> float:
    """Of sums of `dim` products in float32, between factors and a sum that are rounded to the dtype."""
    in_float32 = (dim + 8) * 2.0**-24
    return in_float32 if dtype == torch.float32 or metric == "l2" else in_float32 + 1.5 * torch.finfo(dtype).eps


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(6, 40, 25), (3, 6, 40, 64), (1, 1, 1), (2, 3, 5, 7)])
def test_scores_are_as_accurate_as_the_dtype(
    shape: tuple[int, ...], dtype: torch.dtype, metric: str, generator: Generator
) -> None:
    *batch, num_queries, num_keys, dim = shape
    queries = torch.randn(*batch, num_queries, dim, generator=generator).to(dtype)
    keys = torch.randn(*batch, num_keys, dim, generator=generator).to(dtype)
    got = matmul_scores(queries, keys, metric)
    assert got.dtype == (torch.float32 if metric == "l2" else dtype)
    error = (got.double() - reference.cosine_scores(queries, keys, metric)).abs()
    assert (error <= tolerance(dtype, dim, metric) * sizes(queries, keys, metric)).all()


@pytest.mark.parametrize("metric", METRICS)
def test_mixed_dtypes_meet_in_the_wider_one(metric: str, generator: Generator) -> None:
    queries, keys = normal(4, 9, 12, generator)
    got = matmul_scores(queries.half(), keys, metric)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, reference.cosine_scores(queries.half(), keys, metric), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("out_dtype", DTYPES)
@pytest.mark.parametrize("metric", METRICS)
def test_out_dtype_rounds_the_product(metric: str, out_dtype: torch.dtype, generator: Generator) -> None:
    queries, keys = normal(4, 9, 12, generator)
    got = matmul_scores(queries, keys, metric, out_dtype=out_dtype)
    assert torch.equal(got, matmul_scores(queries, keys, metric).to(out_dtype)) and got.dtype == out_dtype


@pytest.mark.parametrize("shape", [(0, 3, 4), (3, 0, 4), (3, 4, 0)])
@pytest.mark.parametrize("metric", METRICS)
def test_empty_inputs(metric: str, shape: tuple[int, int, int], generator: Generator) -> None:
    queries, keys = (rows.requires_grad_() for rows in normal(*shape, generator))
    scores = matmul_scores(queries, keys, metric)
    assert scores.shape == shape[:2] and not scores.any()
    scores.sum().backward()
    assert not queries.grad.any() and not keys.grad.any()


def test_cosines_of_rows_beyond_the_float32_norm(generator: Generator) -> None:
    queries, keys = normal(3, 5, 8, generator)
    scales = torch.tensor([1e-42, 1e-25, 1.0, 1e25, 1e37])
    got = matmul_scores(queries * 1e30, keys * scales[:, None], "cosine")
    want = reference.cosine_scores(queries * 1e30, keys * scales[:, None], "cosine")
    torch.testing.assert_close(got, want, rtol=0, atol=16 * 2.0**-24)


@pytest.mark.parametrize("metric", METRICS)
def test_a_wild_row_spoils_no_score_but_its_own(metric: str, generator: Generator) -> None:
    queries, keys = nan_and_inf(8, 60, 6, generator)
    tame_queries, tame_keys = queries.isfinite().all(-1), keys.isfinite().all(-1)
    assert 0 < tame_keys.sum() < 60
    got = matmul_scores(queries, keys, metric)[tame_queries][:, tame_keys]
    want = reference.cosine_scores(queries[tame_queries], keys[tame_keys], metric)
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("family", "gain"), [(normal, 0.5), (far_from_the_origin, 1e3)])
def test_l2_is_as_accurate_as_cdist_and_far_from_the_origin_much_more(
    family: Family, gain: float, generator: Generator
) -> None:
    queries, keys = family(30, 50, 64, generator)
    keys[:30] = queries + 1e-3 * torch.randn(30, 64, generator=generator)  # near ones, where most cancels
    want = reference.cosine_scores(queries, keys, "l2").double()
    cdist = torch.cdist(queries, keys, compute_mode="use_mm_for_euclid_dist").square()
    ours = matmul_scores(queries, keys, "l2")
    assert (ours - want).abs().max() * gain <= (cdist - want).abs().max()


def formula(queries: Tensor, keys: Tensor, metric: str) -> Tensor:
    if metric == "l2":
        return (queries.unsqueeze(-2) - keys.unsqueeze(-3)).square().sum(-1)
    if metric == "cosine":
        queries, keys = (torch.nn.functional.normalize(rows, dim=-1) for rows in (queries, keys))
    return queries @ keys.mT


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("batch", [(), (3,)])
def test_gradients_are_those_of_the_formula(
    batch: tuple[int, ...], dtype: torch.dtype, metric: str, generator: Generator
) -> None:
    queries, keys = (torch.randn(*batch, rows, 25, generator=generator).to(dtype) for rows in (6, 40))
    weights = torch.randn(*batch, 6, 40, generator=generator)
    got = gradients(matmul_scores, queries, keys, weights, metric)
    want = gradients(formula, queries.double(), keys.double(), weights.double(), metric)
    for gradient, wanted in zip(got, want, strict=True):
        assert gradient.dtype == dtype
        # Products of N + Q + D terms in float32, the largest gradient standing for their size; in bfloat16 the weights,
        # the other side and the result are rounded, and the parts that then cancel are a few times as large.
        eps = (40 + 6 + 25) * 2.0**-22 if dtype == torch.float32 else 8 * torch.finfo(dtype).eps
        assert (gradient - wanted).abs().max() <= eps * wanted.abs().max()


def test_the_gradient_of_cosine_at_a_zero_vector_is_zero(generator: Generator) -> None:
    queries, keys = normal(3, 4, 5, generator)
    queries[1], keys[2] = 0.0, 0.0
    grad_q, grad_x = gradients(matmul_scores, queries, keys, torch.ones(3, 4), "cosine")
    assert not grad_q[1].any() and not grad_x[2].any()
    assert grad_q[0].any() and grad_x[0].any()


@pytest.mark.parametrize("metric", METRICS)
def test_autocast_chooses_the_dtype_of_the_product(metric: str, generator: Generator) -> None:
    queries, keys = (rows.requires_grad_() for rows in normal(6, 40, 16, generator))
    with torch.autocast("cpu", torch.bfloat16):
        got = matmul_scores(queries, keys, metric)
        kept = fastret.cosine_scores(queries, keys, metric)
    got.float().sum().backward()
    assert queries.grad.dtype == keys.grad.dtype == torch.float32
    assert kept.dtype == torch.float32
    if metric == "l2":  # torch.cdist stays in float32 as well
        assert torch.equal(got, matmul_scores(queries, keys, metric))
        return
    assert got.dtype == torch.bfloat16
    if metric == "ip":
        assert torch.equal(got, queries.bfloat16() @ keys.bfloat16().mT)
    else:  # the unit rows are rounded, not the rows
        units = (fastret.ops.unit_rows(rows, out_dtype=torch.bfloat16) for rows in (queries, keys))
        assert torch.equal(got, next(units) @ next(units).mT)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_numpy_has_the_dtype_of_the_inputs_under_autocast_too(
    dtype: torch.dtype, metric: str, generator: Generator
) -> None:
    queries, keys = (rows.to(dtype) for rows in normal(6, 40, 16, generator))
    with torch.autocast("cpu", torch.bfloat16):
        want = matmul_scores(queries, keys, metric).to(dtype)
        got = fastret.cosine_scores(queries.numpy(), keys.numpy(), metric, exact=False)
    assert torch.equal(torch.from_numpy(got), want)


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
@pytest.mark.parametrize("autocast", [False, True])
def test_compile_without_a_graph_break(backend: str, autocast: bool, generator: Generator) -> None:
    torch._dynamo.reset()
    inputs = normal(6, 40, 16, generator)

    def loss(queries: Tensor, keys: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            scores = [matmul_scores(queries, keys, metric) for metric in METRICS]
        return sum(part.float().logsumexp(-1).sum() for part in scores)

    def run(function: Callable[..., Tensor]) -> list[Tensor]:
        leaves = [rows.clone().requires_grad_() for rows in inputs]
        value = function(*leaves)
        value.backward()
        return [value.detach(), *(leaf.grad for leaf in leaves)]  # type: ignore[misc]

    for got, want in zip(run(torch.compile(loss, fullgraph=True, backend=backend)), run(loss), strict=True):
        # Fused loops sum in another order; bfloat16 scores may then round the other way.
        eps = 2.0**-7 if autocast else 2.0**-18
        assert (got - want).abs().max() <= eps * want.abs().max()
