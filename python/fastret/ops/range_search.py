"""range_search: every key that scores better than a threshold, exactly."""

from __future__ import annotations

import torch
from torch import Tensor

from .arrays import Array, Metric, like
from .first_pass import FirstPass
from .packing import PackedKeys
from .search_arguments import SearchArguments, search_arguments

# On a CUDA device this many pairs are scored at a time: 16 MiB of float32.
_QUERIES_PER_BLOCK, _KEYS_PER_BLOCK = 64, 65536
_L2 = 2


def range_search(
    queries: Array,
    keys: Array | PackedKeys,
    threshold: float,
    metric: Metric | None = None,
    *,
    first_pass: FirstPass = "auto",
    allowed: Array | None = None,
    excluded: Array | None = None,
) -> tuple[Array, Array, Array]:
    """Every key that scores better than a threshold: score > threshold, for "l2" score < threshold.

    Equivalent to `(cosine_scores(queries, keys, metric) > threshold).nonzero()`, without the [Q, N] matrix.

    Args:
        threshold: compared in float32 with canonical scores; an exactly equal score is left out, as in FAISS.
        queries, keys, metric, first_pass, allowed, excluded: as of `search`.

    Returns:
        lims [Q + 1] int64, scores float32 and ids int64, of the kind that `queries` is: what query i found is
        scores[lims[i]:lims[i + 1]] and ids[lims[i]:lims[i + 1]], ids ascending. The scores have the bits that
        `search` returns. A NaN score is never found.

    Raises:
        TypeError: not a dense array of the right elements, a threshold that is no number.
        ValueError: as of `search`.
    """
    a = search_arguments("range_search", queries, keys, metric, first_pass, allowed, excluded)
    if not isinstance(threshold, float):
        if not hasattr(threshold, "__float__"):
            raise TypeError(f"range_search: threshold must be a number, got {type(threshold).__name__}")
        threshold = float(threshold)
    if a.queries.is_cuda:
        found = _by_blocks(a, threshold)
    else:
        found = torch.ops.fastret.range_search(a.queries, a.keys, threshold, *a.options)
    lims, scores, ids = (like(part, queries) for part in found)
    return lims, scores, ids


def _by_blocks(a: SearchArguments, threshold: float) -> tuple[Tensor, Tensor, Tensor]:
    """For devices without a kernel of its own: every pair is scored, a block at a time."""
    queries, keys = a.queries, a.keys
    query_numbers, scores, ids = [], [queries.new_empty(0, dtype=torch.float32)], []
    for first_query in range(0, len(queries), _QUERIES_PER_BLOCK):
        block = slice(first_query, first_query + _QUERIES_PER_BLOCK)
        block_queries, block_scores, block_ids = [], [], []
        for first_key in range(0, len(keys), _KEYS_PER_BLOCK):
            part = slice(first_key, first_key + _KEYS_PER_BLOCK)
            pairs = torch.ops.fastret.cosine_scores(queries[None, block], keys[None, part], a.metric)[0]
            within = pairs < threshold if a.metric == _L2 else pairs > threshold
            if a.allowed is not None:
                within &= a.allowed[part]
            if a.excluded is not None:
                _forbid(within, a.excluded[block] - first_key)
            query, key = within.nonzero(as_tuple=True)
            block_queries.append(query)
            block_scores.append(pairs[within])
            block_ids.append(key + first_key)
        if block_queries:
            query = torch.cat(block_queries)
            by_query = torch.argsort(query, stable=True)
            query_numbers.append(query + first_query)
            scores.append(torch.cat(block_scores)[by_query])
            ids.append(torch.cat(block_ids)[by_query])
    nothing = queries.new_empty(0, dtype=torch.int64)
    counts = torch.bincount(torch.cat([nothing, *query_numbers]), minlength=len(queries))
    return torch.nn.functional.pad(counts.cumsum(0), (1, 0)), torch.cat(scores), torch.cat([nothing, *ids])


def _forbid(within: Tensor, columns: Tensor) -> None:
    """Clears within[q, columns[q, e]] where there is such a column."""
    inside = (columns >= 0) & (columns < within.shape[1])
    rows = inside.nonzero(as_tuple=True)[0]
    within[rows, columns[inside]] = False


@torch.library.register_fake("fastret::range_search")
def _(
    queries: Tensor,
    keys: Tensor,
    threshold: float,
    metric: int,
    first_pass: int = -1,
    panels: Tensor | None = None,
    facts: Tensor | None = None,
    frame: Tensor | None = None,
    has_unbounded: bool = True,
    allowed: Tensor | None = None,
    excluded: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    torch._check(queries.dim() == 2 and keys.dim() == 2)
    torch._check(queries.shape[1] == keys.shape[1])
    found = torch.library.get_ctx().new_dynamic_size()
    return (
        queries.new_empty((queries.shape[0] + 1,), dtype=torch.int64),
        queries.new_empty((found,), dtype=torch.float32),
        queries.new_empty((found,), dtype=torch.int64),
    )
