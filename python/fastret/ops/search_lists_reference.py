"""The definitions of search_lists and range_search_lists in plain torch: tests compare them with the native ops."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .arrays import Metric
from .reference import cosine_scores, select_k
from .search_lists import InvertedRows

_BITS = {"bits8": 8, "bits6": 6, "bits4": 4}


def decode_rows(lists: InvertedRows, dim: int) -> Tensor:
    """The rows [capacity, D] float32 that codes stand for; each step is rounded to float32.

    Codes of 8, 6 and 4 bits, packed with the first dimension in the lowest bits, are levels of a range: minimum +
    (level + 0.5) / most * width with most = 255, 63 or 15. Direct codes are the values, signed ones plus 128.
    """
    codes = lists.codes
    if lists.codec in ("float32", "float16", "bfloat16"):
        rows = codes.contiguous().view(getattr(torch, lists.codec)).float()
    elif lists.codec in ("direct8", "direct8_signed"):
        rows = codes.float() - (128 if lists.codec == "direct8_signed" else 0)
    else:
        assert lists.ranges is not None
        width = _BITS[lists.codec]
        bits = (codes[:, :, None] >> torch.arange(8, dtype=torch.uint8) & 1).flatten(1)[:, : dim * width]
        levels = (bits.view(len(codes), dim, width).float() * 2.0 ** torch.arange(width)).sum(2)
        rows = lists.ranges[0] + (levels + 0.5) / (2**width - 1) * lists.ranges[1]
    if lists.centroids is not None:
        listed = lists_of_positions(lists)
        rows = rows + F.pad(lists.centroids, (0, 0, 0, 1))[listed]
    return rows


def lists_of_positions(lists: InvertedRows) -> Tensor:
    """[capacity] int64: the list that each row is in, -1 for a place between lists."""
    listed = torch.full((len(lists.ids),), -1)
    for number, (start, size) in enumerate(zip(lists.starts.tolist(), lists.sizes.tolist(), strict=True)):
        listed[start : start + size] = number
    return listed


def search_lists(
    queries: Tensor,
    lists: InvertedRows,
    probes: Tensor,
    k: int,
    metric: Metric = "l2",
    *,
    allowed: Tensor | None = None,
    max_rows: int = 0,
) -> tuple[Tensor, Tensor]:
    """The k best rows of the lists that each query visits; arguments and answers as of ops.search_lists."""
    rows = decode_rows(lists, queries.shape[1])
    found = [
        _visited(query, lists, rows, probe, metric, allowed, max_rows)
        for query, probe in zip(queries, probes, strict=True)
    ]
    best = [select_k(scores[None], k, largest=metric != "l2") for scores, _ in found]
    positions = [F.pad(at, (0, 1), value=-1)[columns[0]] for (_, at), (_, columns) in zip(found, best, strict=True)]
    empty = queries.new_empty(0, k)
    return torch.cat([scores for scores, _ in best] or [empty]), torch.stack(positions or [empty.long()]).view(-1, k)


def range_search_lists(
    queries: Tensor,
    lists: InvertedRows,
    probes: Tensor,
    threshold: float,
    metric: Metric = "l2",
    *,
    allowed: Tensor | None = None,
    max_rows: int = 0,
) -> tuple[Tensor, Tensor, Tensor]:
    """Every row that scores better than a threshold; arguments and answers as of ops.range_search_lists."""
    rows = decode_rows(lists, queries.shape[1])
    found = [
        _visited(query, lists, rows, probe, metric, allowed, max_rows)
        for query, probe in zip(queries, probes, strict=True)
    ]
    within = [scores < threshold if metric == "l2" else scores > threshold for scores, _ in found]
    counts = torch.tensor([0] + [int(mine.sum()) for mine in within])
    scores = [scores[mine] for (scores, _), mine in zip(found, within, strict=True)]
    positions = [at[mine] for (_, at), mine in zip(found, within, strict=True)]
    return counts.cumsum(0), torch.cat([queries.new_empty(0), *scores]), torch.cat([lists.ids[:0], *positions])


def _visited(
    query: Tensor,
    lists: InvertedRows,
    rows: Tensor,
    probe: Tensor,
    metric: Metric,
    allowed: Tensor | None,
    max_rows: int,
) -> tuple[Tensor, Tensor]:
    """The scores of the rows that a query visits, and their positions in the order of their ids."""
    arena = torch.arange(len(lists.ids))
    visited = [arena[lists.starts[number] :][: lists.sizes[number]] for number in probe.tolist() if number >= 0]
    positions = torch.cat([arena[:0], *visited])[: max_rows or None]
    positions = positions.sort().values
    positions = positions[lists.ids[positions].argsort(stable=True)]
    scores = cosine_scores(query[None], rows[positions], metric)[0]
    if allowed is not None:
        scores = scores.masked_fill(~allowed[positions], torch.nan)
    return scores, positions
