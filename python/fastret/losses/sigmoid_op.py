"""torch.ops.fastret.sigmoid_loss: the loss with the gradients that will be asked for, opaque to torch.compile."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..ops.contrastive import Tile, sigmoid_tile_
from .blocks import Block, Vectors, spans
from .column_lists import lists_of_pairs, positive_pairs
from .made_gradients import fake_results, kept_factor, made, register_made_gradients, shares


@torch.library.custom_op("fastret::sigmoid_loss", mutates_args=())
def sigmoid_loss_op(
    queries: Tensor,
    keys: Tensor,
    temperature: Tensor,
    bias: Tensor,
    labels: Tensor,
    reduction: str,
    wanted: list[bool],
    weights: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """-> loss; of each source the gradient over `factor`, empty where it is not wanted; factor []: see info_nce_op."""
    count = queries.shape[0]
    positives = lists_of_pairs(positive_pairs(labels), count)
    block = Block(Vectors.of(queries, None, wanted[0]), Vectors.of(keys, None, wanted[1]), positives=positives)
    inverse = 1 / temperature.double()
    sums = queries.new_zeros((3, count), dtype=torch.float64)
    share, row_weights = shares(sums, reduction, torch.tensor(count), weights)
    row_weights = row_weights.expand(count).contiguous()
    scales, offset = torch.stack([inverse, inverse]), bias.double().reshape(1)
    for begin, end in spans([block], count):
        scores = block.score(begin, end)
        tile = Tile(scores, scales, positives=positives.of_rows(begin, end))
        sigmoid_tile_(tile, offset, row_weights[begin:end], sums[:, begin:end], any(wanted))
        if any(wanted):
            block.send_back(begin, end, scores)
        del tile, scores  # before the next ones are made
    losses, biases, products = sums
    loss = losses if reduction == "none" else share * losses.sum()
    factor = kept_factor(share * inverse, queries.dtype)
    scale = share * inverse / factor
    return (
        loss.to(torch.promote_types(queries.dtype, torch.float32)),
        made(block.anchors, scale, queries),
        made(block.candidates, scale, queries),
        -inverse * products.sum() * scale if wanted[2] else queries.new_empty(0),
        biases.sum() * share / factor if wanted[3] else queries.new_empty(0),
        factor,
    )


@sigmoid_loss_op.register_fake
def _(
    queries: Tensor, keys: Tensor, temperature: Tensor, bias: Tensor, labels: Tensor, *settings: Any
) -> tuple[Tensor, ...]:
    return tuple(fake_results([queries, keys, temperature, bias], *settings[:2]))


register_made_gradients(sigmoid_loss_op, "sigmoid_loss")
