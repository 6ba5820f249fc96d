"""list_searcher: what searches inverted lists for few queries, by one native call each."""

from __future__ import annotations

from torch import Tensor

from .._C import ListSearcher
from .arrays import Metric, metric_index
from .search_lists import CODECS, InvertedRows


def list_searcher(coarse: Tensor, coarse_metric: Metric, lists: InvertedRows, metric: Metric) -> ListSearcher:
    """A searcher of the lists whose centroids coarse [L, D] float32 are nearest to a query.

    Its answers are equivalent to `search_lists(queries, lists, search(queries, coarse, nprobe, coarse_metric)[1], k,
    metric)` with the ids of the rows for their positions, where infinitely bad lists and rows are none. It holds the
    tensors, which lie in the CPU's memory: rows that change in place are searched as they are then.

    Raises:
        ValueError: tensors of other shapes than those above, or not contiguous.
    """
    return ListSearcher(
        coarse.numpy(),
        metric_index("list_searcher", coarse_metric),
        lists.codes.numpy(),
        lists.ids.numpy(),
        lists.starts.numpy(),
        lists.sizes.numpy(),
        metric_index("list_searcher", metric),
        CODECS.index(lists.codec),
        None if lists.ranges is None else lists.ranges.numpy(),
        None if lists.centroids is None else lists.centroids.numpy(),
    )
