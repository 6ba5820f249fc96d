"""Every kernel once or twice, small enough for compute-sanitizer. Exits with 1 if a result is wrong.

compute-sanitizer --tool racecheck python -m benchmarks.gpu.tiny_shapes
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

import fastret
from fastret.ops import unit_rows

from .search_kernels import BOTH, has_hopper_kernel, search_kernel

METRICS = ("ip", "cosine", "l2")


class Asked:
    """A device that is asked what the CPU knows."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def both(self, op: Callable[..., tuple[Tensor, ...]], *arguments: Any, **options: Any) -> None:
        for got, want in zip(
            op(*map(self._there, arguments), **{name: self._there(value) for name, value in options.items()}),
            op(*arguments, **options),
            strict=True,
        ):
            assert torch.equal(got.cpu(), want), f"{op} is wrong"

    def _there(self, value: Any) -> Any:
        return value.to(self._device) if isinstance(value, Tensor) else value


def search_of_planes(queries: Tensor, keys: Tensor, k: int, metric: str) -> tuple[Tensor, ...]:
    found: tuple[Tensor, ...] = fastret.search(queries, fastret.pack(keys, metric=metric), k, metric)
    return found


def searches(asked: Asked, g: torch.Generator) -> None:
    queries = torch.randint(-2, 3, (18, 70), generator=g).float()
    keys = torch.randint(-2, 3, (300, 70), generator=g).float()
    for metric in METRICS:
        asked.both(fastret.search, queries, keys, k=9, metric=metric)
        asked.both(search_of_planes, queries, keys, 9, metric)
    # More keys than a buffer holds, which bfloat16 does not tell apart: finer scans, and queries without any.
    many = 1 + torch.randint(-2, 3, (2600, 16), generator=g) * 2.0**-12
    asked.both(fastret.search, queries[:2, :16].contiguous(), many, k=3)
    # So large a k that no scan pays, and the sort through global memory.
    asked.both(fastret.search, queries[:2, :16].contiguous(), many, k=2100)
    allowed, excluded = torch.rand(300, generator=g) < 0.5, torch.randint(-1, 300, (18, 40), generator=g)
    asked.both(fastret.search, queries, keys, k=9, allowed=allowed, excluded=excluded)
    asked.both(fastret.search, queries, keys, k=9, metric="l2", allowed=torch.zeros_like(allowed))
    labels = {"query_labels": torch.arange(18) % 3, "key_labels": torch.arange(300) % 3}
    positives = torch.randint(-1, 300, (18, 2), generator=g)
    asked.both(fastret.mine_hard_negatives, queries, keys, 7, positives, absolute_margin=2.0, range_min=1, **labels)


def selections(asked: Asked, g: torch.Generator) -> None:
    for columns, k in ((100, 9), (3000, 40), (3000, 2500), (9000, 40), (9000, 9000)):
        values = torch.randint(-50, 50, (2, columns), generator=g).float()
        asked.both(fastret.select_k, values, k)


def scores(asked: Asked, g: torch.Generator) -> None:
    queries, keys = (torch.randint(-2, 3, (rows, 40), generator=g).float() for rows in (18, 50))
    for metric in METRICS:
        asked.both(lambda q, x, metric=metric: (fastret.cosine_scores(q, x, metric),), queries, keys)

    def with_gradients(rows: Tensor, weights: Tensor) -> tuple[Tensor, ...]:
        """Ones and zeros, whose norms and gradients round nowhere."""
        leaf = rows.clone().requires_grad_()
        units = unit_rows(leaf)
        return units.detach(), *torch.autograd.grad(units, leaf, weights)

    for dim in (5, 40, 1100, 8200):
        rows = torch.zeros(3, dim)
        rows[:, -4:], weights = 1.0, torch.randint(-2, 3, (3, dim), generator=g).float()
        asked.both(with_gradients, rows, weights)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    asked = Asked(torch.device(parser.parse_args().device))
    g = torch.Generator().manual_seed(0)
    for name in BOTH if has_hopper_kernel() else (None,):
        with search_kernel(name) if name else nullcontext():
            searches(asked, g)
    selections(asked, g)
    scores(asked, g)


if __name__ == "__main__":
    main()
