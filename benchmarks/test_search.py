"""search: the k best keys of each query, against faiss's flat indexes and torch's matrix product with topk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
import torch
from torch import Tensor

import fastret
from fastret.ops.arrays import Metric

from .contest import FASTRET, Run, clock
from .exactness import checked_rows, float64_scores, ranking, share_of_equal_ids
from .peers import (
    FAISS,
    FAISS_BLAS,
    FAISS_QUERY_BY_QUERY_BELOW,
    FAISS_VERSION,
    TORCH,
    faiss,
    with_blas_threshold,
)
from .vectors import embedding_like, embeddings_from_file

if TYPE_CHECKING:
    from .conftest import Entry

Vectors = tuple[Tensor, Tensor]  # queries [Q, D], keys [N, D]


@dataclass(frozen=True)
class SearchWork:
    op: ClassVar[str] = "search"
    family: str
    num_queries: int
    num_keys: int
    dim: int
    metric: Metric = "ip"
    k: int = 10
    file: Path | None = None

    def __str__(self) -> str:
        return f"{self.family} {self.num_queries}x{self.num_keys}x{self.dim} {self.metric} k={self.k}"

    def inputs(self) -> Vectors:
        if self.file:
            keys, queries = embeddings_from_file(self.file)
        else:
            # Works that differ in Q share one set of vectors.
            keys, queries = embedding_like(self.num_keys, max(1000, self.num_queries), self.dim, self.family)
        return queries[: self.num_queries], keys

    def contestants(self) -> dict[str, Callable[[Vectors], Run]]:
        found: dict[str, Callable[[Vectors], Run]] = {FASTRET: self._fastret}
        if FAISS_VERSION:
            found[FAISS] = self._faiss
            if self.num_queries * self.dim < FAISS_QUERY_BY_QUERY_BELOW:
                found[FAISS_BLAS] = lambda vectors: with_blas_threshold(1, self._faiss(vectors))
        found[TORCH] = self._torch_l2 if self.metric == "l2" else self._torch_ip
        return found

    def exact_share(self, vectors: Vectors, answer: Any) -> float:
        ids = torch.as_tensor(answer[1])[checked_rows(self.num_queries)]
        return share_of_equal_ids(ids, _expected_ids(self))

    def _fastret(self, vectors: Vectors) -> Run:
        queries, keys = vectors
        return lambda: fastret.search(queries, keys, self.k, self.metric)

    def _faiss(self, vectors: Vectors) -> Run:
        queries, keys = (part.numpy() for part in vectors)
        index = (faiss.IndexFlatL2 if self.metric == "l2" else faiss.IndexFlatIP)(self.dim)
        index.add(keys)
        return lambda: index.search(queries, self.k)

    def _torch_ip(self, vectors: Vectors) -> Run:
        queries, keys = vectors
        return lambda: torch.topk(queries @ keys.T, self.k)

    def _torch_l2(self, vectors: Vectors) -> Run:
        queries, keys = vectors
        return lambda: torch.topk(torch.cdist(queries, keys), self.k, largest=False)


@lru_cache(maxsize=1)
def _expected_ids(work: SearchWork) -> Tensor:
    queries, keys = work.inputs()
    scores = float64_scores(queries[checked_rows(work.num_queries)], keys, work.metric)
    return ranking(scores, work.k, largest=work.metric != "l2")


def works(quick: bool, embeddings: Path | None) -> list[SearchWork]:
    if quick:
        found = [
            SearchWork("clip", 40, 2000, 32),
            SearchWork("clip", 40, 2000, 32, "l2"),
            SearchWork("clip", 1, 2000, 32, k=100),
        ]
    else:
        found = [
            SearchWork("clip", 1000, 100_000, 512),
            SearchWork("clip", 1000, 100_000, 512, "l2"),
            SearchWork("clip", 1000, 100_000, 512, k=1000),
            SearchWork("clip", 1, 100_000, 512),
            SearchWork("clip", 16, 100_000, 512),
            SearchWork("clip", 5000, 5000, 512),
            SearchWork("text", 1000, 50_000, 384),
        ]
    if embeddings:
        keys, queries = embeddings_from_file(embeddings)
        found += [
            SearchWork(embeddings.stem, num_queries, len(keys), keys.shape[1], file=embeddings)
            for num_queries in sorted({1, len(queries)}, reverse=True)
        ]
    return found


@pytest.mark.benchmark(timer=clock)
def test_search(entry: Entry, compete: Callable[[Entry], None]) -> None:
    compete(entry)
