"""Who is whose positive, and who shares an id, as lists of columns for each row."""

from __future__ import annotations

import torch
from torch import Tensor

from ..ops.contrastive import ColumnLists


def positive_pairs(labels: Tensor) -> Tensor:
    """[2, *] int64: rows, ascending, and columns of labels [Q, P] that are padded with -1, each pair once."""
    ordered = labels.sort(1).values
    repeated = torch.zeros_like(ordered, dtype=torch.bool)
    repeated[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    rows, places = torch.where((ordered >= 0) & ~repeated)
    return torch.stack([rows, ordered[rows, places]])


def lists_of_pairs(pairs: Tensor, rows: int) -> ColumnLists:
    """The columns of each row, from pairs [2, *] whose rows ascend."""
    number = torch.arange(rows, device=pairs.device)
    return ColumnLists(_bounds(pairs[0].contiguous(), number), pairs[1].contiguous())


def transposed(pairs: Tensor) -> Tensor:
    """[2, *]: pairs with rows and columns exchanged, rows ascending."""
    order = pairs[1].argsort(stable=True)
    return pairs.flip(0)[:, order]


def same_ids(row_ids: Tensor, column_ids: Tensor) -> ColumnLists:
    """For each row the columns of the same id."""
    ordered, order = column_ids.sort(stable=True)
    return ColumnLists(_bounds(ordered, row_ids), order)


def _bounds(ordered: Tensor, values: Tensor) -> Tensor:
    return torch.stack([torch.searchsorted(ordered, values, right=side) for side in (False, True)])
