"""What checks are, and what they compare with what."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from same_bits import assert_same_bits
from torch import Tensor

METRICS = ("ip", "cosine", "l2")
DTYPES = (torch.float32, torch.bfloat16, torch.float16)

Check = Callable[[], None]  # raises where something is wrong
Checks = Iterator[tuple[str, Check]]
Answer = tuple[Tensor, ...]
Options = Mapping[str, Any]  # tensors and numbers by the names of arguments

# Up to so many products of a float64 definition, which holds 16 numbers for each pair, everything is compared with it.
DEFINED_UP_TO = 1 << 22


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def same(got: Answer, want: Answer, against: str) -> None:
    for number, (one, other) in enumerate(zip(got, want, strict=True)):
        assert_same_bits(one.cpu(), other.cpu(), f"against {against}, output {number}")


def moved(options: Options, device: torch.device) -> dict[str, Any]:
    return {name: value.to(device) if isinstance(value, Tensor) else value for name, value in options.items()}


def on_gpu(device: torch.device, size: int, rehearsed: int) -> int:
    """`size`, or the smaller one where the CPU plays the device."""
    return size if device.type == "cuda" else rehearsed
