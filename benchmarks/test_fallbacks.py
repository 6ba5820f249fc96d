"""search where low precision excludes little: fastret's own choice, and int8 forced, against fastret in float32.

Slower than float32 is allowed there, because the cheap pass comes on top, but not by much: see goals.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pytest
import torch
from torch import Tensor

import fastret

from .adverse_vectors import ADVERSE, adverse_vectors
from .comparisons import FASTRET
from .contest import Prepare, Run, clock
from .exactness import checked_rows, float64_ranking, share_of_equal_ids

if TYPE_CHECKING:
    from .conftest import Entry

Vectors = tuple[Tensor, Tensor]  # queries [Q, D], keys [N, D]

FLOAT32 = "fastret, float32"


@dataclass(frozen=True)
class FallbackWork:
    op: ClassVar[str] = "fallbacks"
    kind: str
    num_queries: int
    num_keys: int
    dim: int
    k: int
    first_pass: Literal["auto", "int8"] = "auto"

    def __str__(self) -> str:
        return f"{self.kind} {self.num_queries}x{self.num_keys}x{self.dim} ip k={self.k} {self.first_pass}"

    def inputs(self) -> Vectors:
        return adverse_vectors(self.kind, self.num_queries, self.num_keys, self.dim)

    def contestants(self, threads: int) -> dict[str, Prepare]:
        return {
            FASTRET: partial(self._search, first_pass=self.first_pass),
            FLOAT32: partial(self._search, first_pass="float32"),
        }

    def exact_share(self, vectors: Vectors, answer: Any) -> float:
        ids = torch.as_tensor(answer[1])[checked_rows(self.num_queries)]
        return share_of_equal_ids(ids, _expected_ids(replace(self, first_pass="auto")))

    def _search(self, vectors: Vectors, first_pass: Literal["auto", "int8", "float32"]) -> Run:
        queries, keys = vectors
        packed = fastret.pack(keys, first_pass=first_pass)
        return lambda: fastret.search(queries, packed, self.k)


@lru_cache(maxsize=1)
def _expected_ids(work: FallbackWork) -> Tensor:
    queries, keys = work.inputs()
    return float64_ranking(queries[checked_rows(work.num_queries)], keys, work.k, "ip")


def works(quick: bool, embeddings: Path | None) -> list[FallbackWork]:
    num_queries, num_keys, dim = (20, 1000, 32) if quick else (500, 30_000, 384)
    many_of, near_all = (500, 490) if quick else (4000, 3990)
    return [
        FallbackWork(kind, num_queries, *((many_of, dim, near_all) if kind == "k near N" else (num_keys, dim, 10)), way)
        for kind in ADVERSE
        for way in ("auto", "int8")
    ]


@pytest.mark.benchmark(timer=clock)
def test_fallbacks(entry: Entry, compete: Callable[[Entry], None]) -> None:
    compete(entry)
