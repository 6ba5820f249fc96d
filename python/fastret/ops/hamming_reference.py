"""What the searches by Hamming distance compute: definitions in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .hamming_search import NO_DISTANCE, ProbedLists


def hamming_distances(queries: Tensor, keys: Tensor) -> Tensor:
    """The bits that differ between every query [Q, B] and key [N, B] uint8: [Q, N] int32."""
    differing = queries[:, None] ^ keys
    return sum((differing >> bit & 1).sum(-1, dtype=torch.int32) for bit in range(8))  # type: ignore[return-value]


def hamming_search(
    queries: Tensor, keys: Tensor, k: int, *, allowed: Tensor | None = None, lists: ProbedLists | None = None
) -> tuple[Tensor, Tensor]:
    """The k nearest, of equal distances the smaller id first; arguments as of ops.hamming_search."""
    distances, ids = _visited(queries, keys, allowed, lists)
    order = ids.argsort(dim=1, stable=True)
    order = order.gather(1, distances.gather(1, order).argsort(dim=1, stable=True))[:, :k]
    distances, ids = distances.gather(1, order), ids.gather(1, order)
    missing = (0, max(0, k - ids.shape[1]))
    distances, ids = F.pad(distances, missing, value=NO_DISTANCE), F.pad(ids, missing, value=-1)
    return distances, ids.masked_fill(distances == NO_DISTANCE, -1)


def hamming_range_search(
    queries: Tensor, keys: Tensor, radius: int, *, allowed: Tensor | None = None, lists: ProbedLists | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """All that are nearer than the radius, ids ascending: lims, distances, ids."""
    distances, ids = _visited(queries, keys, allowed, lists)
    order = ids.argsort(dim=1, stable=True)
    distances, ids = distances.gather(1, order), ids.gather(1, order)
    found = (distances < radius) & (distances < NO_DISTANCE)
    return F.pad(found.sum(1).cumsum(0), (1, 0)), distances[found], ids[found]


def _visited(queries: Tensor, keys: Tensor, allowed: Tensor | None, lists: ProbedLists | None) -> tuple[Tensor, Tensor]:
    """Distances [Q, N], NO_DISTANCE where a query does not visit a key, and ids [Q, N]."""
    distances = hamming_distances(queries, keys)
    if allowed is not None:
        distances = distances.masked_fill(~allowed, NO_DISTANCE)
    if lists is None:
        return distances, torch.arange(len(keys)).expand_as(distances)
    places = torch.arange(len(keys))
    inside = (places >= lists.starts[:, None]) & (places < (lists.starts + lists.sizes)[:, None])  # [L, N]
    probed = (lists.probes[:, :, None] == torch.arange(len(lists.starts))).any(1)  # [Q, L]
    visits = (probed[:, :, None] & inside).any(1)
    return distances.masked_fill(~visits, NO_DISTANCE), lists.ids.expand_as(distances)
