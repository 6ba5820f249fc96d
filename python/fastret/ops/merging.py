"""Neighbours found in parts of the keys, merged into those of all keys."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from .arrays import Metric
from .select_k import select_k

Neighbours: TypeAlias = tuple[Tensor, Tensor]  # scores [Q, K] float32 and ids [Q, K] int64, as of search
WithinRange: TypeAlias = tuple[Tensor, Tensor, Tensor]  # lims [Q + 1], scores and ids, as of range_search


def merge_neighbours(parts: Sequence[Neighbours], k: int, metric: Metric, *, ids_ascend: bool = False) -> Neighbours:
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


def neighbours_in_order(parts: Iterable[tuple[int, Neighbours]], queries: Tensor, k: int, metric: Metric) -> Neighbours:
    """The k best of runs of keys that follow each other, of which each part tells the first key; its ids count from 0.

    Parts are asked for one by one, and none is held longer than its merge takes.
    """
    nothing = queries.new_empty((len(queries), 0), dtype=torch.float32)
    best = merge_neighbours([(nothing, nothing.long())], k, metric)
    for first, (scores, ids) in parts:
        best = merge_neighbours([best, (scores, torch.where(ids < 0, -1, ids + first))], k, metric, ids_ascend=True)
    return best


def ranges_in_order(parts: Iterable[tuple[int, WithinRange]], queries: Tensor) -> WithinRange:
    """The same of `range_search`."""
    nothing = queries.new_zeros(len(queries) + 1, dtype=torch.int64)
    found = [(nothing, nothing[:0].float(), nothing[:0])]
    found += [(lims, scores, ids + first) for first, (lims, scores, ids) in parts]
    return merge_ranges(found, ids_ascend=True)


def merge_ranges(parts: Sequence[WithinRange], *, ids_ascend: bool = False) -> WithinRange:
    """What all parts found, by query and ascending id; parts and `ids_ascend` as of `merge_neighbours`."""
    lims, scores, ids = zip(*parts, strict=True)
    counts = torch.stack(lims).diff()  # [P, Q]
    numbers = torch.arange(counts.shape[1], device=counts.device).repeat(len(counts))
    queries, all_scores, all_ids = torch.repeat_interleave(numbers, counts.flatten()), torch.cat(scores), torch.cat(ids)
    order = torch.arange(len(all_ids), device=counts.device) if ids_ascend else all_ids.argsort()
    order = order[queries[order].argsort(stable=True)]
    return F.pad(counts.sum(0).cumsum(0), (1, 0)), all_scores[order], all_ids[order]
