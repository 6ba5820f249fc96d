"""select_k: the k largest or smallest values of each row."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .arrays import Array, check_k, like, to_tensor


def select_k(values: Array, k: int, largest: bool = True) -> tuple[Array, Array]:
    """The k largest (or smallest) values of each row and their columns, best first.

    Equivalent to `torch.topk(values, k, largest=largest)` with a fixed order of ties: the smaller column first.

    Args:
        values: [R, C] float32, bfloat16 or float16; a torch tensor, numpy array or CuPy array.
        k: values per row, from 0 to any number.
        largest: select the largest; otherwise the smallest.

    Returns:
        selected [R, K] of the dtype of `values` and columns [R, K] int64. NaN is never selected and -0 equals +0.
        Where fewer than k remain: column -1 and -inf (smallest: +inf). Gradients flow to the selected values.

    Raises:
        TypeError: not a dense floating-point array, k not an integer, largest not a bool.
        ValueError: not 2-D, negative k.
    """
    v = to_tensor("select_k", "values", values)
    if v.dim() != 2:
        raise ValueError(f"select_k: values must be 2-D, got {list(v.shape)}")
    if not isinstance(largest, bool):
        raise TypeError(f"select_k: largest must be True or False, got {type(largest).__name__}")
    selected, columns = torch.ops.fastret.select_k(v, check_k("select_k", k), largest)
    return like(selected, values), like(columns, values)


@torch.library.register_fake("fastret::select_k")
def _(values: Tensor, k: int, largest: bool) -> tuple[Tensor, Tensor]:
    torch._check(values.dim() == 2)
    shape = (values.shape[0], k)
    return values.new_empty(shape), values.new_empty(shape, dtype=torch.int64)


def _setup_context(ctx: Any, inputs: tuple[Tensor, int, bool], output: tuple[Tensor, Tensor]) -> None:
    columns = output[1]
    ctx.mark_non_differentiable(columns)
    ctx.save_for_backward(columns)
    ctx.shape = inputs[0].shape


def _backward(ctx: Any, grad_selected: Tensor, grad_columns: Tensor | None) -> tuple[Tensor, None, None]:
    (columns,) = ctx.saved_tensors
    rows, num_columns = ctx.shape
    # A padded place has no source: its gradient goes to a column that is cut off again.
    target = torch.where(columns < 0, num_columns, columns)
    grad = grad_selected.new_zeros((rows, num_columns + 1)).scatter(1, target, grad_selected)
    # Several paddings share the extra column; the real columns of a row are distinct.
    return grad[:, :num_columns], None, None


torch.library.register_autograd("fastret::select_k", _backward, setup_context=_setup_context)
