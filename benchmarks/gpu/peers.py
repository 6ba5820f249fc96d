"""What search, select_k and cosine_scores are measured against on a GPU; those that cannot be imported are left out."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Answer = tuple[Tensor, Tensor]
Run = Callable[[], Any]

SCORE_BYTES = 2 << 30  # of a [queries, N] block of scores: peers that hold them get this much


def _matmul_topk(queries: Tensor, keys: Tensor, k: int, *, tf32: bool = False) -> Answer:
    """torch.topk over torch.matmul, in blocks of queries."""
    block = max(1, SCORE_BYTES // (keys.shape[0] * queries.element_size()))
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = tf32
    try:
        parts = [torch.topk(part @ keys.T, k) for part in queries.split(block)]
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
    return torch.cat([scores for scores, _ in parts]), torch.cat([ids for _, ids in parts])


def _bfloat16_search(queries: Tensor, keys: Tensor, k: int) -> Run:
    q, x = queries.bfloat16(), keys.bfloat16()
    return lambda: _matmul_topk(q, x, k)


def _cupy_search(queries: Tensor, keys: Tensor, k: int) -> Run:
    cupy = importlib.import_module("cupy")
    q, x = cupy.from_dlpack(queries), cupy.from_dlpack(keys)
    block = max(1, SCORE_BYTES // 8 // keys.shape[0])

    def run() -> Answer:
        ids = []
        for first in range(0, len(q), block):
            scores = q[first : first + block] @ x.T
            best = cupy.argpartition(scores, -k, axis=1)[:, -k:]
            order = cupy.argsort(-cupy.take_along_axis(scores, best, axis=1), axis=1)
            ids.append(cupy.take_along_axis(best, order, axis=1))
        found = torch.from_dlpack(cupy.concatenate(ids))
        return torch.empty(0), found

    return run


def _faiss_search(queries: Tensor, keys: Tensor, k: int) -> Run:
    faiss = importlib.import_module("faiss")
    if not hasattr(faiss, "StandardGpuResources"):
        raise ImportError("this faiss has no GPU part")
    importlib.import_module("faiss.contrib.torch_utils")
    resources = faiss.StandardGpuResources()
    return lambda: faiss.knn_gpu(resources, queries, keys, k, metric=faiss.METRIC_INNER_PRODUCT)


def _flashlib_search(queries: Tensor, keys: Tensor, k: int) -> Run:
    """flashlib ranks by L2 only: on vectors of unit norm the same order."""
    flashlib = importlib.import_module("flashlib")
    return lambda: flashlib.flash_knn(queries, keys, k)


SEARCH_PEERS: dict[str, Callable[[Tensor, Tensor, int], Run]] = {
    "torch float32 matmul + topk": lambda q, x, k: lambda: _matmul_topk(q, x, k),
    "torch TF32 matmul + topk": lambda q, x, k: lambda: _matmul_topk(q, x, k, tf32=True),
    "torch bfloat16 matmul + topk": _bfloat16_search,
    "cupy matmul + argpartition": _cupy_search,
    "faiss knn_gpu": _faiss_search,
    "flashlib flash_knn": _flashlib_search,
}


def torch_scores(queries: Tensor, keys: Tensor) -> Run:
    def run() -> Tensor:
        q = torch.nn.functional.normalize(queries, dim=-1)
        x = torch.nn.functional.normalize(keys, dim=-1)
        return q @ x.mT

    return run
