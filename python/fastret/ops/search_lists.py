"""search_lists: the best rows of the inverted lists that each query visits, exactly."""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple, get_args

import torch
from torch import Tensor

from .arrays import Metric, check_k, metric_index

Codec = Literal["float32", "float16", "bfloat16", "bits8", "bits6", "bits4", "direct8", "direct8_signed"]
CODECS: Final[tuple[str, ...]] = get_args(Codec)  # in the order of csrc/kernels/inverted_lists.h


class InvertedRows(NamedTuple):
    """Coded rows in one arena, where list l is the rows starts[l] ... starts[l] + sizes[l] - 1."""

    codes: Tensor  # [capacity, bytes] uint8
    ids: Tensor  # [capacity] int64
    starts: Tensor  # [L] int64
    sizes: Tensor  # [L] int64
    codec: Codec = "float32"
    ranges: Tensor | None = None  # [2, D] float32: least value and width of each dimension, for bits8, bits6, bits4
    centroids: Tensor | None = None  # [L, D] float32, added to the rows of their list


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
    """The k best rows of the lists that each query visits, best first.

    Equivalent to `search(query, rows, k, metric)` over the decoded rows of its lists, for each query.

    Args:
        queries: [Q, D] float32.
        lists: rows of any codec, decoded as `fastret.ops.coded_rows.decode_rows` defines.
        probes: [Q, P] int64, the lists that each query visits, -1: none. A list that is named twice counts twice.
        k: rows per query.
        allowed: [capacity] bool: the rows that may be found. Default: all.
        max_rows: rows that each query visits at most, in the order of its probes; 0: any number.

    Returns:
        scores [Q, K] float32, canonical as those of `search`, and positions [Q, K] int64 in the arena. Of equal
        scores the smaller id comes first. Rows whose score is NaN are never found. Where fewer than k remain:
        position -1 and score -inf ("l2": +inf).

    Raises:
        RuntimeError: shapes and dtypes other than these, lists beyond the arena, probes of no list.
        ValueError: negative k, unknown metric.
    """
    scores, positions = torch.ops.fastret.search_lists(
        queries,
        *lists[:4],
        probes,
        check_k("search_lists", k),
        *_manner("search_lists", lists, metric),
        allowed,
        max_rows,
    )
    return scores, positions


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
    """Every row of the visited lists that scores better than a threshold; arguments as of `search_lists`.

    Equivalent to `range_search(query, rows, threshold, metric)` over the decoded rows of its lists, for each query.

    Returns:
        lims [Q + 1] int64, scores float32 and positions int64: those of query i from lims[i] to lims[i + 1], in the
        order of their ids.
    """
    op = "range_search_lists"
    lims, scores, positions = torch.ops.fastret.range_search_lists(
        queries, *lists[:4], probes, threshold, *_manner(op, lists, metric), allowed, max_rows
    )
    return lims, scores, positions


def _manner(op: str, lists: InvertedRows, metric: Metric) -> tuple[int, int, Tensor | None, Tensor | None]:
    return metric_index(op, metric), CODECS.index(lists.codec), lists.ranges, lists.centroids


@torch.library.register_fake("fastret::search_lists")
def _(
    queries: Tensor, codes: Tensor, ids: Tensor, starts: Tensor, sizes: Tensor, probes: Tensor, k: int, *rest: Any
) -> tuple[Tensor, Tensor]:
    shape = (queries.shape[0], k)
    return queries.new_empty(shape, dtype=torch.float32), queries.new_empty(shape, dtype=torch.int64)


@torch.library.register_fake("fastret::range_search_lists")
def _(queries: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Tensor]:
    found = torch.library.get_ctx().new_dynamic_size()
    return (
        queries.new_empty((queries.shape[0] + 1,), dtype=torch.int64),
        queries.new_empty((found,), dtype=torch.float32),
        queries.new_empty((found,), dtype=torch.int64),
    )
