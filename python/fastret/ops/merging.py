"""Neighbours found in parts of the keys, merged into those of all keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from .arrays import Metric
from .select_k import select_k

Neighbours: TypeAlias = tuple[Tensor, Tensor]  # scores [Q, K] float32 and ids [Q, K] int64, as of search
WithinRange: TypeAlias = tuple[Tensor, Tensor, Tensor]  # lims [Q + 1], scores and ids, as of range_search


def merge_neighbours(
    parts: Sequence[Neighbours], k: int, metric: Metric, *, ids_ascend: bool = False
) -> tuple[Tensor, Tensor]:
    """The k best of all parts: the best scores first, of equal scores the smaller id.

    Args:
        parts: of the same Q queries on one device, each in the order of `search`; no id occurs twice.
        ids_ascend: every id of a part is greater than those of the parts before it, which saves sorting them.
    """
    scores, ids = (torch.cat(column, 1) for column in zip(*parts, strict=True))
    if not ids_ascend:
        ids, order = ids.sort(1)
        scores = scores.gather(1, order)
    # Padding is no result: an infinitely bad key of another part comes before it.
    scores, columns = select_k(scores.masked_fill(ids < 0, torch.nan), k, largest=metric != "l2")
    return scores, F.pad(ids, (1, 0), value=-1).gather(1, columns + 1)  # column -1 reads the -1 in front


def merge_ranges(parts: Sequence[WithinRange], *, ids_ascend: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """What all parts found, by query and ascending id; parts and `ids_ascend` as of `merge_neighbours`."""
    lims, scores, ids = zip(*parts, strict=True)
    counts = torch.stack(lims).diff()  # [P, Q]
    numbers = torch.arange(counts.shape[1], device=counts.device).repeat(len(counts))
    queries, all_scores, all_ids = torch.repeat_interleave(numbers, counts.flatten()), torch.cat(scores), torch.cat(ids)
    order = torch.arange(len(all_ids), device=counts.device) if ids_ascend else all_ids.argsort()
    order = order[queries[order].argsort(stable=True)]
    return F.pad(counts.sum(0).cumsum(0), (1, 0)), all_scores[order], all_ids[order]
