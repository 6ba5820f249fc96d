"""Every kernel once or twice, small enough for compute-sanitizer. Exits with 1 if a result is wrong.

compute-sanitizer --tool racecheck python -m benchmarks.gpu.tiny_shapes
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor

import fastret

METRICS = ("ip", "cosine", "l2")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    device = torch.device(parser.parse_args().device)
    g = torch.Generator().manual_seed(0)
    queries = torch.randint(-2, 3, (18, 70), generator=g).float()
    keys = torch.randint(-2, 3, (100, 70), generator=g).float()
    values = torch.randint(-50, 50, (2, 5000), generator=g).float()
    # The second chunk of keys, a merge by radix selection, and the sort through global memory.
    long_queries, long_keys = queries[:2, :1].contiguous(), torch.randint(-9, 9, (8300, 1), generator=g).float()

    def both(op, *tensors, **arguments):  # type: ignore[no-untyped-def]
        there = {name: value.to(device) if isinstance(value, Tensor) else value for name, value in arguments.items()}
        for got, want in zip(op(*(t.to(device) for t in tensors), **there), op(*tensors, **arguments), strict=True):
            assert torch.equal(got.cpu(), want)

    for metric in METRICS:
        both(fastret.search, queries, keys, k=9, metric=metric)
        both(lambda q, x, metric: (fastret.cosine_scores(q, x, metric),), queries, keys, metric=metric)
    both(fastret.search, long_queries, long_keys, k=3)
    both(fastret.search, long_queries, long_keys, k=2100)
    allowed, excluded = torch.rand(100, generator=g) < 0.5, torch.randint(-1, 100, (18, 40), generator=g)
    both(fastret.search, queries, keys, k=9, allowed=allowed, excluded=excluded)
    both(fastret.search, queries, keys, k=9, metric="l2", allowed=torch.zeros_like(allowed))
    both(fastret.select_k, values, k=40)
    both(fastret.select_k, values, k=2500)


if __name__ == "__main__":
    main()
