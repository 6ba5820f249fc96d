"""Graphs of fastret.faiss.IndexHNSWFlat: searching and building them, against faiss and usearch.

What stands for exactness here is recall: the share of the 10 nearest that is found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

import fastret.faiss

from .comparisons import FASTRET
from .contest import Prepare, Run, clock
from .exactness import float64_ranking
from .peers import FAISS, USEARCH, faiss, usearch
from .vectors import embedding_like

if TYPE_CHECKING:
    from .conftest import Entry

K = 10
EF_CONSTRUCTION = 40  # FAISS's default
QUERIES = 1000
Search = Callable[[np.ndarray, int], Any]  # queries [Q, D], ef -> ids [Q, K]


@dataclass(frozen=True)
class Graph:
    """The vectors of a graph, how many neighbours each has, and who builds it."""

    family: str
    num_keys: int
    dim: int
    links: int

    def __str__(self) -> str:
        return f"{self.family} {self.num_keys}x{self.dim} M={self.links}"

    def vectors(self) -> tuple[Tensor, Tensor]:
        """keys [N, D], queries [QUERIES, D]"""
        return embedding_like(self.num_keys, QUERIES, self.dim, self.family)

    def builders(self) -> dict[str, Callable[[], Search]]:
        found = {FASTRET: lambda: self._built(fastret.faiss)}
        if faiss:
            found[FAISS] = lambda: self._built(faiss)
        if usearch:
            found[USEARCH] = self._built_by_usearch
        return found

    def recall(self, ids: Any) -> float:
        expected = _expected_ids(self).numpy()[: len(ids)]
        return float(np.mean([len(np.intersect1d(a, b)) / K for a, b in zip(np.asarray(ids), expected, strict=True)]))

    def _built(self, library: Any) -> Search:
        index = library.IndexHNSWFlat(self.dim, self.links)
        index.hnsw.efConstruction = EF_CONSTRUCTION
        index.add(self.vectors()[0].numpy())

        def search(queries: np.ndarray, ef: int) -> Any:
            index.hnsw.efSearch = ef
            return index.search(queries, K)[1]

        return search

    def _built_by_usearch(self) -> Search:
        kind, threads = usearch.MetricKind.L2sq, torch.get_num_threads()
        index = usearch.Index(
            ndim=self.dim, metric=kind, dtype="f32", connectivity=self.links, expansion_add=EF_CONSTRUCTION
        )
        index.add(np.arange(self.num_keys), self.vectors()[0].numpy(), threads=threads)

        def search(queries: np.ndarray, ef: int) -> Any:
            index.expansion_search = ef
            return index.search(queries, K, threads=torch.get_num_threads()).keys.reshape(len(queries), K)

        return search


@dataclass(frozen=True)
class SearchGraph:
    """All contestants search graphs that they built before."""

    op: ClassVar[str] = "hnsw_search"
    approximate: ClassVar[bool] = True
    graph: Graph
    num_queries: int
    batch: int  # queries per call
    ef: int

    def __str__(self) -> str:
        return f"{self.graph} Q={self.num_queries} by {self.batch} ef={self.ef}"

    def inputs(self) -> np.ndarray:
        queries: np.ndarray = self.graph.vectors()[1].numpy()[: self.num_queries]
        return queries

    def contestants(self, threads: int) -> dict[str, Prepare]:
        return {name: self._prepare(name) for name in self.graph.builders()}

    def exact_share(self, queries: np.ndarray, ids: Any) -> float:
        return self.graph.recall(ids)

    def _prepare(self, name: str) -> Prepare:
        def prepare(queries: np.ndarray) -> Run:
            search, batches = _built_before(self.graph, name), range(0, len(queries), self.batch)
            return lambda: np.concatenate([search(queries[i : i + self.batch], self.ef) for i in batches])

        return prepare


@dataclass(frozen=True)
class BuildGraph:
    """What is timed is making an index and adding all vectors; recall is that of a search with ef = 64 afterwards."""

    op: ClassVar[str] = "hnsw_build"
    approximate: ClassVar[bool] = True
    graph: Graph

    def __str__(self) -> str:
        return str(self.graph)

    def inputs(self) -> np.ndarray:
        queries: np.ndarray = self.graph.vectors()[1].numpy()
        return queries

    def contestants(self, threads: int) -> dict[str, Prepare]:
        return {name: lambda queries, build=build: build for name, build in self.graph.builders().items()}

    def exact_share(self, queries: np.ndarray, search: Search) -> float:
        return self.graph.recall(search(queries, 64))


@lru_cache(maxsize=3)  # the contestants' graphs of the same vectors
def _built_before(graph: Graph, name: str) -> Search:
    return graph.builders()[name]()


@lru_cache(maxsize=1)
def _expected_ids(graph: Graph) -> Tensor:
    keys, queries = graph.vectors()
    return float64_ranking(queries, keys, K, "l2")


def works(quick: bool, embeddings: Path | None) -> list[SearchGraph | BuildGraph]:
    if quick:
        small = Graph("text", 1000, 32, 8)
        return [SearchGraph(small, 40, 40, 16), SearchGraph(small, 40, 1, 64), BuildGraph(small)]
    graphs = [Graph("text", 100_000, 128, 16), Graph("clip", 20_000, 512, 32)]
    sizes = [(100, 1, 64), (100, 100, 64), (1000, 1000, 16), (1000, 1000, 64), (1000, 1000, 256)]
    searches = [SearchGraph(graph, *size) for graph in graphs for size in sizes]
    return [*searches, *(BuildGraph(Graph("text", 20_000, dim, links)) for dim, links in ((128, 16), (512, 32)))]


@pytest.mark.benchmark(timer=clock)
def test_hnsw(entry: Entry, compete: Callable[[Entry], None]) -> None:
    compete(entry)
