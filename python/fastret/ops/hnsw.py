"""Hierarchical navigable small worlds: graphs that searches walk towards a query (Malkov and Yashunin,
arXiv:1603.09320), in the tables that FAISS keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from .._C import GraphSearcher
from .arrays import Metric, check_k, check_number, metric_index


@dataclass
class HnswGraph:
    """Who is whose neighbour on which level. On level i a vector has a list of level_starts[i + 1] - level_starts[i]
    places, filled from the front, -1 behind; the lists of a vector lie side by side, the lowest level first."""

    levels: Tensor  # [N] int32: the number of levels that a vector is on, at least 1
    offsets: Tensor  # [N + 1] int64: where the lists of a vector begin in `neighbors`
    level_starts: Tensor  # [L + 1] int32: where the list of a level begins among those of a vector, from 0 on
    neighbors: Tensor  # [offsets[N]] int32
    entry: Tensor  # [2] int32: where searches begin, and the highest level that it is on, from 0; -1, -1: nowhere


class HnswCounts(NamedTuple):
    """What searches did, as FAISS counts it."""

    searches: int
    exhausted: int  # searches that looked at the neighbours of all candidates
    distances: int
    hops: int


def hnsw_add(
    vectors: Tensor,
    first: int,
    graph: HnswGraph,
    metric: Metric = "l2",
    *,
    ef_construction: int = 40,
    prune_headroom: float = 0.2,
    keep_max_size_level0: bool = False,
    originals: Tensor | None = None,
) -> None:
    """Link vectors[first:] into the graph of the vectors before them: writes `graph.neighbors` and `graph.entry`.

    Equivalent to `hnsw_reference.add`: vectors go in by level, the highest first, and within a level in an order
    shuffled with a fixed seed, in batches that double up to a fiftieth of N. Each one of a batch chooses neighbours in
    the graph as it was before the batch; then each list takes its new links, and where they do not fit is pruned. So
    the graph is the same for any number of threads, and it is the one that FAISS 1.15 builds, up to rounding.

    Args:
        vectors: [N, D] float32, contiguous, all that the graph is of.
        first: how many of them the graph already has.
        graph: of all N; the lists of the new ones hold -1.
        metric: "l2" or "ip". Distances are float32 sums in a fixed order.
        ef_construction: candidates for neighbours.
        prune_headroom: the part of a full list that its pruning frees, up to 0.5.
        keep_max_size_level0: fill the lists of level 0 with what pruning would drop.
        originals: [N - first, D] float32, contiguous: where vectors are decoded ones, what the new ones were; from
            these they choose their neighbours.

    Raises:
        ValueError: shapes that do not fit each other, an unknown metric, ef_construction below 1.
        TypeError: other dtypes.
    """
    metric_number = _check_graph("hnsw_add", vectors, graph, metric)
    first = check_k("hnsw_add", first, "first")
    if first > len(vectors):
        raise ValueError(f"hnsw_add: first must be at most {len(vectors)}, the number of vectors, got {first}")
    if check_k("hnsw_add", ef_construction, "ef_construction") < 1:
        raise ValueError("hnsw_add: ef_construction must be positive, got 0")
    if originals is not None and list(originals.shape) != [len(vectors) - first, vectors.shape[1]]:
        raise ValueError(
            f"hnsw_add: originals must be {[len(vectors) - first, vectors.shape[1]]}, got {list(originals.shape)}"
        )
    torch.ops.fastret.hnsw_add_(
        vectors,
        first,
        graph.levels,
        graph.offsets,
        graph.level_starts,
        metric_number,
        ef_construction,
        check_number("hnsw_add", "prune_headroom", prune_headroom),
        bool(keep_max_size_level0),
        graph.neighbors,
        graph.entry,
        originals,
    )


def hnsw_search(
    queries: Tensor,
    vectors: Tensor,
    graph: HnswGraph,
    k: int,
    metric: Metric = "l2",
    *,
    ef: int = 16,
    check_relative_distance: bool = True,
    allowed: Tensor | None = None,
) -> tuple[Tensor, Tensor, HnswCounts]:
    """The best of the vectors that a walk towards each query meets.

    Equivalent to `hnsw_reference.search`: greedy steps on the upper levels, then on level 0 the neighbours of the
    nearest candidate not yet looked at, until each of the max(ef, k) nearest met has been. Float32 sums in a fixed
    order decide on the way; what is returned has canonical scores, so that results have the same bits on every
    instruction set, for any batch and number of threads.

    Args:
        queries: [Q, D] float32.
        vectors: [N, D] float32, contiguous.
        graph: of these vectors.
        k: neighbours per query.
        metric: "l2" or "ip".
        ef: candidates in view; a larger k takes that many.
        check_relative_distance: if k > ef, stop at a candidate that ef nearer ones precede. False: stop after ef hops.
        allowed: [N] bool, what may be found; all are walked over.

    Returns:
        scores [Q, K] float32 and ids [Q, K] int64, best first, of equal scores the smaller id; short rows end in id
        -1, score +inf ("ip": -inf), NaN is never found. And what the searches did.

    Raises:
        ValueError: shapes that do not fit each other, an unknown metric, negative k.
        TypeError: other dtypes.
    """
    tables = (graph.offsets, graph.level_starts, graph.neighbors, graph.entry)
    how = (metric_index("hnsw_search", metric), ef, check_relative_distance, allowed)
    try:
        found = torch.ops.fastret.hnsw_search(queries, vectors, *tables, check_k("hnsw_search", k), *how)
    except RuntimeError:
        _check_walk("hnsw_search", queries, vectors, graph, metric, allowed)
        raise
    scores, ids, counts = found
    return scores, ids, HnswCounts(*counts.tolist())


def graph_searcher(vectors: Tensor, graph: HnswGraph, metric: Metric = "l2") -> GraphSearcher:
    """What searches a graph as `hnsw_search` does, by a native call that costs less: for single queries.

    Its `search` takes queries as a numpy array, k, ef and check_relative_distance. It holds the tensors: what changes
    in place is searched as it is then.

    Raises:
        ValueError: shapes that do not fit each other, an unknown metric.
        TypeError: other dtypes.
    """
    number = _check_graph("graph_searcher", vectors, graph, metric)
    return GraphSearcher(
        vectors.numpy(),
        graph.offsets.numpy(),
        graph.level_starts.numpy(),
        graph.neighbors.numpy(),
        graph.entry.numpy(),
        number,
    )


def hnsw_range_search(
    queries: Tensor,
    vectors: Tensor,
    graph: HnswGraph,
    radius: float,
    metric: Metric = "l2",
    *,
    ef: int = 16,
    check_relative_distance: bool = True,
    allowed: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, HnswCounts]:
    """Those of the vectors which a search for one neighbour meets on level 0 that score better than the radius.

    Equivalent to keeping the `score < radius` ("ip": >) of what `hnsw_search` measures; arguments as there.

    Returns:
        lims [Q + 1] int64, scores float32 and ids int64: those of query i from lims[i] to lims[i + 1], ids ascending.
        And what the searches did.
    """
    tables = (graph.offsets, graph.level_starts, graph.neighbors, graph.entry)
    radius = check_number("hnsw_range_search", "radius", radius)
    how = (metric_index("hnsw_range_search", metric), ef, check_relative_distance, allowed)
    try:
        found = torch.ops.fastret.hnsw_range_search(queries, vectors, *tables, radius, *how)
    except RuntimeError:
        _check_walk("hnsw_range_search", queries, vectors, graph, metric, allowed)
        raise
    lims, scores, ids, counts = found
    return lims, scores, ids, HnswCounts(*counts.tolist())


def _check_graph(op: str, vectors: Tensor, graph: HnswGraph, metric: Metric) -> int:
    number = metric_index(op, metric)
    if metric == "cosine":
        raise ValueError(f'{op}: metric must be "l2" or "ip", got "cosine"')
    wanted = {"levels": torch.int32, "offsets": torch.int64, "level_starts": torch.int32}
    wanted |= {"neighbors": torch.int32, "entry": torch.int32}
    for name, dtype in wanted.items():
        table = getattr(graph, name)
        if table.dtype != dtype:
            raise TypeError(f"{op}: {name} must be {dtype}, got {table.dtype}")
        if table.dim() != 1 or not table.is_contiguous():
            raise ValueError(f"{op}: {name} must be 1-D and contiguous, got {list(table.shape)}")
    if vectors.dtype != torch.float32:
        raise TypeError(f"{op}: vectors must be float32, got {vectors.dtype}")
    if vectors.dim() != 2 or not vectors.is_contiguous():
        raise ValueError(f"{op}: vectors must be 2-D and contiguous, got {list(vectors.shape)}")
    n = len(vectors)
    lengths = {"levels": (len(graph.levels), n), "offsets": (len(graph.offsets), n + 1), "entry": (len(graph.entry), 2)}
    lengths["neighbors"] = (len(graph.neighbors), int(graph.offsets[-1]) if len(graph.offsets) else 0)
    for name, (length, needed) in lengths.items():
        if length != needed:
            raise ValueError(f"{op}: {name} must be [{needed}] for {n} vectors, got [{length}]")
    return number


def _check_walk(
    op: str, queries: Tensor, vectors: Tensor, graph: HnswGraph, metric: Metric, allowed: Tensor | None
) -> None:
    """Says what the op refused: it checks everything itself, in less time, but knows one kind of error only."""
    _check_graph(op, vectors, graph, metric)
    if queries.dtype != torch.float32:
        raise TypeError(f"{op}: queries must be float32, got {queries.dtype}")
    if queries.dim() != 2 or queries.shape[1] != vectors.shape[1]:
        raise ValueError(f"{op}: queries must be [Q, {vectors.shape[1]}], got {list(queries.shape)}")
    if allowed is not None and (allowed.dtype != torch.bool or list(allowed.shape) != [len(vectors)]):
        raise ValueError(f"{op}: allowed must be [{len(vectors)}] bool, got {list(allowed.shape)} {allowed.dtype}")


@torch.library.register_fake("fastret::hnsw_add_")
def _(vectors: Tensor, *arguments: object) -> None:
    torch._check(vectors.dim() == 2)


@torch.library.register_fake("fastret::hnsw_search")
def _(
    queries: Tensor,
    vectors: Tensor,
    offsets: Tensor,
    level_starts: Tensor,
    neighbors: Tensor,
    entry: Tensor,
    k: int,
    *walk: object,
    **named: object,
) -> tuple[Tensor, Tensor, Tensor]:
    torch._check(queries.shape[1] == vectors.shape[1])
    shape = (queries.shape[0], k)
    counts = queries.new_empty((4,), dtype=torch.int64)
    return queries.new_empty(shape), queries.new_empty(shape, dtype=torch.int64), counts


@torch.library.register_fake("fastret::hnsw_range_search")
def _(queries: Tensor, vectors: Tensor, *arguments: object, **named: object) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    torch._check(queries.shape[1] == vectors.shape[1])
    found = torch.library.get_ctx().new_dynamic_size()
    return (
        queries.new_empty((queries.shape[0] + 1,), dtype=torch.int64),
        queries.new_empty((found,)),
        queries.new_empty((found,), dtype=torch.int64),
        queries.new_empty((4,), dtype=torch.int64),
    )
