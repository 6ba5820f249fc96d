"""cosine_scores: the score of every query with every key."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .arrays import FLOAT_DTYPES, Array, Metric, check_pair, like, metric_index, to_tensor


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
        exact: False scores with torch's matmul in the dtype of the inputs instead: faster, accurate to
            that dtype's rounding, and with bits that depend on batch size and machine. Meant for training.

    Returns:
        scores [Q, N] or [B, Q, N]. Differentiable in queries and keys; the gradient of cosine at a zero vector is 0.

    Raises:
        TypeError: not a dense floating-point array, unsupported out_dtype.
        ValueError: unequal D, B or devices, not 2-D or 3-D, unknown metric.
    """
    q, x = to_tensor("cosine_scores", "queries", queries), to_tensor("cosine_scores", "keys", keys)
    check_pair("cosine_scores", q, x, axes=(2, 3))
    if out_dtype is not None and out_dtype not in FLOAT_DTYPES:
        raise TypeError(f"cosine_scores: out_dtype must be float32, bfloat16 or float16, got {out_dtype}")
    number = metric_index("cosine_scores", metric)
    if not exact:
        return like(_matmul_scores(q, x, metric).to(out_dtype or torch.float32), queries)
    batched = q.dim() == 3
    if not batched:
        q, x = q.unsqueeze(0), x.unsqueeze(0)
    scores = torch.ops.fastret.cosine_scores(q, x, number, out_dtype)
    return like(scores if batched else scores.squeeze(0), queries)


def _matmul_scores(queries: Tensor, keys: Tensor, metric: Metric) -> Tensor:
    dtype = torch.promote_types(queries.dtype, keys.dtype)
    q, x = queries.to(dtype), keys.to(dtype)
    if metric == "ip":
        return q @ x.mT
    if metric == "cosine":
        return _unit(q)[0].to(dtype) @ _unit(x)[0].to(dtype).mT
    squared = q.square().sum(-1, keepdim=True) - 2 * (q @ x.mT) + x.square().sum(-1, keepdim=True).mT
    return squared.clamp_min(0)


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


def _unit(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Unit vectors as float32, and 1 / |v| as float64; both 0 for a zero vector."""
    # float64: the square of a float32 may overflow or vanish in float32.
    norm = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True, dtype=torch.float64)
    nonzero = norm > 0
    # 1 stands in for a norm of 0, so that no infinity meets the zero gradient of the branch not taken.
    scale = torch.where(nonzero, 1 / torch.where(nonzero, norm, 1), 0)
    return (vectors * scale).float(), scale


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
            (q, q_scale), (x, x_scale) = _unit(q), _unit(x)
        if ctx.needs_input_grad[0]:
            grad_q = g @ x
        if ctx.needs_input_grad[1]:
            grad_x = g.mT @ q
        if ctx.metric == 1:  # the part along the unit vector does not change the cosine
            if grad_q is not None:
                grad_q = (grad_q - q * (grad_q * q).sum(2, keepdim=True)) * q_scale
            if grad_x is not None:
                grad_x = (grad_x - x * (grad_x * x).sum(2, keepdim=True)) * x_scale
    return (
        None if grad_q is None else grad_q.to(queries.dtype),
        None if grad_x is None else grad_x.to(keys.dtype),
        None,
        None,
    )


torch.library.register_autograd("fastret::cosine_scores", _backward, setup_context=_setup_context)
