"""What the ops on product codes compute: definitions in torch, equal bit for bit to every kernel.

They hold tensors of rows x centroids and are for reading and for tests, not for use at scale.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .product_codes import CodeLists


def unpack_codes(codes: Tensor, num_codes: int, nbits: int) -> Tensor:
    """codes [N, ceil(M nbits / 8)] uint8 as numbers [N, M] int64."""
    bits = (codes.long().unsqueeze(-1) >> torch.arange(8) & 1).flatten(1)[:, : num_codes * nbits]
    return (bits.reshape(len(codes), num_codes, nbits) << torch.arange(nbits)).sum(-1)


def pack_codes(numbers: Tensor, nbits: int) -> Tensor:
    """The inverse of unpack_codes."""
    bits = (numbers.unsqueeze(-1) >> torch.arange(nbits) & 1).flatten(1)
    bits = torch.nn.functional.pad(bits, (0, -bits.shape[1] % 8)).reshape(len(numbers), -1, 8)
    return (bits << torch.arange(8)).sum(-1).to(torch.uint8)


def product_tables(rows: Tensor, centroids: Tensor, squared_l2: bool) -> Tensor:
    """[Q, M, K]: float32 sums in the order of the dimensions, each step rounded."""
    num_codes, num_centroids, sub_dim = centroids.shape
    sub_vectors = rows.reshape(len(rows), num_codes, 1, sub_dim)
    tables = torch.zeros(len(rows), num_codes, num_centroids)
    for d in range(sub_dim):
        x, c = sub_vectors[..., d], centroids[..., d]
        tables = tables + ((x - c).square() if squared_l2 else x * c)
    return tables


def encode_product_codes(rows: Tensor, centroids: Tensor, nbits: int) -> Tensor:
    distances = product_tables(rows, centroids, squared_l2=True).nan_to_num(torch.inf, torch.inf)
    smallest = distances.amin(-1, keepdim=True)
    first = torch.where(distances == smallest, torch.arange(1 << nbits), 1 << nbits).amin(-1)
    return pack_codes(first, nbits)


def decode_product_codes(codes: Tensor, centroids: Tensor, nbits: int) -> Tensor:
    num_codes = len(centroids)
    return centroids[torch.arange(num_codes), unpack_codes(codes, num_codes, nbits)].flatten(1)


def visited_scores(
    tables: Tensor,
    lists: CodeLists,
    probes: Tensor,
    nbits: int,
    query: int,
    base: Tensor | None = None,
    allowed: Tensor | None = None,
    max_rows: int = 0,
) -> tuple[Tensor, Tensor]:
    """The scores and positions of all rows that a query may find: ((t_0 + ... + t_(M-1)) + offset) + base."""
    left = max_rows or lists.codes.shape[0] * (probes.shape[1] + 1)
    scores, positions = [torch.empty(0)], [torch.empty(0, dtype=torch.int64)]
    for probe, number in enumerate(probes[query].tolist()):
        if number < 0:
            continue
        start, size = int(lists.starts[number]), min(left, int(lists.sizes[number]))
        left -= size
        rows = torch.arange(start, start + size)
        rows = rows if allowed is None else rows[allowed[rows]]
        codes = unpack_codes(lists.codes[rows], tables.shape[1], nbits)
        sums = torch.zeros(len(rows))
        for m in range(tables.shape[1]):
            sums = sums + tables[query, m, codes[:, m]]
        sums = sums + (0.0 if lists.offsets is None else lists.offsets[rows])
        scores.append(sums + (0.0 if base is None else base[query, probe]))
        positions.append(rows)
    found, where = torch.cat(scores), torch.cat(positions)
    return found[~found.isnan()], where[~found.isnan()]


def _ids_at(lists: CodeLists, positions: Tensor) -> Tensor:
    return positions if lists.ids is None else lists.ids[positions]


def search_product_codes(
    tables: Tensor,
    lists: CodeLists,
    probes: Tensor,
    nbits: int,
    k: int,
    *,
    largest: bool,
    base: Tensor | None = None,
    allowed: Tensor | None = None,
    max_rows: int = 0,
) -> tuple[Tensor, Tensor]:
    scores = torch.full((len(tables), k), -torch.inf if largest else torch.inf)
    positions = torch.full((len(tables), k), -1)
    for query in range(len(tables)):
        found, where = visited_scores(tables, lists, probes, nbits, query, base, allowed, max_rows)
        ranked = sorted(
            zip((-found if largest else found).tolist(), _ids_at(lists, where).tolist(), where.tolist(), strict=True)
        )[:k]
        for place, (value, _, position) in enumerate(ranked):
            scores[query, place] = -value if largest else value
            positions[query, place] = position
    return scores + 0.0, positions


def range_search_product_codes(
    tables: Tensor,
    lists: CodeLists,
    probes: Tensor,
    nbits: int,
    threshold: float,
    *,
    largest: bool,
    base: Tensor | None = None,
    allowed: Tensor | None = None,
    max_rows: int = 0,
) -> tuple[Tensor, Tensor, Tensor]:
    lims, scores, positions = [0], [torch.empty(0)], [torch.empty(0, dtype=torch.int64)]
    for query in range(len(tables)):
        found, where = visited_scores(tables, lists, probes, nbits, query, base, allowed, max_rows)
        better = found > threshold if largest else found < threshold
        found, where = found[better], where[better]
        order = [
            i for _, _, i in sorted(zip(_ids_at(lists, where).tolist(), where.tolist(), range(len(where)), strict=True))
        ]
        lims.append(lims[-1] + len(order))
        scores.append(found[order])
        positions.append(where[order])
    return torch.tensor(lims), torch.cat(scores), torch.cat(positions)
