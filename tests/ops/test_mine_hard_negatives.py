"""mine_hard_negatives equals its definition, whatever bounds and filters it is given."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hard_vectors import DTYPES, FAMILIES, METRICS, Family, few_distinct_scores, normal
from same_bits import assert_same_bits, check_everywhere, every_way
from torch import Generator, Tensor

import fastret
from fastret.ops import reference


def check_mining(
    queries: Tensor, keys: Tensor, k: int, positives: Tensor | None, metric: str, **limits: Any
) -> tuple[Tensor, Tensor]:
    """Mining equals its definition in every way and under every setting. Returns the scores and ids."""
    own = positives[:, None] if positives is not None and positives.dim() == 1 else positives
    want = reference.mine_hard_negatives(queries, keys, k, own, metric, **limits)

    def mine_in_every_way() -> tuple[Tensor, ...]:
        for way, arguments in every_way(keys, metric):
            got = fastret.mine_hard_negatives(
                queries, k=k, positives=positives, metric=metric, **arguments, **limits
            )
            for name, part, wanted in zip(("scores", "ids"), got, want, strict=True):
                assert_same_bits(part, wanted, f"{fastret._C.get_isa()}, {way}: {name}")
        return got

    check_everywhere(mine_in_every_way, want, (queries, keys))
    return want


def random_positives(num_queries: int, num_keys: int, count: int, g: Generator) -> Tensor:
    return torch.randint(-1, num_keys, (num_queries, count), generator=g)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("num_queries", [2, 15])
@pytest.mark.parametrize("family", FAMILIES)
def test_hard_vectors(family: Family, num_queries: int, metric: str, generator: Generator) -> None:
    queries, keys = family(num_queries, 400, 35, generator)
    positives = random_positives(num_queries, 400, 3, generator)
    labels = {
        "query_labels": torch.randint(5, (num_queries,), generator=generator),
        "key_labels": torch.randint(5, (400,), generator=generator),
    }
    check_mining(queries, keys, 10, positives, metric, absolute_margin=0.01, relative_margin=0.05, **labels)
