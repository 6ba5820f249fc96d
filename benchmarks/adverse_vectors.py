"""Vectors on which a low-precision first pass excludes little, so that a certified search has to fall back."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial

import torch
from torch import Tensor
from torch.nn.functional import normalize

from .vectors import embedding_like

COPY_NOISE = 1e-4  # of the norm; int8 codes lie some fifty times as far from what they stand for


def _near_duplicates(
    keys: Tensor, queries: Tensor, generator: torch.Generator, num_originals: int
) -> tuple[Tensor, Tensor]:
    """All keys are near-copies of a few, closer to each other than int8 can tell: each query keeps all of one's."""
    copied = keys[torch.randint(num_originals, (len(keys),), generator=generator)]
    return normalize(copied + COPY_NOISE * normalize(torch.randn(copied.shape, generator=generator))), queries


def _all_equal(keys: Tensor, queries: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """One key, again and again: every score is the k-th best, and the smallest ids win."""
    return keys[:1].repeat(len(keys), 1), queries


def _score_sorted(keys: Tensor, queries: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The keys ascend by their score with queries that agree: a threshold rises with every block, and stops nothing."""
    agreeing = normalize(queries[:1] + 0.05 * normalize(torch.randn(queries.shape, generator=generator)))
    return keys[(keys @ queries[0]).argsort()], agreeing


def _one_query(keys: Tensor, queries: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """One query, again and again: all survivors lie in the same blocks."""
    return keys, queries[:1].repeat(len(queries), 1)


def _as_they_are(keys: Tensor, queries: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    return keys, queries


ADVERSE: dict[str, Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]] = {
    "near-duplicates of 20 keys": partial(_near_duplicates, num_originals=20),
    "near-duplicates of 2 keys": partial(_near_duplicates, num_originals=2),
    "all-equal keys": _all_equal,
    "score-sorted keys": _score_sorted,
    "one query repeated": _one_query,
    "k near N": _as_they_are,
}


@lru_cache(maxsize=1)
def adverse_vectors(kind: str, num_queries: int, num_keys: int, dim: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Queries [Q, D] and keys [N, D] of a kind of ADVERSE, the same for the same arguments."""
    keys, queries = embedding_like(num_keys, num_queries, dim, "text", seed)
    keys, queries = ADVERSE[kind](keys, queries, torch.Generator().manual_seed(seed))
    return queries, keys
