"""search_nearest_lists: coarse search and `search_lists` in one call, for few queries."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from .arrays import Metric, metric_index
from .product_codes import CodeLists
from .search_lists import CODECS, InvertedRows


class Nearest(NamedTuple):
    """Which lists a query visits: those of the `nprobe` best centroids."""

    centroids: Tensor  # [L, D] float32, contiguous
    metric: Metric
    nprobe: int


class FoundNearest(NamedTuple):
    """What was found, and what it took."""

    scores: Tensor  # [Q, K] float32
    ids: Tensor  # [Q, K] int64
    visited: int  # lists that were not empty
    compared: int  # rows in them, of each query max_rows at most
    nanoseconds: int  # of finding the lists


def search_nearest_lists(
    queries: Tensor, nearest: Nearest, lists: InvertedRows, k: int, metric: Metric = "l2", *, max_rows: int = 0
) -> FoundNearest:
    """The k best rows of the lists nearest to each query [Q, D] float32, for so few that a call's own cost matters.

    Equivalent to `search_lists(queries, lists, search(queries, *nearest)[1], k, metric)` with the ids of the rows for
    their positions, where infinitely bad lists and rows are none.

    Raises:
        RuntimeError: what `search_lists` raises.
    """
    return FoundNearest(
        *torch.ops.fastret.search_nearest_lists.default(
            queries,
            nearest.centroids,
            nearest.nprobe,
            metric_index("search_nearest_lists", nearest.metric),
            lists.codes,
            lists.ids,
            lists.starts,
            lists.sizes,
            k,
            metric_index("search_nearest_lists", metric),
            CODECS.index(lists.codec),
            lists.ranges,
            lists.centroids,
            max_rows,
        )
    )


def search_nearest_product_codes(
    queries: Tensor,
    nearest: Nearest,
    centroids: Tensor,
    lists: CodeLists,
    nbits: int,
    k: int,
    *,
    largest: bool,
    residual: bool,
    max_rows: int = 0,
) -> FoundNearest:
    """The same of product-quantized rows: `search_product_codes`, the tables made of centroids [M, 2^nbits, D / M].

    With `residual`, the codes are of differences from the centroids of the lists, whose scores are the base, and for
    distances (not `largest`) the tables are the products times -2.
    """
    op = "search_nearest_product_codes"
    return FoundNearest(
        *torch.ops.fastret.search_nearest_product_codes.default(
            queries,
            nearest.centroids,
            nearest.nprobe,
            metric_index(op, nearest.metric),
            centroids,
            lists.codes,
            lists.ids,
            lists.starts,
            lists.sizes,
            nbits,
            k,
            largest,
            residual,
            lists.offsets,
            max_rows,
        )
    )


@torch.library.register_fake("fastret::search_nearest_lists")
def _(queries: Tensor, coarse: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Any, Any, Any]:
    return _like_found(queries, k=rest[6])


@torch.library.register_fake("fastret::search_nearest_product_codes")
def _(queries: Tensor, coarse: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Any, Any, Any]:
    return _like_found(queries, k=rest[8])


def _like_found(queries: Tensor, k: int) -> tuple[Tensor, Tensor, Any, Any, Any]:
    shape, new_size = (queries.shape[0], k), torch.library.get_ctx().new_dynamic_size
    return queries.new_empty(shape), queries.new_empty(shape, dtype=torch.int64), new_size(), new_size(), new_size()
