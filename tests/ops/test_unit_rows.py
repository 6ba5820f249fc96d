"""unit_rows divides each row by its norm, and its gradients are those of the formula."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hard_vectors import DTYPES, FAMILIES, LAYOUTS, Family
from same_bits import assert_same_bits, every_setting
from torch import Generator, Tensor

from fastret.ops import unit_rows

ops = torch.ops.fastret


def formula(rows: Tensor) -> Tensor:
    """Differentiable float64 units; 0 for a zero row."""
    squares = rows.double().square().sum(-1, keepdim=True)
    return rows.double() / torch.where(squares == 0, torch.inf, squares).sqrt()


def assert_close_to_formula(units: Tensor, rows: Tensor) -> None:
    want = formula(rows)
    assert torch.equal(units.isnan(), want.isnan())
    # The factor is rounded and the product is rounded, by 2^-24 each; below 2^-126 products lose up to half of 2^-149.
    tolerance = 1.01 * 2.0**-23 * want.abs() + 2.0**-149
    excess = ((units - want).abs() - tolerance).nan_to_num(0)
    assert excess.max() <= 0, f"beyond the tolerance by {excess.max().item():.3g}"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("family", FAMILIES)
def test_units_are_those_of_the_formula(family: Family, dtype: torch.dtype, generator: Generator) -> None:
    rows = torch.cat(family(9, 70, 19, generator)).to(dtype)
    want = unit_rows(rows, out_dtype=torch.float32)
    assert_close_to_formula(want, rows)
    for setting in every_setting():
        for out_dtype in DTYPES:
            assert_same_bits(unit_rows(rows, out_dtype=out_dtype), want.to(out_dtype), f"{setting}, {out_dtype}")
    assert_same_bits(unit_rows(rows), want.to(dtype))


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (1, 1), (5, 16), (6, 513), (3, 4, 7), (0, 2, 3), (2, 3, 4, 5)])
def test_shapes(shape: tuple[int, ...], generator: Generator) -> None:
    rows = torch.randn(shape, generator=generator)
    units, inverse_norms = ops.unit_rows(rows)
    assert units.shape == rows.shape and inverse_norms.shape == rows.shape[:-1]
    if rows.numel():
        assert_close_to_formula(units, rows)
    torch.testing.assert_close(inverse_norms, 1 / rows.double().norm(dim=-1) if shape[-1] else inverse_norms * 0)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_memory_layouts(layout: Callable[[Tensor], Tensor], generator: Generator) -> None:
    rows = torch.randn(6, 21, generator=generator)
    assert_same_bits(unit_rows(layout(rows)), unit_rows(rows))
    batch = torch.randn(21, 4, 3, generator=generator).permute(2, 1, 0)
    assert_same_bits(unit_rows(batch), unit_rows(batch.contiguous()))


def test_the_norm_of_a_zero_row_is_no_divisor(generator: Generator) -> None:
    rows = torch.randn(3, 5, generator=generator)
    rows[1] = 0.0
    units, inverse_norms = ops.unit_rows(rows)
    assert not units[1].any() and inverse_norms[1] == 0
    assert units[[0, 2]].isfinite().all()


def test_flushing_subnormals_in_the_caller_changes_nothing(generator: Generator) -> None:
    rows = torch.randn(5, 8, generator=generator) * 1e-40
    want = unit_rows(rows)
    assert torch.set_flush_denormal(True)
    got = unit_rows(rows)
    torch.set_flush_denormal(False)
    assert_same_bits(got, want)


def assert_gradient(got: Tensor, want: Tensor, rows: Tensor, grad_units: Tensor) -> None:
    # In float64 but for two roundings to float32: that of the part along the row, and that of the difference; neither
    # part is larger than |g| / |row|. Rounded once more to a 16-bit dtype.
    size = grad_units.double().norm(dim=-1, keepdim=True) / rows.double().norm(dim=-1, keepdim=True)
    eps = 2.0**-23 + (0 if got.dtype == torch.float32 else torch.finfo(got.dtype).eps)
    assert ((got - want).abs() <= eps * size.nan_to_num(0, 0, 0)).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("grad_dtype", DTYPES)
def test_gradients_are_those_of_the_formula(dtype: torch.dtype, grad_dtype: torch.dtype, generator: Generator) -> None:
    rows = torch.randn(2, 9, 37, generator=generator).to(dtype)
    rows[0, 3] = 0.0
    grad_units = torch.randn(2, 9, 37, generator=generator).to(grad_dtype)
    got, want = rows.clone().requires_grad_(), rows.double().requires_grad_()
    unit_rows(got, out_dtype=grad_dtype).backward(grad_units)
    formula(want).backward(grad_units.double())
    assert got.grad is not None and got.grad.dtype == dtype and not got.grad[0, 3].any()
    assert_gradient(got.grad, want.grad, rows, grad_units)


@pytest.mark.parametrize("scale", [1e-42, 1e-30, 1e30])
def test_gradients_of_extreme_rows(scale: float, generator: Generator) -> None:
    rows = (torch.randn(7, 12, generator=generator) * scale).requires_grad_()
    grad_units = torch.randn(7, 12, generator=generator) * (1e-6 if scale < 1 else 1)
    want = rows.detach().double().requires_grad_()
    unit_rows(rows).backward(grad_units)
    formula(want).backward(grad_units.double())
    assert_gradient(rows.grad, want.grad, rows.detach(), grad_units)


def test_a_gradient_has_no_part_along_its_row(generator: Generator) -> None:
    rows = torch.randn(4, 33, generator=generator).requires_grad_()
    unit_rows(rows).backward(unit_rows(rows.detach()) * 1e4)
    assert rows.grad.abs().max() <= 1e4 * 2.0**-22


def test_second_gradients_are_those_of_the_formula(generator: Generator) -> None:
    values, weights = torch.randn(5, 11, generator=generator), torch.randn(11, generator=generator)

    def penalty(units: Callable[[Tensor], Tensor], dtype: torch.dtype) -> list[Tensor]:
        rows, w = (part.to(dtype, copy=True).requires_grad_() for part in (values, weights))
        (grad,) = torch.autograd.grad(((units(rows) @ w) ** 2).sum(), rows, create_graph=True)
        grad.square().sum().backward()
        return [rows.grad, w.grad]  # type: ignore[list-item]

    for got, want in zip(penalty(unit_rows, torch.float32), penalty(formula, torch.float64), strict=True):
        # float32 products of 11 terms around float64 inner steps.
        assert (got - want).abs().max() <= 64 * 2.0**-24 * want.abs().max()


@pytest.mark.parametrize("dtype", DTYPES)
def test_opcheck(dtype: torch.dtype, generator: Generator) -> None:
    def rows(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(dtype).requires_grad_()

    torch.library.opcheck(ops.unit_rows.default, (rows(3, 5),))
    torch.library.opcheck(ops.unit_rows.default, (rows(5, 4, 3).permute(2, 1, 0), torch.bfloat16))
    inverse_norms = torch.rand(2, 3, generator=generator, dtype=torch.float64)
    torch.library.opcheck(ops.unit_rows_backward.default, (rows(2, 3, 5), rows(2, 3, 5), inverse_norms))


def test_numpy_in_and_out() -> None:
    rows = np.array([[3.0, 4.0], [0.0, 0.0]], dtype=np.float32)
    units = unit_rows(rows, out_dtype=torch.float16)
    assert isinstance(units, np.ndarray) and units.dtype == np.float16
    np.testing.assert_array_equal(units, np.array([[0.6, 0.8], [0, 0]], dtype=np.float16))


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: unit_rows(torch.ones(3)), ValueError, "unit_rows: rows must be 2-D or more, got [3]"),
        (
            lambda: unit_rows(torch.ones(3, 2).double()),
            TypeError,
            "unit_rows: rows must be float32, bfloat16 or float16, got float64",
        ),
        (
            lambda: unit_rows(torch.ones(3, 2), out_dtype=torch.float64),
            TypeError,
            "unit_rows: out_dtype must be float32, bfloat16 or float16, got torch.float64",
        ),
        (
            lambda: unit_rows(np.ones((3, 2), np.float32), out_dtype=torch.bfloat16),
            TypeError,
            "unit_rows: out_dtype must be float32 or float16 for numpy and CuPy arrays, got torch.bfloat16",
        ),
        (lambda: ops.unit_rows(torch.ones(3)), RuntimeError, "unit_rows: rows must have 2 or more axes, got [3]"),
        (
            lambda: ops.unit_rows_backward(torch.ones(2, 3), torch.ones(3, 2), torch.ones(3).double()),
            RuntimeError,
            "unit_rows_backward: grad_units and rows must have one shape of 2 or more axes, got [2, 3] and [3, 2]",
        ),
        (
            lambda: ops.unit_rows_backward(torch.ones(3, 2), torch.ones(3, 2), torch.ones(3)),
            RuntimeError,
            "unit_rows_backward: inverse_norms must be one float64 per row, got [3]",
        ),
    ],
)
def test_bad_input(call: Callable[[], object], error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=re.escape(sentence)):
        call()
