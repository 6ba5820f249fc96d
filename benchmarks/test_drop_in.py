"""fastret.faiss's flat indexes: what the names cost beside FlatIndex, and add, write and read beside faiss."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pytest
import torch
from torch import Tensor

import fastret
import fastret.faiss

from .comparisons import FASTRET
from .contest import Prepare, Run, clock
from .exactness import checked_rows, float64_ranking, share_of_equal_ids
from .peers import FAISS, faiss
from .vectors import embedding_like

if TYPE_CHECKING:
    from .conftest import Entry

Vectors = tuple[Tensor, Tensor]  # queries [Q, D], keys [N, D]
FLAT_INDEX = "fastret, FlatIndex"
K = 10


@dataclass(frozen=True)
class DropInWork:
    op: ClassVar[str] = "drop_in"
    what: Literal["search", "add", "write_index", "read_index"]
    num_queries: int  # of searches
    num_keys: int
    dim: int

    def __str__(self) -> str:
        queries = f"{self.num_queries}x" if self.what == "search" else ""
        return f"{self.what} {queries}{self.num_keys}x{self.dim}"

    def inputs(self) -> Vectors:
        keys, queries = embedding_like(self.num_keys, 1000, self.dim, "clip")
        return queries[: self.num_queries], keys

    def contestants(self, threads: int) -> dict[str, Prepare]:
        found: dict[str, Prepare] = {FASTRET: lambda vectors: self._run(fastret.faiss, vectors)}
        if self.what == "search":
            found[FLAT_INDEX] = self._flat_index
        elif faiss:
            found[FAISS] = lambda vectors: self._run(faiss, vectors)
        return found

    def exact_share(self, vectors: Vectors, answer: Any) -> float:
        if self.what == "search":
            ids = torch.as_tensor(answer[1])[checked_rows(self.num_queries)]
            return share_of_equal_ids(ids, _expected_ids(self))
        # The vectors that the index, or the file, holds afterwards.
        return float(np.mean(answer().reconstruct_n() == vectors[1].numpy()))

    def _run(self, module: Any, vectors: Vectors) -> Run:
        queries, keys = (tensor.numpy() for tensor in vectors)
        index = module.IndexFlatIP(self.dim)
        if self.what == "add":

            def add() -> Any:
                added = module.IndexFlatIP(self.dim)
                added.add(keys)
                return lambda: added

            return add
        index.add(keys)
        if self.what == "search":
            if module is fastret.faiss:
                index.search(queries, K)  # packs, as the other does
            return lambda: index.search(queries, K)
        folder = tempfile.TemporaryDirectory()
        path = str(Path(folder.name) / "index")

        def write() -> Any:
            module.write_index(index, path)
            return lambda folder=folder: module.read_index(path)

        def read() -> Any:
            found = module.read_index(path)
            return lambda folder=folder: found

        write()
        return write if self.what == "write_index" else read

    def _flat_index(self, vectors: Vectors) -> Run:
        queries, keys = (tensor.numpy() for tensor in vectors)
        index = fastret.FlatIndex(self.dim, "ip")
        index.add(keys)
        return lambda: index.search(queries, K)


@lru_cache(maxsize=1)
def _expected_ids(work: DropInWork) -> Tensor:
    queries, keys = work.inputs()
    return float64_ranking(queries[checked_rows(work.num_queries)], keys, K, "ip")


def works(quick: bool, embeddings: Path | None) -> list[DropInWork]:
    if quick:
        return [DropInWork(what, 5, 500, 16) for what in ("search", "add", "write_index", "read_index")]
    return [
        DropInWork("search", 1, 1000, 64),
        DropInWork("search", 1, 100_000, 512),
        DropInWork("search", 1000, 100_000, 512),
        *(DropInWork(what, 0, 100_000, 512) for what in ("add", "write_index", "read_index")),
    ]


@pytest.mark.benchmark(timer=clock)
def test_drop_in(entry: Entry, compete: Callable[[Entry], None]) -> None:
    compete(entry)
