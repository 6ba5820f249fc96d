"""One tile of a contrastive loss: what happens to the scores of some anchors between two matrix products."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

# Of each anchor, rows of `stats` [5, R] float64: the largest worth, the sum of exp(worth - largest), the sum of worths,
# the number of candidates, the sum of the worths of the positives. Tiles of the same anchors add up.
LARGEST, EXP_SUM, WORTH_SUM, COUNT, POSITIVE_WORTH = range(5)


class ColumnLists(NamedTuple):
    """Some columns for each row: `columns[bounds[0, r] : bounds[1, r]]`."""

    bounds: Tensor  # [2, R] int64
    columns: Tensor  # [*] int64

    def of_rows(self, begin: int, end: int) -> ColumnLists:
        return ColumnLists(self.bounds[:, begin:end], self.columns)


class Tile(NamedTuple):
    """The scores of R anchors with C candidates, and who of them counts as what.

    A positive is worth (score - margin) * scales[0], another candidate score * scales[1]. The excluded, and those
    judged above their anchor's limit, are no candidates, unless they are positives; nor is what scores -inf.
    """

    scores: Tensor  # [R, C] float32, bfloat16, float16 or float64; rows are contiguous
    scales: Tensor  # [2] float64
    margin: float = 0.0
    positives: ColumnLists | None = None
    excluded: ColumnLists | None = None
    first_column: int = 0  # the number that lists give column 0; columns outside the tile do not count
    judge: Tensor | None = None  # [R, C] of the dtype of the scores; default: the scores
    limits: Tensor | None = None  # [R] float64

    def _arguments(self) -> tuple[Tensor | float | int | None, ...]:
        lists = (*(self.positives or (None, None)), *(self.excluded or (None, None)))
        return (self.scores, self.scales, self.margin, *lists, self.first_column, self.judge, self.limits)


def empty_stats(rows: int, like: Tensor) -> Tensor:
    """[5, R] float64 of no candidates."""
    stats = like.new_zeros((5, rows), dtype=torch.float64)
    stats[LARGEST] = -torch.inf
    return stats


def contrastive_stats_(tile: Tile, stats: Tensor, hardest: tuple[Tensor, Tensor] | None = None) -> None:
    """Add the candidates of a tile to the stats of its anchors.

    The losses that follow from them are defined in `contrastive_reference.contrastive_losses`. Also tells `hardest`:
    scores [R, K] float32 and columns [R, K] int64 of the candidates other than positives that score best, equal ones by
    column, padded with -inf and -1.
    """
    torch.ops.fastret.contrastive_stats_(*tile._arguments(), stats, *(hardest or (None, None)))


def contrastive_gradient_(
    tile: Tile,
    coefficients: Tensor,
    column_coefficients: Tensor | None = None,
    column_limits: Tensor | None = None,
    score_products: Tensor | None = None,
) -> None:
    """Put the gradient of the scores, over their scale, in their place.

    Equivalent to `exp(worth - c[0]) * c[1] - c[2]` for candidates, less c[3] for positives and 0 for all others, where
    c are the coefficients [4, R] float64 of an anchor. Where candidates are anchors too, with column_coefficients
    [4, C] and column_limits [C], theirs is added. score_products [R] float64 += sums of gradient times score, a
    positive's less the margin.
    """
    torch.ops.fastret.contrastive_gradient_(
        *tile._arguments(), coefficients, column_coefficients, column_limits, score_products
    )


def sigmoid_tile_(tile: Tile, bias: Tensor, weights: Tensor, sums: Tensor, gradient: bool) -> None:
    """Add the pairwise sigmoid losses of the rows of a tile, which has no limits, to sums[0].

    With `gradient` the scores become the gradient of the losses times weights [R] float64, over scales[1]. The
    losses are defined in `contrastive_reference.sigmoid_losses`. bias [1] float64; sums [3, R] float64: sums[1] += sums
    of the gradient, sums[2] += sums of gradient times score.
    """
    lists = tile.positives or (None, None)
    torch.ops.fastret.sigmoid_tile_(tile.scores, tile.scales, bias, *lists, weights, *sums, gradient)


@torch.library.register_fake("fastret::contrastive_stats_")
@torch.library.register_fake("fastret::contrastive_gradient_")
@torch.library.register_fake("fastret::sigmoid_tile_")
def _(*arguments: Tensor | float | int | None) -> None:
    return None
