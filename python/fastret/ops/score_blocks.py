"""range_search for devices and keys that have no kernel of its own: scores, a block of pairs at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from .planes import SplitPlanes
from .search_arguments import SearchArguments

# Pairs at a time: 16 MiB of float32.
_QUERIES_PER_BLOCK, _KEYS_PER_BLOCK = 64, 65536
_L2 = 2


def range_search_by_blocks(a: SearchArguments, threshold: float) -> tuple[Tensor, Tensor, Tensor]:
    """lims, scores and ids of `range_search`: every pair is scored."""
    queries, keys = a.queries, a.keys
    num_keys = keys.shape[0]
    query_numbers, scores, ids = [], [queries.new_empty(0, dtype=torch.float32)], []
    for first_query in range(0, len(queries), _QUERIES_PER_BLOCK):
        block = slice(first_query, first_query + _QUERIES_PER_BLOCK)
        block_queries, block_scores, block_ids = [], [], []
        for first_key in range(0, num_keys, _KEYS_PER_BLOCK):
            part = slice(first_key, min(num_keys, first_key + _KEYS_PER_BLOCK))
            rows = keys.rows(part.start, part.stop).joined() if isinstance(keys, SplitPlanes) else keys[part]
            pairs = torch.ops.fastret.cosine_scores(queries[None, block], rows[None], a.metric)[0]
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
