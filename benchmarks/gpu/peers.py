"""What the ops are measured against on a GPU. Those that cannot be imported, or would take minutes, say so."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

Answer = tuple[Tensor, Tensor]
Run = Callable[[], Any]
Prepare = Callable[[], Run]  # does what is not timed, and returns what is

SCORE_BYTES = 2 << 30  # of a [queries, N] block of scores: peers that hold them get this much
CUPY_UP_TO = 1 << 28  # scores: its argpartition sorts all of them

# Of a block of scores [queries, N] that begins at a query, what may not be found becomes -inf, in place.
Mask = Callable[[Tensor, int], None]


def block_of(queries: Tensor, keys: Tensor) -> int:
    return max(1, SCORE_BYTES // (max(1, keys.shape[0]) * queries.element_size()))


def matmul_topk(queries: Tensor, keys: Tensor, k: int, *, tf32: bool = False, mask: Mask | None = None) -> Answer:
    """torch.topk over torch.matmul, in blocks of queries."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = tf32
    try:
        parts = []
        for first in range(0, len(queries), step := block_of(queries, keys)):
            scores = queries[first : first + step] @ keys.T
            if mask:
                mask(scores, first)
            parts.append(torch.topk(scores, k))
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
    return torch.cat([scores for scores, _ in parts]), torch.cat([ids for _, ids in parts])


def matmul_alone(queries: Tensor, keys: Tensor) -> Run:
    """The matrix product of `matmul_topk`, each block into the same memory, with nothing selected."""
    step = block_of(queries, keys)
    scores = torch.empty(min(step, len(queries)), len(keys), dtype=queries.dtype, device=queries.device)

    def run() -> None:
        for part in queries.split(step):
            torch.matmul(part, keys.T, out=scores[: len(part)])

    return run


def torch_search(queries: Tensor, keys: Tensor, k: int, mask: Mask | None = None) -> dict[str, Prepare]:
    """In the dtype of float32 inputs, and rounded before the timing begins."""

    def in_bfloat16() -> Run:
        q, x = queries.bfloat16(), keys.bfloat16()
        return lambda: matmul_topk(q, x, k, mask=mask)

    return {
        "torch float32 matmul + topk": lambda: lambda: matmul_topk(queries, keys, k, mask=mask),
        "torch TF32 matmul + topk": lambda: lambda: matmul_topk(queries, keys, k, tf32=True, mask=mask),
        "torch bfloat16 matmul + topk": in_bfloat16,
    }


def other_search(queries: Tensor, keys: Tensor, k: int) -> dict[str, Prepare]:
    return {
        "cupy matmul + argpartition": lambda: _cupy(queries, keys, k),
        "faiss knn_gpu": lambda: _faiss(queries, keys, k),
        "flashlib flash_knn": lambda: _flashlib(queries, keys, k),
    }


def _cupy(queries: Tensor, keys: Tensor, k: int) -> Run:
    if len(queries) * len(keys) > CUPY_UP_TO:
        raise RuntimeError("left out: it would sort too many scores")
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
        return torch.empty(0), torch.from_dlpack(cupy.concatenate(ids))

    return run


def _faiss(queries: Tensor, keys: Tensor, k: int) -> Run:
    faiss = importlib.import_module("faiss")
    if not hasattr(faiss, "StandardGpuResources"):
        raise ImportError("this faiss has no GPU part")
    importlib.import_module("faiss.contrib.torch_utils")
    resources = faiss.StandardGpuResources()
    return lambda: faiss.knn_gpu(resources, queries, keys, k, metric=faiss.METRIC_INNER_PRODUCT)


def _flashlib(queries: Tensor, keys: Tensor, k: int) -> Run:
    """flashlib ranks by L2 only: on vectors of unit norm the same order."""
    flashlib = importlib.import_module("flashlib")
    return lambda: flashlib.flash_knn(queries, keys, k)


def normalised_scores(queries: Tensor, keys: Tensor) -> Tensor:
    return normalize(queries, dim=-1) @ normalize(keys, dim=-1).mT
