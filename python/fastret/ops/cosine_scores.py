"""cosine_scores: the score of every query with every key."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .arrays import Array, Metric, check_out_dtype, check_pair, like, metric_index, to_tensor


def cosine_scores(
    queries: Array,
    keys: Array,
    metric: Metric = "cosine",
    *,
    out_dtype: torch.dtype | None = None,
    exact: bool = True,
) -> Array:
    """The score of every query with every key, the same bits that `search` returns.

    Equivalent to `normalize(queries.double()) @ normalize(keys.double()).mT`, rounded to float32.

    Args:
        queries: [Q, D] or [B, Q, D] float32, bfloat16 or float16; a torch tensor, numpy array or CuPy array.
        keys: [N, D] or [B, N, D], on the device of the queries; its dtype may differ.
        metric: "cosine" (0 with a zero vector), "ip" (inner product) or "l2" (squared Euclidean distance).
        out_dtype: float32 (default), bfloat16 or float16: the float32 score, rounded once more.
        exact: False scores with torch's matmul instead, in the dtype of the inputs or of autocast, "l2" in float32:
            faster, accurate to that dtype's rounding, and with bits that depend on batch size and machine. Meant for
            training. out_dtype is then by default that of the product (for arrays that of the inputs).

    Returns:
        scores [Q, N] or [B, Q, N]. Differentiable in queries and keys; the gradient of cosine at a zero vector is 0.

    Raises:
        TypeError: not a dense floating-point array, unsupported out_dtype.
        ValueError: unequal D, B or devices, not 2-D or 3-D, unknown metric.
    """
    q, x = to_tensor("cosine_scores", "queries", queries), to_tensor("cosine_scores", "keys", keys)
    check_pair("cosine_scores", q, x, axes=(2, 3))
    check_out_dtype("cosine_scores", out_dtype, queries)
    number = metric_index("cosine_scores", metric)
    if not exact:
        if out_dtype is None and not isinstance(queries, Tensor):
            out_dtype = torch.promote_types(q.dtype, x.dtype)  # numpy has no bfloat16 for autocast to choose
        scores = _matmul_scores(q, x, metric)
        return like(scores if out_dtype is None else scores.to(out_dtype), queries)
    batched = q.dim() == 3
    if not batched:
        q, x = q.unsqueeze(0), x.unsqueeze(0)
    scores = torch.ops.fastret.cosine_scores(q, x, number, out_dtype)
    return like(scores if batched else scores.squeeze(0), queries)


def _matmul_scores(queries: Tensor, keys: Tensor, metric: Metric) -> Tensor:
    if metric == "l2":
        return _matmul_l2(queries, keys)
    device = queries.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
    else:
        dtype = torch.promote_types(queries.dtype, keys.dtype)
    if metric == "cosine":
        queries, keys = (torch.ops.fastret.unit_rows(rows, dtype)[0] for rows in (queries, keys))
    return queries.to(dtype) @ keys.to(dtype).mT


def _matmul_l2(queries: Tensor, keys: Tensor) -> Tensor:
    """|q|^2 + |x|^2 - 2 q . x as one matrix product, in float32 under autocast too, as torch.cdist does it."""
    with torch.autocast(queries.device.type, enabled=False):
        q, x = queries.float(), keys.float()
        # Distances to the mean of the keys are as good and smaller, so that less cancels. A mean that is not finite (no
        # keys, or a wild one) would spread to all scores.
        centre = x.detach().mean(-2, keepdim=True).nan_to_num(0, 0, 0)
        q, x = q - centre, x - centre
        ones = [rows.new_ones(*rows.shape[:-1], 2) for rows in (q, x)]
        left = torch.cat([-2 * q, _squares_in_two(q), ones[0]], -1)
        right = torch.cat([x, ones[1], _squares_in_two(x)], -1)
        return (left @ right.mT).clamp_min(0)


def _squares_in_two(rows: Tensor) -> Tensor:
    """|row|^2 as two addends [..., 2], which TF32 rounds by at most 2^-20 of their sum."""
    squares = rows.square().sum(-1, keepdim=True)
    high = squares.detach().bfloat16().float()
    return torch.cat([high, squares - high], -1)


@torch.library.register_fake("fastret::cosine_scores")
def _(queries: Tensor, keys: Tensor, metric: int, out_dtype: torch.dtype | None = None) -> Tensor:
    torch._check(queries.dim() == 3 and keys.dim() == 3)
    torch._check(queries.shape[2] == keys.shape[2])
    torch._check(queries.shape[0] == keys.shape[0])
    shape = (queries.shape[0], queries.shape[1], keys.shape[1])
    return queries.new_empty(shape, dtype=out_dtype or torch.float32)


def _setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, int, torch.dtype | None], output: Tensor) -> None:
    queries, keys, ctx.metric, _ = inputs
    ctx.save_for_backward(queries, keys)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
    queries, keys = ctx.saved_tensors
    g, q, x = grad.float(), queries.float(), keys.float()
    grad_q = grad_x = None
    if ctx.metric == 2:  # |q - x|^2
        if ctx.needs_input_grad[0]:
            grad_q = 2 * (q * g.sum(2, keepdim=True) - g @ x)
        if ctx.needs_input_grad[1]:
            grad_x = 2 * (x * g.sum(1).unsqueeze(2) - g.mT @ q)
    else:
        if ctx.metric == 1:
            (q, q_inverse), (x, x_inverse) = (torch.ops.fastret.unit_rows(rows, torch.float32) for rows in (q, x))
        if ctx.needs_input_grad[0]:
            grad_q = g @ x
        if ctx.needs_input_grad[1]:
            grad_x = g.mT @ q
        if ctx.metric == 1:
            if grad_q is not None:
                grad_q = torch.ops.fastret.unit_rows_backward(grad_q, queries, q_inverse)
            if grad_x is not None:
                grad_x = torch.ops.fastret.unit_rows_backward(grad_x, keys, x_inverse)
    return (
        None if grad_q is None else grad_q.to(queries.dtype),
        None if grad_x is None else grad_x.to(keys.dtype),
        None,
        None,
    )


torch.library.register_autograd("fastret::cosine_scores", _backward, setup_context=_setup_context)
