"""Which of scored ids are the best: of equal scores the smaller id comes first."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..ops.select_k import select_k
from .arrays import FLT_MAX


def ranked(
    scores: Tensor, ids: Tensor, k: int, *, similarity: bool, found: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The k best of each row of scores [Q, C] and ids [Q, C], padded with id -1 and the worst float32.

    found: [Q, C] bool, which of them are results; by default those of no negative id. NaN is none.
    """
    ids, order = ids.sort(1)
    found = ids >= 0 if found is None else found.gather(1, order)
    best, columns = select_k(scores.gather(1, order).masked_fill(~found, torch.nan), k, similarity)
    best = best.masked_fill(columns < 0, -FLT_MAX if similarity else FLT_MAX)
    return best, F.pad(ids, (1, 0), value=-1).gather(1, columns + 1)  # column -1 reads the -1 in front
