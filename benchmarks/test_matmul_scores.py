"""cosine_scores with exact=False, as in training: scores alone, and with their gradients, against plain torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

import fastret
from fastret.ops.arrays import Metric

from .comparisons import FASTRET
from .contest import Prepare, Run, clock
from .peers import TORCH
from .vectors import batched_embeddings

if TYPE_CHECKING:
    from .conftest import Entry

Vectors = tuple[Tensor, Tensor]  # queries [Q, D] or [B, Q, D], keys [N, D] or [B, N, D]
Scores = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class MatmulWork:
    op: ClassVar[str] = "matmul_scores"
    batch: int  # 0: no batch axis
    num_queries: int
    num_keys: int
    dim: int
    metric: Metric = "cosine"
    backward: bool = False

    def __str__(self) -> str:
        batch = f"{self.batch}x" if self.batch else ""
        passes = "forward and backward" if self.backward else "forward"
        return f"clip {batch}{self.num_queries}x{self.num_keys}x{self.dim} {self.metric} {passes}"

    def inputs(self) -> Vectors:
        return batched_embeddings(self.batch, self.num_queries, self.num_keys, self.dim)

    def contestants(self, threads: int) -> dict[str, Prepare]:
        return {FASTRET: self._prepare(self._fastret), TORCH: self._prepare(self._torch)}

    def exact_share(self, vectors: Vectors, answer: tuple[Tensor, ...]) -> float:
        """The share of scores and gradients within float32's error of a product of D, Q or N terms."""
        near, total = 0.0, 0
        for got, want in zip(answer, _expected(self), strict=True):
            terms = self.num_queries + self.num_keys + self.dim
            near += ((got - want).abs() <= terms * 2.0**-22 * want.abs().max()).double().sum().item()
            total += got.numel()
        return near / total

    def _fastret(self, queries: Tensor, keys: Tensor) -> Tensor:
        return fastret.cosine_scores(queries, keys, self.metric, exact=False)

    def _torch(self, queries: Tensor, keys: Tensor) -> Tensor:
        if self.metric == "l2":
            return torch.cdist(queries, keys).square()
        return normalize(queries, dim=-1) @ normalize(keys, dim=-1).mT

    def _prepare(self, scores: Scores) -> Prepare:
        return lambda vectors: self._run(scores, vectors)

    def _run(self, scores: Scores, vectors: Vectors) -> Run:
        """Run: scores [..., Q, N] alone, or with the gradients of the sum of their squares."""
        if not self.backward:
            return lambda: (scores(*vectors),)

        def run() -> tuple[Tensor, ...]:
            leaves = [rows.detach().requires_grad_() for rows in vectors]
            found = scores(*leaves)
            return found.detach(), *torch.autograd.grad(found, leaves, 2 * found.detach())

        return run


@lru_cache(maxsize=1)
def _expected(work: MatmulWork) -> tuple[Tensor, ...]:
    queries, keys = work.inputs()
    found: tuple[Tensor, ...] = work._run(work._torch, (queries.double(), keys.double()))()
    return found


def works(quick: bool, embeddings: Path | None) -> list[MatmulWork]:
    if quick:
        return [MatmulWork(0, 30, 200, 32), MatmulWork(0, 30, 200, 32, "l2"), MatmulWork(3, 10, 20, 32, backward=True)]
    return [
        MatmulWork(0, 1024, 1024, 512),
        MatmulWork(0, 1024, 1024, 512, backward=True),
        MatmulWork(0, 1024, 1024, 512, "l2", backward=True),
        MatmulWork(64, 64, 256, 512),
        MatmulWork(64, 64, 256, 512, backward=True),
    ]


@pytest.mark.benchmark(timer=clock)
def test_matmul_scores(entry: Entry, compete: Callable[[Entry], None]) -> None:
    compete(entry)
