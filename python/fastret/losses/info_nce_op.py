"""torch.ops.fastret.info_nce: the loss with the gradients that will be asked for, opaque to torch.compile."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .blocks import Vectors
from .info_nce_pass import Batch, InfoNCEPass, Options
from .made_gradients import fake_results, kept_factor, made, register_made_gradients, shares


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

    Without reduction gradients can only be made with weights [Q], the gradient of the losses.
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

    share, row_weights = shares(work.softmax.stats, reduction, work.softmax.counted, weights)
    key_weights = row_weights
    if work.key_softmax is not None and reduction == "mean":
        key_weights = work.softmax.counted.clamp_min(1) / work.key_softmax.counted.clamp_min(1).double()
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
    factor = kept_factor(share * inverse, queries.dtype)
    scale = share * inverse / factor
    return (
        loss.to(torch.promote_types(queries.dtype, torch.float32)),
        made(work.batch.queries, scale, queries),
        made(work.batch.keys, scale, queries),
        made(work.batch.hard, scale, queries),
        -inverse * work.score_products() * scale if wanted[3] else queries.new_empty(0),
        factor,
        hardest_scores,
        hardest_ids,
    )


@info_nce_op.register_fake
def _(queries: Tensor, keys: Tensor, hard: Tensor | None, temperature: Tensor, *settings: Any) -> tuple[Tensor, ...]:
    topk, reduction, wanted = settings[15:18]
    shape = (queries.shape[0], topk)
    return (
        *fake_results([queries, keys, hard, temperature], reduction, wanted),
        queries.new_empty(shape, dtype=torch.float32),
        queries.new_empty(shape, dtype=torch.int64),
    )


register_made_gradients(info_nce_op, "info_nce")
