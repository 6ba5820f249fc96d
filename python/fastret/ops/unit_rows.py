"""unit_rows: rows divided by their norms, read once and written once in the dtype that a matrix product takes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .arrays import Array, check_out_dtype, like, to_tensor


def unit_rows(rows: Array, *, out_dtype: torch.dtype | None = None) -> Array:
    """Each row divided by its Euclidean norm.

    Equivalent to `torch.nn.functional.normalize(rows.double(), dim=-1, eps=0).to(out_dtype)`, with 0 for a zero row.
    The norm is summed in float64, where squares neither overflow nor vanish: every other finite row becomes a unit
    vector.

    Args:
        rows: [..., D] float32, bfloat16 or float16, 2-D or more; a torch tensor, numpy array or CuPy array.
        out_dtype: float32, bfloat16 or float16, rounded to from float32. Default: that of `rows`.

    Returns:
        units [..., D], within 2^-23 of themselves before out_dtype rounds them; NaN where a row holds NaN. Twice
        differentiable; the gradient at a zero row is 0.

    Raises:
        TypeError: not a dense floating-point array, unsupported out_dtype.
        ValueError: fewer than two axes.
    """
    r = to_tensor("unit_rows", "rows", rows)
    if r.dim() < 2:
        raise ValueError(f"unit_rows: rows must be 2-D or more, got {list(r.shape)}")
    check_out_dtype("unit_rows", out_dtype, rows)
    return like(torch.ops.fastret.unit_rows(r, out_dtype)[0], rows)


@torch.library.register_fake("fastret::unit_rows")
def _(rows: Tensor, out_dtype: torch.dtype | None = None) -> tuple[Tensor, Tensor]:
    torch._check(rows.dim() >= 2)
    units = rows.new_empty(rows.shape, dtype=out_dtype or rows.dtype)
    return units, rows.new_empty(rows.shape[:-1], dtype=torch.float64)


@torch.library.register_fake("fastret::unit_rows_backward")
def _(grad_units: Tensor, rows: Tensor, inverse_norms: Tensor) -> Tensor:
    torch._check(rows.dim() >= 2 and grad_units.shape == rows.shape)
    return rows.new_empty(rows.shape)


def _setup_context(ctx: Any, inputs: tuple[Tensor, torch.dtype | None], output: tuple[Tensor, Tensor]) -> None:
    inverse_norms = output[1]
    ctx.mark_non_differentiable(inverse_norms)
    ctx.save_for_backward(inputs[0], inverse_norms)


def _backward(ctx: Any, grad_units: Tensor, grad_inverse_norms: Tensor | None) -> tuple[Tensor, None]:
    # From the rows, not the units: those are rounded to the dtype of the product.
    return torch.ops.fastret.unit_rows_backward(grad_units, *ctx.saved_tensors), None


torch.library.register_autograd("fastret::unit_rows", _backward, setup_context=_setup_context)


def _setup_backward_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward_of_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
    """Of (g - u (u . g)) / |x|, whose derivative in g is the same symmetric map again."""
    grad_units, rows, inverse_norms = ctx.saved_tensors
    of_grad_units = of_rows = None
    if ctx.needs_input_grad[0]:
        of_grad_units = torch.ops.fastret.unit_rows_backward(grad, rows, inverse_norms).to(grad_units.dtype)
    if ctx.needs_input_grad[1]:
        inverse = inverse_norms.unsqueeze(-1)
        u, g, v = rows * inverse, grad_units.double(), grad.double()
        ug, uv, vg = ((a * b).sum(-1, keepdim=True) for a, b in ((u, g), (u, v), (v, g)))
        of_rows = ((u * (3 * ug * uv - vg) - ug * v - uv * g) * inverse.square()).to(rows.dtype)
    return of_grad_units, of_rows, None


torch.library.register_autograd(
    "fastret::unit_rows_backward", _backward_of_backward, setup_context=_setup_backward_context
)
