"""A contrastive loss and its gradients, a few anchors at a time: nothing of the size of all scores is ever held.

In one direction each tile of scores is made once, 3 matrix products in all. Where candidates are anchors, too, their
sums have to be known first: every tile is made twice, 4 products.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ..ops.contrastive import Tile, contrastive_gradient_, contrastive_stats_
from .blocks import Block, spans
from .softmax import Softmax


class ContrastivePass:
    """The blocks of one softmax. The candidates of the first block may be anchors of another one, `columns`."""

    def __init__(
        self,
        softmax: Softmax,
        blocks: list[Block],
        inverse_temperature: Tensor,
        margin: float,
        columns: Softmax | None = None,
    ) -> None:
        self.softmax, self.columns, self.blocks, self.margin = softmax, columns, blocks, margin
        self.scales = [torch.stack([inverse_temperature, inverse_temperature + b.hardness]) for b in blocks]
        # Of each anchor: the sum over its scores of gradient times score.
        self.score_products = torch.zeros_like(softmax.stats[0])

    # Tiles are handed on as arguments: no name holds them while the next ones are made.

    def stats(self, hardest: tuple[Tensor, Tensor] | None = None) -> None:
        for begin, end in self._spans():
            self._stats(begin, end, self._tiles(begin, end), hardest)

    def gradients(self, weights: Tensor, column_weights: Tensor | None = None) -> None:
        """Once all stats are known: add the gradients of the losses times their weights to those of the blocks."""
        columns = None if self.columns is None or column_weights is None else self.columns.coefficients(column_weights)
        for begin, end in self._spans():
            self._gradients(begin, end, self._tiles(begin, end), weights, columns)

    def stats_and_gradients(self, weights: Tensor, hardest: tuple[Tensor, Tensor] | None = None) -> None:
        """Both with one product of each tile, where no candidates are anchors."""
        for begin, end in self._spans():
            self._stats_and_gradients(begin, end, self._tiles(begin, end), weights, hardest)

    def _spans(self) -> Iterator[tuple[int, int]]:
        return spans(self.blocks, self.softmax.stats.shape[1])

    def _tiles(self, begin: int, end: int) -> list[Tile]:
        limits = self.softmax.limits
        return [
            Tile(
                block.score(begin, end),
                scales,
                self.margin,
                block.positives and block.positives.of_rows(begin, end),
                block.excluded and block.excluded.of_rows(begin, end),
                judge=block.judge(begin, end),
                limits=None if limits is None else limits[begin:end],
            )
            for block, scales in zip(self.blocks, self.scales, strict=True)
        ]

    def _stats(self, begin: int, end: int, tiles: list[Tile], hardest: tuple[Tensor, Tensor] | None) -> None:
        stats = self.softmax.stats[:, begin:end]
        first, block = tiles[0], self.blocks[0]
        contrastive_stats_(first, stats, hardest and (hardest[0][begin:end], hardest[1][begin:end]))
        for tile in tiles[1:]:
            contrastive_stats_(tile, stats)
        if self.columns is not None:
            mirrored = first._replace(
                scores=first.scores.T.contiguous(),
                positives=self.columns.positives,
                excluded=block.excluded_rows,
                first_column=begin,
                judge=None if first.judge is None else first.judge.T.contiguous(),
                limits=self.columns.limits,
            )
            contrastive_stats_(mirrored, self.columns.stats)

    def _stats_and_gradients(
        self, begin: int, end: int, tiles: list[Tile], weights: Tensor, hardest: tuple[Tensor, Tensor] | None
    ) -> None:
        self._stats(begin, end, tiles, hardest)
        self._gradients(begin, end, tiles, weights, None)

    def _gradients(self, begin: int, end: int, tiles: list[Tile], weights: Tensor, columns: Tensor | None) -> None:
        coefficients = self.softmax.coefficients(weights, begin, end)
        products = self.score_products[begin:end]
        for number, (tile, block) in enumerate(zip(tiles, self.blocks, strict=True)):
            if columns is None or number > 0:
                contrastive_gradient_(tile, coefficients, score_products=products)
            else:
                limits = None if self.columns is None else self.columns.limits
                contrastive_gradient_(tile, coefficients, columns, limits, products)
            block.send_back(begin, end, tile.scores)
