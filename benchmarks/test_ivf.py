"""Inverted files of fastret.faiss.IndexIVFFlat against faiss, at equal nprobe: search, train, add, write and read.

What stands for exactness here is recall: the share of the 10 nearest that is found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
from torch import Tensor

import fastret.faiss

from .comparisons import FASTRET
from .contest import Prepare, Run, clock
from .exactness import float64_ranking
from .peers import FAISS, faiss
from .vectors import embedding_like

if TYPE_CHECKING:
    from .conftest import Entry

K = 10
QUERIES = 1000
CHECKED_NPROBE = 16  # of the search that tells the recall of works that build


@dataclass(frozen=True)
class Lists:
    """The vectors of an inverted file, and what is stored of them: whole vectors, or codes of a scalar quantizer."""

    family: str
    num_keys: int
    dim: int
    nlist: int
    codes: str = "Flat"

    def __str__(self) -> str:
        return f"{self.family} {self.num_keys}x{self.dim} IVF{self.nlist},{self.codes}"

    def vectors(self) -> tuple[Tensor, Tensor]:
        """keys [N, D], queries [QUERIES, D]"""
        return embedding_like(self.num_keys, QUERIES, self.dim, self.family)

    def keys(self) -> np.ndarray:
        keys: np.ndarray = self.vectors()[0].numpy()
        return keys

    def recall(self, ids: Any) -> float:
        expected = _expected_ids(self).numpy()[: len(ids)]
        return float(np.mean([len(np.intersect1d(a, b)) / K for a, b in zip(np.asarray(ids), expected, strict=True)]))

    def empty(self, library: Any) -> Any:
        quantizer = library.IndexFlatL2(self.dim)
        if self.codes == "Flat":
            return library.IndexIVFFlat(quantizer, self.dim, self.nlist)
        qtype = getattr(library.ScalarQuantizer, self.codes)
        return library.IndexIVFScalarQuantizer(quantizer, self.dim, self.nlist, qtype)


def libraries() -> dict[str, Any]:
    return {FASTRET: fastret.faiss} | ({FAISS: faiss} if faiss else {})


@dataclass(frozen=True)
class SearchLists:
    """All contestants search indexes of the same centroids that were filled before."""

    op: ClassVar[str] = "ivf_search"
    approximate: ClassVar[bool] = True
    lists: Lists
    num_queries: int
    batch: int  # queries per call
    nprobe: int

    def __str__(self) -> str:
        return f"{self.lists} Q={self.num_queries} by {self.batch} nprobe={self.nprobe}"

    def inputs(self) -> np.ndarray:
        queries: np.ndarray = self.lists.vectors()[1].numpy()[: self.num_queries]
        return queries

    def contestants(self, threads: int) -> dict[str, Prepare]:
        return {name: partial(self._prepare, name) for name in libraries()}

    def exact_share(self, queries: np.ndarray, ids: Any) -> float:
        return self.lists.recall(ids)

    def _prepare(self, name: str, queries: np.ndarray) -> Run:
        index, batches = _filled(self.lists, name), range(0, len(queries), self.batch)

        def run() -> Any:
            index.nprobe = self.nprobe
            return np.concatenate([index.search(queries[i : i + self.batch], K)[1] for i in batches])

        return run


@dataclass(frozen=True)
class BuildLists:
    """What is timed is training, adding to an index with centroids, or writing and reading a file."""

    op: ClassVar[str] = "ivf_build"
    approximate: ClassVar[bool] = True
    lists: Lists
    step: str  # "train", "add" or "write and read"

    def __str__(self) -> str:
        return f"{self.lists} {self.step}"

    def inputs(self) -> np.ndarray:
        return self.lists.keys()

    def contestants(self, threads: int) -> dict[str, Prepare]:
        return {name: partial(self._prepare, name, library) for name, library in libraries().items()}

    def exact_share(self, keys: np.ndarray, index: Any) -> float:
        index.nprobe = CHECKED_NPROBE
        if not index.ntotal:
            index.add(keys)
        return self.lists.recall(index.search(self.lists.vectors()[1].numpy(), K)[1])

    def _prepare(self, name: str, library: Any, keys: np.ndarray) -> Run:
        def train() -> Any:
            index = self.lists.empty(library)
            index.train(keys)
            return index

        def add() -> Any:
            index = _empty_with_centroids(self.lists, name)
            index.reset()
            index.add(keys)
            return index

        def write_and_read() -> Any:
            return library.deserialize_index(library.serialize_index(_filled(self.lists, name)))

        return {"train": train, "add": add, "write and read": write_and_read}[self.step]


@lru_cache(maxsize=1)
def _trained(lists: Lists) -> np.ndarray:
    """An index with centroids and no vectors as a file, from which all contestants start."""
    index = lists.empty(fastret.faiss)
    index.train(lists.keys())
    written: np.ndarray = fastret.faiss.serialize_index(index)
    return written


def _empty_with_centroids(lists: Lists, name: str) -> Any:
    return libraries()[name].deserialize_index(_trained(lists))


@lru_cache(maxsize=2)  # the contestants' indexes of the same vectors
def _filled(lists: Lists, name: str) -> Any:
    index = _empty_with_centroids(lists, name)
    index.add(lists.keys())
    return index


@lru_cache(maxsize=1)
def _expected_ids(lists: Lists) -> Tensor:
    keys, queries = lists.vectors()
    return float64_ranking(queries, keys, K, "l2")


def works(quick: bool, embeddings: Path | None) -> list[SearchLists | BuildLists]:
    if quick:
        small = Lists("text", 2000, 32, 16)
        steps = [BuildLists(small, step) for step in ("train", "add", "write and read")]
        return [SearchLists(small, 40, 40, 4), SearchLists(small, 40, 1, 4), *steps]
    searched = [
        Lists("text", 100_000, 128, 1024),
        Lists("text", 100_000, 768, 1024),
        Lists("text", 100_000, 128, 1024, "QT_8bit"),
    ]
    sizes = [(100, 1, 1), (100, 1, 16), (100, 100, 16), (1000, 1000, 1), (1000, 1000, 16), (1000, 1000, 64)]
    built = [BuildLists(searched[0], step) for step in ("train", "add", "write and read")]
    return [*(SearchLists(lists, *size) for lists in searched for size in sizes), *built]


@pytest.mark.benchmark(timer=clock)
def test_ivf(entry: Entry, compete: Callable[[Entry], None]) -> None:
    compete(entry)
