"""mine_hard_negatives: labels, a positive and a margin per query, against a plain search and against torch.

The search is of the same keys and k, and answers an easier question: the ratio tells what the limits cost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

import fastret

from .comparisons import FASTRET
from .contest import Prepare, Run, clock
from .exactness import checked_rows, float64_scores, ranking, share_of_equal_ids
from .peers import TORCH
from .vectors import embedding_like

if TYPE_CHECKING:
    from .conftest import Entry

FASTRET_SEARCH = "fastret, search"
KEYS_PER_LABEL = 20
RELATIVE_MARGIN = 0.05  # NV-Retriever's


class Pairs(NamedTuple):
    queries: Tensor  # [Q, D]
    keys: Tensor  # [N, D]
    positives: Tensor  # [Q]
    query_labels: Tensor  # [Q], those of the positives
    key_labels: Tensor  # [N]


@dataclass(frozen=True)
class MiningWork:
    op: ClassVar[str] = "mine_hard_negatives"
    family: str
    num_queries: int
    num_keys: int
    dim: int
    k: int
    packed: bool  # whether fastret's keys are packed before, for mining and search alike

    def __str__(self) -> str:
        packed = "" if self.packed else " packing timed"
        return f"{self.family} {self.num_queries}x{self.num_keys}x{self.dim} ip k={self.k}{packed}"

    def inputs(self) -> Pairs:
        return _pairs(self.family, self.num_queries, self.num_keys, self.dim)

    def contestants(self, threads: int) -> dict[str, Prepare]:
        return {FASTRET: self._mine, FASTRET_SEARCH: self._search, TORCH: self._torch}

    def exact_share(self, pairs: Pairs, answer: Any) -> float:
        asked_for_negatives, (_, ids) = answer
        expected = _expected_negatives(self) if asked_for_negatives else _expected_neighbours(self)
        return share_of_equal_ids(ids[checked_rows(self.num_queries)], expected)

    def _mine(self, pairs: Pairs) -> Run:
        keys = fastret.pack(pairs.keys) if self.packed else pairs.keys
        labels = {"query_labels": pairs.query_labels, "key_labels": pairs.key_labels}

        def mine() -> tuple[bool, Any]:
            limits = {"relative_margin": RELATIVE_MARGIN, **labels}
            return True, fastret.mine_hard_negatives(pairs.queries, keys, self.k, pairs.positives, "ip", **limits)

        return mine

    def _search(self, pairs: Pairs) -> Run:
        keys = fastret.pack(pairs.keys) if self.packed else pairs.keys
        return lambda: (False, fastret.search(pairs.queries, keys, self.k, "ip"))

    def _torch(self, pairs: Pairs) -> Run:
        def mine() -> tuple[bool, Any]:
            scores = pairs.queries @ pairs.keys.T
            return True, torch.topk(without_forbidden(scores, pairs), self.k)

        return mine


def without_forbidden(scores: Tensor, pairs: Pairs) -> Tensor:
    """`scores` [Q, N], overwritten: -inf where a key is no negative of the query."""
    own = scores.gather(1, pairs.positives[:, None])
    forbidden = scores > own - RELATIVE_MARGIN * own.abs()
    forbidden |= pairs.query_labels[:, None] == pairs.key_labels
    forbidden.scatter_(1, pairs.positives[:, None], True)
    return scores.masked_fill_(forbidden, -torch.inf)


@lru_cache(maxsize=1)
def _pairs(family: str, num_queries: int, num_keys: int, dim: int) -> Pairs:
    keys, queries = embedding_like(num_keys, num_queries, dim, family)
    generator = torch.Generator().manual_seed(1)
    positives = torch.randint(num_keys, (num_queries,), generator=generator)
    key_labels = torch.randperm(num_keys, generator=generator) // KEYS_PER_LABEL
    # As after some training: every query lies near its positive.
    return Pairs(normalize(queries + keys[positives]), keys, positives, key_labels[positives], key_labels)


def _checked(work: MiningWork) -> Pairs:
    pairs, rows = work.inputs(), checked_rows(work.num_queries)
    return pairs._replace(
        queries=pairs.queries[rows], positives=pairs.positives[rows], query_labels=pairs.query_labels[rows]
    )


@lru_cache(maxsize=1)
def _expected_negatives(work: MiningWork) -> Tensor:
    pairs = _checked(work)
    scores = float64_scores(pairs.queries, pairs.keys, "ip").float().double()
    return ranking(without_forbidden(scores, pairs), work.k, largest=True)


@lru_cache(maxsize=1)
def _expected_neighbours(work: MiningWork) -> Tensor:
    pairs = _checked(work)
    return ranking(float64_scores(pairs.queries, pairs.keys, "ip"), work.k, largest=True)


def works(quick: bool, embeddings: Path | None) -> list[MiningWork]:
    if quick:
        return [MiningWork("text", 40, 2000, 32, 5, packed) for packed in (True, False)]
    return [
        MiningWork("text", 1000, 100_000, 512, 10, packed=True),
        MiningWork("text", 1000, 100_000, 512, 100, packed=True),
        MiningWork("clip", 5000, 5000, 512, 16, packed=False),
    ]


@pytest.mark.benchmark(timer=clock)
def test_mine_hard_negatives(entry: Entry, compete: Callable[[Entry], None]) -> None:
    compete(entry)
