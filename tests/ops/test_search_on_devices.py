"""Searches by the kernels of a device, on the CPU in its place."""

from __future__ import annotations

import sys

import pytest
import torch

import fastret
from fastret.ops.search_arguments import search_arguments

SEARCH = sys.modules["fastret.ops.search"]  # whose function has its name in fastret.ops


@pytest.mark.parametrize("metric", ["ip", "cosine", "l2"])
def test_more_keys_than_a_kernel_counts_are_searched_in_blocks(metric: str, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(3)
    queries = torch.randint(-2, 3, (5, 3), generator=generator).float()
    keys = torch.randint(-2, 3, (100, 3), generator=generator).float()
    allowed = torch.rand(100, generator=generator) < 0.7
    excluded = torch.randint(-1, 100, (5, 9), generator=generator)
    monkeypatch.setattr(SEARCH, "MOST_KEYS", 34)  # blocks of 33, the last with 1
    arguments = search_arguments("search", queries, keys, metric, "auto", allowed, excluded)
    found = SEARCH.device_search(arguments, 12)
    wanted = fastret.search(queries, keys, 12, metric, allowed=allowed, excluded=excluded)
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
