"""The same search through FAISS: are the answers the same, and how long does each take?"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fastret.index import FlatIndex

ROUNDS = 7


@dataclass(frozen=True)
class SearchComparison:
    """One search, two libraries. Times are medians of interleaved rounds."""

    queries: int
    keys: int
    dim: int
    k: int
    threads: int
    faiss_version: str
    fastret_ms: float
    faiss_ms: float
    equal_ids: float  # share of the Q x K places that name the same key
    explained_ids: float  # share of the other places where the two keys' exact scores are within FAISS's rounding
    largest_score_difference: float


def compare_with_faiss(queries: Tensor, keys: Tensor, k: int) -> SearchComparison | None:
    """Searches [N, D] keys for [Q, D] queries by inner product with both; None where faiss is not installed."""
    if find_spec("faiss") is None:
        return None
    import faiss

    threads = torch.get_num_threads()
    faiss.omp_set_num_threads(threads)
    ours = FlatIndex(keys.shape[1], metric="ip")
    ours.add(keys)
    theirs = faiss.IndexFlatIP(keys.shape[1])
    theirs.add(keys.numpy())
    query_array = queries.numpy()

    times: dict[str, list[float]] = {"fastret": [], "faiss": []}
    for _ in range(ROUNDS):
        (scores, ids), elapsed = _timed(lambda: ours.search(queries, k))
        times["fastret"].append(elapsed)
        (faiss_scores, faiss_ids), elapsed = _timed(lambda: theirs.search(query_array, k))
        times["faiss"].append(elapsed)

    our_ids = np.asarray(ids)
    differs = our_ids != faiss_ids
    difference = np.abs(np.asarray(scores, dtype=np.float64) - faiss_scores)
    return SearchComparison(
        queries=len(queries),
        keys=len(keys),
        dim=keys.shape[1],
        k=k,
        threads=threads,
        faiss_version=str(faiss.__version__),
        fastret_ms=median(times["fastret"]),
        faiss_ms=median(times["faiss"]),
        equal_ids=float(1 - differs.mean()),
        explained_ids=_explained(queries, keys, our_ids, faiss_ids, differs),
        largest_score_difference=float(difference.max()),
    )


def _explained(queries: Tensor, keys: Tensor, ids: np.ndarray, faiss_ids: np.ndarray, differs: np.ndarray) -> float:
    """Of the places that differ, the share whose exact scores are closer than a float32 sum of D terms can tell."""
    rows = np.nonzero(differs)[0]
    if len(rows) == 0:
        return 1.0
    exact_queries = queries.double()[rows]
    scores, faiss_scores = (
        (exact_queries * keys.double()[torch.from_numpy(chosen[differs])]).sum(1) for chosen in (ids, faiss_ids)
    )
    # Either score is off by at most D u |q||k| with u = eps/2 (Higham 2002, section 3.1).
    bound = keys.shape[1] * np.finfo(np.float32).eps * exact_queries.norm(dim=1) * keys.double().norm(dim=1).max()
    return float(((scores - faiss_scores).abs() <= bound).double().mean())


def _timed(search: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    answer = search()
    return answer, 1000 * (time.perf_counter() - start)
