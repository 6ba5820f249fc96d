"""torch.ops.fastret.info_nce: the loss with the gradients that will be asked for, opaque to torch.compile."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .blocks import Vectors
from .gradient_once import gradient_once
from .info_nce_pass import Batch, InfoNCEPass, Options

_SOURCES = 4  # the inputs that have gradients: queries, keys, hard negatives and temperature, which come first
_REDUCTION, _WANTED = 20, 21  # places among the inputs


@torch.library.custom_op("fastret::info_nce", mutates_args=())
def info_nce_op(
    queries: Tensor,
    keys: Tensor,
    hard: Tensor | None,
    temperature: Tensor,
    choice: Tensor | None,
    labels: Tensor,
    query_ids: Tensor | None,
    key_ids: Tensor | None,
    guide_queries: Tensor | None,
    guide_keys: Tensor | None,
    guide_hard: Tensor | None,
    false_negative_margin: float | None,
    relative: bool,
    hardness: float,
    margin: float,
    label_smoothing: float,
    symmetric: bool,
    query_query: bool,
    key_key: bool,
    topk: int,
    reduction: str,
    wanted: list[bool],
    weights: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """-> loss; of each source the gradient over `factor`, empty where it is not wanted; factor []; hardest scores, ids.

    16-bit gradients are kept over the factor 1 / (temperature * rows), so that small ones do not vanish before a
    GradScaler enlarges them. Without reduction gradients can only be made with weights [Q], the gradient of the losses.
    """
    work = InfoNCEPass(
        Batch(
            Vectors.of(queries, guide_queries, wanted[0]),
            Vectors.of(keys, guide_keys, wanted[1]),
            None if hard is None else Vectors.of(hard, guide_hard, wanted[2]),
            choice,
            labels,
            query_ids,
            key_ids,
        ),
        Options(false_negative_margin, relative, hardness, margin, label_smoothing, symmetric, query_query, key_key),
        temperature,
    )
    hardest_scores = queries.new_empty((queries.shape[0], topk), dtype=torch.float32)
    hardest_ids = queries.new_empty((queries.shape[0], topk), dtype=torch.int64)
    hardest = (hardest_scores, hardest_ids) if topk else None

    share = work.softmax.stats.new_ones(())  # of the sum of the losses of the queries in the loss
    row_weights = key_weights = share
    if reduction == "mean":
        share = 1 / work.softmax.counted.clamp_min(1).double()
        if work.key_softmax is not None:
            key_weights = work.softmax.counted.double() / work.key_softmax.counted.clamp_min(1)
    elif reduction == "none" and weights is not None:
        share = weights.double().abs().amax() if len(weights) else share
        row_weights = key_weights = torch.where(share > 0, weights.double() / share, 0)
    if symmetric:
        share = share / 2

    if any(wanted):
        work.stats_and_gradients(row_weights, key_weights, hardest)
    else:
        work.stats(hardest)
    losses = work.softmax.losses()
    if work.key_softmax is None:
        loss = losses if reduction == "none" else share * losses.sum()
    elif reduction == "none":
        loss = (losses + work.key_softmax.losses()) / 2
    else:
        loss = share * (losses.sum() + key_weights * work.key_softmax.losses().sum())

    inverse = 1 / temperature.double()
    sources = (work.batch.queries, work.batch.keys, work.batch.hard)
    gradients = [
        queries.new_empty(0) if one is None or one.gradient is None else one.gradient.to(queries.dtype)
        for one in sources
    ]
    gradients.append(-inverse * work.score_products() if wanted[3] else queries.new_empty(0))
    loss = loss.to(torch.promote_types(queries.dtype, torch.float32))
    return loss, *gradients, share * inverse, hardest_scores, hardest_ids


@info_nce_op.register_fake
def _(queries: Tensor, keys: Tensor, hard: Tensor | None, temperature: Tensor, *others: Any) -> tuple[Tensor, ...]:
    topk, reduction, wanted = others[15:18]
    sources = (queries, keys, hard, temperature)
    gradients = [
        torch.empty_like(source) if source is not None and want else queries.new_empty(0)
        for source, want in zip(sources, wanted, strict=True)
    ]
    gradients[3] = queries.new_empty(() if wanted[3] else (0,), dtype=torch.float64)
    rows = queries.shape[0]
    return (
        queries.new_empty(
            (rows,) if reduction == "none" else (), dtype=torch.promote_types(queries.dtype, torch.float32)
        ),
        *gradients,
        queries.new_empty((), dtype=torch.float64),
        queries.new_empty((rows, topk), dtype=torch.float32),
        queries.new_empty((rows, topk), dtype=torch.int64),
    )


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.mark_non_differentiable(*output[1:])
    ctx.save_for_backward(*(one if isinstance(one, Tensor) else None for one in inputs), *output[1 : _SOURCES + 2])
    ctx.settings = [None if isinstance(one, Tensor) else one for one in inputs]


def _backward(ctx: Any, grad: Tensor, *_: Tensor | None) -> tuple[Tensor | None, ...]:
    count = len(ctx.settings)
    inputs = [
        setting if tensor is None else tensor for tensor, setting in zip(ctx.saved_tensors, ctx.settings, strict=False)
    ]
    *gradients, factor = ctx.saved_tensors[count:]
    if inputs[_REDUCTION] == "none":
        with torch.no_grad():
            _, *gradients, factor, _, _ = info_nce_op(*inputs[:_WANTED], list(ctx.needs_input_grad[:_SOURCES]), grad)
    else:
        factor = factor * grad
    found = [
        gradient_once("info_nce", gradient, factor, source).to(source.dtype) if needed else None
        for gradient, source, needed in zip(gradients, inputs, ctx.needs_input_grad, strict=False)
    ]
    return *found, *(None for _ in range(count - _SOURCES))


info_nce_op.register_autograd(_backward, setup_context=_setup_context)
