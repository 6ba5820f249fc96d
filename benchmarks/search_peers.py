"""search as each peer does it. Each function prepares what is not timed and returns what is: (scores, ids) [Q, K].

`one_shot` puts everything that a peer does with the keys, once per call, into what is timed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from fastret.ops.arrays import Metric

from .contest import Run
from .peers import faiss, scann, usearch


def search_with_faiss(queries: Tensor, keys: Tensor, k: int, metric: Metric, one_shot: bool = False) -> Run:
    q, x = queries.numpy(), keys.numpy()

    def index() -> Any:
        made = (faiss.IndexFlatL2 if metric == "l2" else faiss.IndexFlatIP)(x.shape[1])
        made.add(x)
        return made

    if one_shot:
        return lambda: index().search(q, k)
    made_before = index()
    return lambda: made_before.search(q, k)


def search_with_scann(queries: Tensor, keys: Tensor, k: int, metric: Metric, one_shot: bool = False) -> Run:
    q, x = queries.numpy(), keys.numpy()

    def searcher() -> Any:
        distance = "squared_l2" if metric == "l2" else "dot_product"
        return scann.builder(x, k, distance).score_brute_force().build()

    def search(with_searcher: Any) -> tuple[np.ndarray, np.ndarray]:
        threads = torch.get_num_threads()
        with_searcher.set_num_threads(threads)
        # Its unit of parallel work is a batch of queries, 256 by default.
        batch = min(256, -(-len(q) // threads))
        ids, scores = with_searcher.search_batched_parallel(q, batch_size=batch)
        return scores, ids

    if one_shot:
        return lambda: search(searcher())
    made_before = searcher()
    return lambda: search(made_before)


def search_with_usearch(queries: Tensor, keys: Tensor, k: int, metric: Metric) -> Run:
    q, x = queries.numpy(), keys.numpy()
    kind = usearch.MetricKind.L2sq if metric == "l2" else usearch.MetricKind.IP

    def search() -> tuple[np.ndarray, np.ndarray]:
        found = usearch.search(x, q, k, kind, exact=True, threads=torch.get_num_threads())
        return found.distances.reshape(len(q), k), found.keys.reshape(len(q), k)

    return search


def search_with_torch(queries: Tensor, keys: Tensor, k: int, metric: Metric) -> Run:
    if metric == "l2":
        return lambda: torch.topk(torch.cdist(queries, keys), k, largest=False)
    return lambda: torch.topk(queries @ keys.T, k)
