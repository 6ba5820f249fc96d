"""Exact answers for data that comes in blocks, and range searches with a limit on all results together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..binary.index import IndexBinary
from ..distances import knn
from ..flat import IndexFlat
from ..gpu.index import index_cpu_to_all_gpus
from ..gpu.options import GpuMultipleClonerOptions
from ..gpu_devices import get_num_gpus
from ..metrics import METRIC_L2, is_similarity_metric
from ..result_heaps import ResultHeap

__all__ = [
    "apply_maxres",
    "exponential_query_iterator",
    "knn",
    "knn_ground_truth",
    "range_ground_truth",
    "range_search_gpu",
    "range_search_max_results",
    "threshold_radius",
    "threshold_radius_nres",
]

Array = NDArray[Any]
Ranges = tuple[Array, Array, Array]


def knn_ground_truth(
    xq: Array,
    db_iterator: Iterable[Array],
    k: int,
    metric_type: int = METRIC_L2,
    shard: bool = False,
    ngpu: int = -1,
) -> tuple[Array, Array]:
    """The k best of each query xq [nq, d] among vectors that come in blocks [n, d]: D [nq, k], I [nq, k].

    Ids number the vectors of all blocks. On `ngpu` GPUs, by default all.
    """
    index = _on_gpus(IndexFlat(xq.shape[1], metric_type), shard, ngpu)
    best = ResultHeap(len(xq), k, keep_max=is_similarity_metric(metric_type))
    before = 0
    for block in db_iterator:
        index.add(block)
        scores, ids = index.search(xq, k)
        ids[ids >= 0] += before
        best.add_result(scores, ids)
        before += len(block)
        index.reset()
    best.finalize()
    return best.D, best.I


def range_search_gpu(xq: Array, r2: float, index_gpu: Any, index_cpu: Any, gpu_k: int = 1024) -> Ranges:
    """Neighbours within r2, of an index that finds at most gpu_k per query, and beyond those of a CPU index.

    `index_cpu` may also be an array of the vectors [n, d], or None: at most gpu_k per query are then returned.
    Returns lims [nq + 1] int64, D and I; Hamming distances are int16.
    """
    binary = isinstance(index_gpu, IndexBinary)
    keep_max = is_similarity_metric(index_gpu.metric_type)
    k = min(index_gpu.ntotal, gpu_k)
    D, I = index_gpu.search(xq, k)  # noqa: E741
    within = _better(D, r2, keep_max)
    more = within[:, -1] if index_cpu is not None else np.zeros(len(xq), dtype=bool)
    counts = within.sum(1)
    found = [(D[i, :n], I[i, :n]) for i, n in enumerate(counts)]
    if more.any():
        # Here an index on a GPU finds all that are within reach of a query, too.
        index = index_gpu if isinstance(index_cpu, np.ndarray) else index_cpu
        lims, D_more, I_more = index.range_search(xq[more], r2)
        for row, i in enumerate(more.nonzero()[0]):
            part = slice(int(lims[row]), int(lims[row + 1]))
            found[i] = D_more[part], I_more[part]
    limits = np.concatenate([[0], np.cumsum([len(ids) for _, ids in found], dtype=np.int64)])
    scores = np.concatenate([scores for scores, _ in found]) if found else D.reshape(-1)
    ids = np.concatenate([ids for _, ids in found]) if found else I.reshape(-1)
    return limits, scores.astype(np.int16) if binary else scores, ids


def range_ground_truth(
    xq: Array,
    db_iterator: Iterable[Array],
    threshold: float,
    metric_type: int = METRIC_L2,
    shard: bool = False,
    ngpu: int = -1,
) -> Ranges:
    """All neighbours within a threshold among vectors that come in blocks: lims [nq + 1] uint64, D and I."""
    xq = np.ascontiguousarray(xq, dtype=np.float32)
    index = _on_gpus(IndexFlat(xq.shape[1], metric_type), shard, ngpu)
    blocks: list[Ranges] = []
    before = 0
    for block in db_iterator:
        index.add(block)
        lims, scores, ids = index.range_search(xq, threshold)
        blocks.append((lims.astype(np.int64), scores, ids + before))
        before += len(block)
        index.reset()
    # Sorting the results by query, stably, keeps the blocks in their order.
    queries = [np.repeat(np.arange(len(xq)), np.diff(lims)) for lims, _, _ in blocks]
    order = np.argsort(np.concatenate([np.empty(0, np.int64), *queries]), kind="stable")
    counts = sum((np.diff(lims) for lims, _, _ in blocks), np.zeros(len(xq), np.int64))
    lims = np.concatenate([[0], np.cumsum(counts)]).astype(np.uint64)
    scores = np.concatenate([np.empty(0, np.float32), *(scores for _, scores, _ in blocks)])
    ids = np.concatenate([np.empty(0, np.int64), *(ids for _, _, ids in blocks)])
    return lims, scores[order], ids[order]


def threshold_radius_nres(nres: Array, dis: Array, ids: Array, thresh: float, keep_max: bool = False) -> Ranges:
    """Results whose counts per query are `nres` [nq], as far as they are better than a threshold."""
    kept = _better(dis, thresh, keep_max)
    return np.diff(_kept_before(np.concatenate([[0], np.cumsum(nres)]), kept)).astype(nres.dtype), dis[kept], ids[kept]


def threshold_radius(lims: Array, dis: Array, ids: Array, thresh: float, keep_max: bool = False) -> Ranges:
    """Results of a range search, as far as they are better than a threshold."""
    kept = _better(dis, thresh, keep_max)
    return _kept_before(lims, kept).astype(lims.dtype), dis[kept], ids[kept]


def apply_maxres(res_batches: list[Ranges], target_nres: int, keep_max: bool = False) -> tuple[float, int]:
    """Cut batches of (counts, D, I), in place, to at most target_nres results: the radius, and how many are left."""
    every = np.concatenate([dis for _, dis, _ in res_batches])
    if len(every) <= target_nres:
        raise AssertionError(f"apply_maxres: more than {target_nres} results are needed, got {len(every)}")
    at = len(every) - 1 - target_nres if keep_max else target_nres
    radius = np.partition(every, at)[at].item()
    res_batches[:] = [threshold_radius_nres(*batch, radius, keep_max=keep_max) for batch in res_batches]
    return radius, sum(len(dis) for _, dis, _ in res_batches)


def range_search_max_results(
    index: Any,
    query_iterator: Iterable[Array],
    radius: float,
    max_results: int | None = None,
    min_results: int | None = None,
    shard: bool = False,
    ngpu: int = 0,
    clip_to_min: bool = False,
) -> tuple[float, Array, Array, Array]:
    """Range search of queries that come in batches, with at most max_results in all.

    Where there are more, the radius is narrowed so that min_results are left. Returns the last radius, lims, D and I.
    """
    if max_results is None and min_results is None:
        raise AssertionError("range_search_max_results: max_results or min_results must be given")
    if min_results is None:
        min_results = int(0.8 * (max_results or 0))
    if max_results is None:
        max_results = int(min_results * 1.5)
    binary = isinstance(index, IndexBinary)
    keep_max = is_similarity_metric(index.metric_type)
    if ngpu:
        index = _on_gpus(index, shard, ngpu)
    batches: list[Ranges] = []
    total = 0
    for queries in query_iterator:
        lims, dis, ids = index.range_search(queries, radius)
        batches.append((np.diff(lims), dis.astype(np.int16) if binary else dis, ids))
        total += len(dis)
        if total > max_results:
            radius, total = apply_maxres(batches, min_results, keep_max)
    if clip_to_min and total > min_results:
        radius, total = apply_maxres(batches, min_results, keep_max)
    counts, dis, ids = (np.concatenate(column) for column in zip(*batches, strict=True))
    return radius, np.concatenate([[0], np.cumsum(counts)]).astype(np.uint64), dis, ids


def exponential_query_iterator(xq: Array, start_bs: int = 32, max_bs: int = 20000) -> Iterator[Array]:
    """Batches of queries xq [nq, d], each twice as large as the one before, so that a radius is narrowed early."""
    first, size = 0, start_bs
    while first < len(xq):
        yield xq[first : first + size]
        first += size
        size = size * 2 if size < max_bs else size


def _on_gpus(index: Any, shard: bool, ngpu: int) -> Any:
    count = get_num_gpus() if ngpu == -1 else ngpu
    if not count:
        return index
    options = GpuMultipleClonerOptions()
    options.shard = shard
    return index_cpu_to_all_gpus(index, co=options, ngpu=count)


def _better(scores: Array, threshold: float, keep_max: bool) -> Array:
    return scores > threshold if keep_max else scores < threshold


def _kept_before(lims: Array, kept: Array) -> Array:
    """Limits of what is kept of results with limits [nq + 1]."""
    return np.concatenate([[0], np.cumsum(kept)])[lims.astype(np.int64)]
