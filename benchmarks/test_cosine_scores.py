"""cosine_scores: all scores, correctly rounded, against torch's float32 products and faiss's pairwise distances."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

import fastret
from fastret.ops.arrays import Metric

from .comparisons import FASTRET
from .contest import Prepare, Run, clock
from .exactness import checked_rows, float64_scores, share_correctly_rounded
from .peers import FAISS, TORCH, faiss
from .vectors import batched_embeddings

if TYPE_CHECKING:
    from .conftest import Entry

Vectors = tuple[Tensor, Tensor]  # queries [Q, D] or [B, Q, D], keys [N, D] or [B, N, D]


@dataclass(frozen=True)
class ScoresWork:
    op: ClassVar[str] = "cosine_scores"
    batch: int  # 0: no batch axis
    num_queries: int
    num_keys: int
    dim: int
    metric: Metric = "cosine"

    def __str__(self) -> str:
        batch = f"{self.batch}x" if self.batch else ""
        return f"clip {batch}{self.num_queries}x{self.num_keys}x{self.dim} {self.metric}"

    def inputs(self) -> Vectors:
        return batched_embeddings(self.batch, self.num_queries, self.num_keys, self.dim)

    def contestants(self, threads: int) -> dict[str, Prepare]:
        found: dict[str, Prepare] = {FASTRET: self._fastret}
        # faiss has no cosine, no batch axis, and hands inner products to numpy.
        if faiss and self.metric == "l2" and not self.batch:
            found[FAISS] = self._faiss_l2
        found[TORCH] = self._torch_l2 if self.metric == "l2" else self._torch_cosine
        return found

    def exact_share(self, vectors: Vectors, answer: Any) -> float:
        scores = torch.as_tensor(answer)[..., checked_rows(self.num_queries), :]
        return share_correctly_rounded(scores, _expected_scores(self))

    def _fastret(self, vectors: Vectors) -> Run:
        queries, keys = vectors
        return lambda: fastret.cosine_scores(queries, keys, self.metric)

    def _faiss_l2(self, vectors: Vectors) -> Run:
        queries, keys = (part.numpy() for part in vectors)
        return lambda: faiss.pairwise_distances(queries, keys)

    def _torch_cosine(self, vectors: Vectors) -> Run:
        queries, keys = vectors
        return lambda: normalize(queries, dim=-1) @ normalize(keys, dim=-1).mT

    def _torch_l2(self, vectors: Vectors) -> Run:
        queries, keys = vectors
        return lambda: torch.cdist(queries, keys).square_()


@lru_cache(maxsize=1)
def _expected_scores(work: ScoresWork) -> Tensor:
    queries, keys = work.inputs()
    return float64_scores(queries[..., checked_rows(work.num_queries), :], keys, work.metric)


def works(quick: bool, embeddings: Path | None) -> list[ScoresWork]:
    if quick:
        return [ScoresWork(0, 30, 200, 32), ScoresWork(0, 30, 200, 32, "l2"), ScoresWork(3, 10, 20, 32)]
    return [
        ScoresWork(0, 1000, 10_000, 512),
        ScoresWork(0, 1000, 10_000, 512, "l2"),
        ScoresWork(64, 64, 256, 512),
    ]


@pytest.mark.benchmark(timer=clock)
def test_cosine_scores(entry: Entry, compete: Callable[[Entry], None]) -> None:
    compete(entry)
