"""select_k: the k largest values of each row, against torch.topk and the heaps that faiss selects with."""

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

import fastret

from .comparisons import FASTRET
from .contest import Prepare, Run, clock
from .exactness import checked_rows, ranking, share_of_equal_ids
from .peers import FAISS_HEAP, TORCH, faiss
from .vectors import embedding_like

if TYPE_CHECKING:
    from .conftest import Entry


@dataclass(frozen=True)
class SelectWork:
    op: ClassVar[str] = "select_k"
    rows: int
    columns: int
    k: int

    def __str__(self) -> str:
        return f"scores {self.rows}x{self.columns} k={self.k}"

    def inputs(self) -> Tensor:
        return _scores(self.rows, self.columns)

    def contestants(self, threads: int) -> dict[str, Prepare]:
        found: dict[str, Prepare] = {FASTRET: self._fastret}
        if faiss:
            found[FAISS_HEAP] = self._faiss_heap
        found[TORCH] = self._torch
        return found

    def exact_share(self, scores: Tensor, answer: Any) -> float:
        columns = torch.as_tensor(answer[1])[checked_rows(self.rows)]
        return share_of_equal_ids(columns, _expected_columns(self))

    def _fastret(self, scores: Tensor) -> Run:
        return lambda: fastret.select_k(scores, self.k)

    def _torch(self, scores: Tensor) -> Run:
        return lambda: torch.topk(scores, self.k)

    def _faiss_heap(self, scores: Tensor) -> Run:
        values = scores.numpy()

        def run() -> tuple[np.ndarray, np.ndarray]:
            selected = np.empty((self.rows, self.k), np.float32)
            columns = np.empty((self.rows, self.k), np.int64)
            heaps = faiss.float_minheap_array_t()
            heaps.nh, heaps.k = self.rows, self.k
            heaps.val, heaps.ids = faiss.swig_ptr(selected), faiss.swig_ptr(columns)
            heaps.heapify()
            heaps.addn(self.columns, faiss.swig_ptr(values))
            heaps.reorder()
            return selected, columns

        return run


@lru_cache(maxsize=1)
def _scores(rows: int, columns: int) -> Tensor:
    """What a selection after a search sees: inner products of queries with keys [R, C]."""
    keys, queries = embedding_like(columns, rows, dim=64)
    return queries @ keys.T


@lru_cache(maxsize=1)
def _expected_columns(work: SelectWork) -> Tensor:
    return ranking(work.inputs()[checked_rows(work.rows)], work.k, largest=True)


def works(quick: bool, embeddings: Path | None) -> list[SelectWork]:
    if quick:
        return [SelectWork(20, 1000, 10), SelectWork(100, 50, 50)]
    return [
        SelectWork(1000, 100_000, 10),
        SelectWork(1000, 100_000, 100),
        SelectWork(1000, 100_000, 2048),
        SelectWork(100_000, 100, 100),
    ]


@pytest.mark.benchmark(timer=clock)
def test_select_k(entry: Entry, compete: Callable[[Entry], None]) -> None:
    compete(entry)
