"""range_search: every key that scores better than a threshold, exactly."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .arrays import Array, Metric, check_number, like
from .first_pass import FirstPass
from .packing import PackedKeys
from .score_blocks import range_search_by_blocks
from .search_arguments import search_arguments


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
    threshold = check_number("range_search", "threshold", threshold)
    if a.on_device:
        found = range_search_by_blocks(a, threshold)
    else:
        found = torch.ops.fastret.range_search(a.queries, a.keys, threshold, *a.packed, **a.filters)
    lims, scores, ids = (like(part, queries) for part in found)
    return lims, scores, ids


@torch.library.register_fake("fastret::range_search")
def _(
    queries: Tensor, keys: Tensor, threshold: float, metric: int, *packed: Any, **filters: Any
) -> tuple[Tensor, Tensor, Tensor]:
    torch._check(queries.dim() == 2 and keys.dim() == 2)
    torch._check(queries.shape[1] == keys.shape[1])
    found = torch.library.get_ctx().new_dynamic_size()
    return (
        queries.new_empty((queries.shape[0] + 1,), dtype=torch.int64),
        queries.new_empty((found,), dtype=torch.float32),
        queries.new_empty((found,), dtype=torch.int64),
    )
