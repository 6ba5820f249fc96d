"""Product quantization: search, add and train of IndexPQ and IndexIVFPQ, against faiss's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pytest
import torch
from torch import Tensor

import fastret.faiss

from .comparisons import FASTRET
from .contest import Prepare, Run, clock
from .exactness import checked_rows, float64_scores
from .peers import FAISS, faiss
from .vectors import embedding_like

if TYPE_CHECKING:
    from .conftest import Entry

Vectors = tuple[Tensor, Tensor]  # queries [Q, D], rows [N, D]

NLIST, NPROBE = 1024, 16


@dataclass(frozen=True)
class ProductCodesWork:
    op: ClassVar[str] = "product_codes"
    description: str  # of index_factory
    num_queries: int
    num_rows: int
    dim: int
    k: int = 10
    timed: Literal["search", "add", "train"] = "search"

    def __str__(self) -> str:
        sizes = f"{self.num_queries}x{self.num_rows}x{self.dim} k={self.k}"
        return f"{self.description} {sizes if self.timed == 'search' else f'{self.timed} {self.num_rows}x{self.dim}'}"

    def inputs(self) -> Vectors:
        rows, queries = embedding_like(self.num_rows, 1000, self.dim, "clip")
        return queries[: self.num_queries], rows

    def contestants(self, threads: int) -> dict[str, Prepare]:
        found: dict[str, Prepare] = {FASTRET: lambda vectors: self._run(fastret.faiss, vectors)}
        if faiss:
            found[FAISS] = lambda vectors: self._run(faiss, vectors)
        return found

    def exact_share(self, vectors: Vectors, answer: Any) -> float:
        """Of searches, the share of the ids that a float64 ranking of what the codes stand for has as well; of adding
        and training, that of the codes, or centroids, that are fastret's up to rounding.
        """
        if self.timed == "search":
            wanted = _expected_ids(self)
            found = torch.as_tensor(np.asarray(answer[1]))[checked_rows(self.num_queries)]
            return (found[:, :, None] == wanted[:, None]).any(-1).double().mean().item()
        index = _trained(self)
        if self.timed == "train":
            wanted_centroids = fastret.faiss.vector_to_array(index.pq.centroids)
            return float(np.isclose(answer, wanted_centroids, atol=1e-4).mean())
        some = vectors[1][: len(answer)].numpy()
        return float((answer == index.sa_encode(some)).all(1).mean())

    def _run(self, module: Any, vectors: Vectors) -> Run:
        queries, rows = (part.numpy() for part in vectors)
        if self.timed == "train":

            def train() -> Any:
                index = _untrained(module, self)
                index.train(rows)
                return module.vector_to_array(index.pq.centroids)

            return train
        index = module.deserialize_index(fastret.faiss.serialize_index(_trained(self)))
        if self.timed == "add":

            def add() -> Any:
                index.reset()
                index.add(rows)
                return index.sa_encode(rows[:1000])

            return add
        index = module.deserialize_index(_filled(self))
        if "IVF" in self.description:
            index.nprobe = NPROBE
        return lambda: index.search(queries, self.k)


def _untrained(module: Any, work: ProductCodesWork) -> Any:
    index = module.index_factory(work.dim, work.description)
    if hasattr(index, "do_polysemous_training"):
        index.do_polysemous_training = False  # fastret's has no effect
    return index


@lru_cache(maxsize=2)
def _trained_for(description: str, num_rows: int, dim: int) -> Any:
    work = ProductCodesWork(description, 1, num_rows, dim)
    index = _untrained(fastret.faiss, work)
    index.train(work.inputs()[1].numpy())
    return index


def _trained(work: ProductCodesWork) -> Any:
    return _trained_for(work.description, work.num_rows, work.dim)


@lru_cache(maxsize=1)
def _filled_for(description: str, num_rows: int, dim: int) -> Any:
    work = ProductCodesWork(description, 1, num_rows, dim)
    index = fastret.faiss.clone_index(_trained(work))
    index.add(work.inputs()[1].numpy())
    return fastret.faiss.serialize_index(index)


def _filled(work: ProductCodesWork) -> Any:
    return _filled_for(work.description, work.num_rows, work.dim)


@lru_cache(maxsize=1)
def _expected_ids(work: ProductCodesWork) -> Tensor:
    queries, vectors = work.inputs()
    queries = queries[checked_rows(work.num_queries)]
    index = fastret.faiss.deserialize_index(_filled(work))
    distances = float64_scores(queries, torch.from_numpy(index.reconstruct_n(0, index.ntotal)), "l2")
    if "IVF" in work.description:
        probed = torch.zeros(len(queries), index.nlist, dtype=torch.bool)
        probed.scatter_(1, torch.from_numpy(index.quantizer.assign(queries.numpy(), NPROBE)), True)
        distances[~probed[:, torch.from_numpy(index.quantizer.assign(vectors.numpy(), 1)[:, 0])]] = torch.inf
    return distances.topk(work.k, largest=False).indices


def works(quick: bool, embeddings: Path | None) -> list[ProductCodesWork]:
    if quick:
        flat, lists = ProductCodesWork("PQ8", 20, 3000, 32), ProductCodesWork("IVF32,PQ8", 20, 3000, 32)
    else:
        flat, lists = (
            ProductCodesWork("PQ16", 1000, 200_000, 128),
            ProductCodesWork(f"IVF{NLIST},PQ16", 1000, 200_000, 128),
        )
    found = [flat, replace(flat, num_queries=1), replace(flat, timed="add"), replace(flat, timed="train")]
    found += [lists, replace(lists, num_queries=1), replace(lists, timed="add")]
    if not quick:
        found += [replace(lists, num_queries=100), replace(lists, description=f"IVF{NLIST},PQ32", k=100)]
        found += [replace(lists, description=f"IVF{NLIST},PQ32x4"), replace(lists, description=f"IVF{NLIST},PQ32x4fs")]
    return found


@pytest.mark.benchmark(timer=clock)
def test_product_codes(entry: Entry, compete: Callable[[Entry], None]) -> None:
    compete(entry)
