"""Which vectors of an index a search may find, told by ids."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..ops.filters import filters_of_keys
from .ids import Ids, checked_id_list, checked_ids, positions_of


class Filters(NamedTuple):
    """As the ops take them."""

    allowed: Tensor | None = None  # [N] bool
    excluded: Tensor | None = None  # [Q, E] positions

    def to(self, device: torch.device) -> Filters:
        return Filters(*(None if part is None else part.to(device) for part in self))

    def of_shard(self, first: int, last: int) -> Filters:
        """Those of the rows first ... last - 1 alone, which then count from 0."""
        return Filters(*filters_of_keys(self.allowed, self.excluded, first, last))


def filters_of(
    operation: str, ids: Tensor, num_queries: int, allowed_ids: Ids | None, excluded_ids: Ids | None
) -> Filters:
    """The filters of a search for an index of these ids; ids that are not in it do nothing.

    Args:
        ids: [N] int64, ascending.
        allowed_ids: [n]: the only ids that may be found.
        excluded_ids: [E]: ids that no query may find; or [Q, E], per query, where a negative number pads.

    Raises TypeError or ValueError for what is no integers of these shapes.
    """
    allowed = excluded = None
    if allowed_ids is not None:
        positions = positions_of(checked_id_list(operation, allowed_ids, ids.device, "allowed_ids"), ids)
        allowed = _mask(positions, ids)
    if excluded_ids is not None:
        unwanted = checked_ids(operation, excluded_ids, ids.device, "excluded_ids")
        if unwanted.dim() not in (1, 2) or (unwanted.dim() == 2 and len(unwanted) != num_queries):
            raise ValueError(f"{operation}: excluded_ids must be [E] or [{num_queries}, E], got {list(unwanted.shape)}")
        positions = positions_of(unwanted, ids)
        if positions.dim() == 2:
            excluded = positions
        else:
            others = ~_mask(positions, ids)
            allowed = others if allowed is None else allowed & others
    return Filters(allowed, excluded)


def _mask(positions: Tensor, ids: Tensor) -> Tensor:
    """[N] bool: the positions, of which -1 is none."""
    mask = torch.zeros(len(ids) + 1, dtype=torch.bool, device=ids.device)
    mask[positions] = True  # -1 goes to the end, so that nothing waits to see how many there are
    return mask[:-1]
