"""search: the k best keys of each query, against the exact searches of faiss, torch, usearch and scann-core."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, lru_cache, partial, reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pytest
import torch
from torch import Tensor

import fastret
from fastret import _C
from fastret.ops.arrays import Metric
from fastret.ops.principal_axes import FEW_QUERIES

from .comparisons import FASTRET
from .contest import Prepare, Run, clock
from .exactness import checked_rows, float64_ranking, share_of_equal_ids
from .peers import (
    FAISS,
    FAISS_BLAS,
    FAISS_BLAS_ONE_THREAD,
    FAISS_ONE_THREAD,
    FAISS_QUERY_BY_QUERY_BELOW,
    SCANN,
    TORCH,
    USEARCH,
    USEARCH_UP_TO,
    faiss,
    faiss_blas_threshold,
    faiss_threads,
    scann,
    under,
    usearch,
)
from .real_embeddings import EMOJI, SENTENCES, RealEmbeddings
from .search_peers import search_with_faiss, search_with_scann, search_with_torch, search_with_usearch
from .vectors import embedding_like, embeddings_from_file, num_held_out

if TYPE_CHECKING:
    from .conftest import Entry

Vectors = tuple[Tensor, Tensor]  # queries [Q, D], keys [N, D]

# "search": everybody prepares the keys before. "packing": the peers do, fastret gets tensors and prepares them within
# its time. "one-shot": everybody gets tensors.
Timed = Literal["search", "packing", "one-shot"]
TIMED_WORDS: dict[Timed, str] = {"search": "", "packing": " packing timed", "one-shot": " one-shot"}


@dataclass(frozen=True)
class SearchWork:
    op: ClassVar[str] = "search"
    family: str
    num_queries: int
    num_keys: int
    dim: int
    metric: Metric = "ip"
    k: int = 10
    timed: Timed = "search"
    isa: str | None = None  # fastret's; None: the best that the machine has
    file: Path | None = None

    def __str__(self) -> str:
        isa = f" {self.isa} only" if self.isa else ""
        sizes = f"{self.num_queries}x{self.num_keys}x{self.dim}"
        return f"{self.family} {sizes} {self.metric} k={self.k}{TIMED_WORDS[self.timed]}{isa}"

    def inputs(self) -> Vectors:
        if self.file:
            keys, queries = embeddings_from_file(self.file)
        else:
            # Works that differ in Q share one set of vectors.
            keys, queries = embedding_like(self.num_keys, max(1000, self.num_queries), self.dim, self.family)
        return queries[: self.num_queries], keys

    def contestants(self, threads: int) -> dict[str, Prepare]:
        found: dict[str, Prepare] = {FASTRET: self._fastret}
        if faiss:
            found |= self._settings_of_faiss(threads)
        found[TORCH] = lambda vectors: search_with_torch(*vectors, self.k, self.metric)
        if usearch and self.num_queries * self.num_keys * self.dim <= USEARCH_UP_TO:
            found[USEARCH] = lambda vectors: search_with_usearch(*vectors, self.k, self.metric)
        if scann:
            found[SCANN] = lambda vectors: search_with_scann(*vectors, self.k, self.metric, self.timed == "one-shot")
        return found

    def exact_share(self, vectors: Vectors, answer: Any) -> float:
        ids = torch.from_numpy(np.asarray(answer[1]).astype(np.int64))[checked_rows(self.num_queries)]
        return share_of_equal_ids(ids, _expected_ids(replace(self, timed="search", isa=None)))

    def _fastret(self, vectors: Vectors) -> Run:
        queries, keys = vectors
        setting = partial(instruction_set, self.isa or _C.get_isa())
        if self.timed != "search":
            return under(lambda: fastret.search(queries, keys, self.k, self.metric), setting)
        index = fastret.FlatIndex(self.dim, self.metric)
        with setting():
            index.add(keys)
            index.pack(sample_queries=self._sample_queries() if self.num_queries <= FEW_QUERIES else None)
        return under(lambda: index.search(queries, self.k), setting)

    def _sample_queries(self) -> Tensor:
        """Queries like the measured ones, for packing keys that few of them search at a time."""
        if self.file:
            return embeddings_from_file(self.file)[1][self.num_queries :]
        return embedding_like(self.num_keys, 1000, self.dim, self.family)[1][self.num_queries :]

    def _settings_of_faiss(self, threads: int) -> dict[str, Prepare]:
        @cache  # one index for all settings
        def search(queries: Tensor, keys: Tensor) -> Run:
            return search_with_faiss(queries, keys, self.k, self.metric, self.timed == "one-shot")

        def setting(*contexts: Callable[[], Any]) -> Prepare:
            return lambda vectors: reduce(under, contexts, search(*vectors))

        with_blas, one_thread = partial(faiss_blas_threshold, 1), partial(faiss_threads, 1)
        found = {FAISS: setting()}
        if self.num_queries * self.dim < FAISS_QUERY_BY_QUERY_BELOW:
            found[FAISS_BLAS] = setting(with_blas)
        if self.num_queries == 1 and threads > 1:  # one query is little to share: one thread can be faster
            found[FAISS_ONE_THREAD] = setting(one_thread)
            found[FAISS_BLAS_ONE_THREAD] = setting(with_blas, one_thread)
        return found


@contextmanager
def instruction_set(name: str) -> Iterator[None]:
    """Hold fastret to an instruction set."""
    before = _C.get_isa()
    _C.set_isa(name)
    try:
        yield
    finally:
        _C.set_isa(before)


@lru_cache(maxsize=1)
def _expected_ids(work: SearchWork) -> Tensor:
    queries, keys = work.inputs()
    return float64_ranking(queries[checked_rows(work.num_queries)], keys, work.k, work.metric)


def works(quick: bool, embeddings: Path | None) -> list[SearchWork]:
    found = _quick_works() if quick else _full_works()
    if embeddings:
        keys, queries = embeddings_from_file(embeddings)
        found += [
            SearchWork(embeddings.stem, num_queries, len(keys), keys.shape[1], file=embeddings)
            for num_queries in sorted({1, len(queries)}, reverse=True)
        ]
    return [work for work in found if work.isa is None or work.isa in _C.available_isas()]


def _quick_works() -> list[SearchWork]:
    return [
        SearchWork("clip", 40, 2000, 32),
        SearchWork("clip", 40, 2000, 32, isa="avx2"),
        SearchWork("clip", 40, 2000, 32, timed="one-shot"),
        SearchWork("clip", 40, 2000, 32, "l2"),
        SearchWork("clip", 1, 2000, 32, k=100),
        SearchWork("clip", 40, 40, 32, timed="packing"),
    ]


def _full_works() -> list[SearchWork]:
    """Neighbours in this list share their vectors where they can, which are made once then."""
    clip = SearchWork("clip", 1000, 100_000, 512)
    return [
        clip,
        replace(clip, isa="avx2"),
        replace(clip, timed="one-shot"),
        replace(clip, k=1000),
        replace(clip, metric="l2"),
        replace(clip, num_queries=1),
        replace(clip, num_queries=16),
        SearchWork("clip", 5000, 5000, 512, timed="packing"),
        SearchWork("text", 1000, 50_000, 384),
        SearchWork("text", 1000, 100_000, 1536, k=100),
        SearchWork("text", 16, 500_000, 768),
        SearchWork("text", 1, 500_000, 768),
        *_works_on(SENTENCES),
        *_works_on(EMOJI),
    ]


def _works_on(real: RealEmbeddings) -> list[SearchWork]:
    if not real.file.exists():
        return []
    num_rows, dim = real.shape
    num_queries = num_held_out(num_rows)
    whole = SearchWork(real.file.stem, num_queries, num_rows - num_queries, dim, file=real.file)
    return [whole, replace(whole, k=100)]


@pytest.mark.benchmark(timer=clock)
def test_search(entry: Entry, compete: Callable[[Entry], None]) -> None:
    compete(entry)
