"""Batches of like-sized items: little padding, the longest first, the results back in the caller's order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, TypeVar

import torch
from torch import Tensor
from tqdm import tqdm

Item = TypeVar("Item")

Progress = bool | Callable[[int], object] | None
"""None shows a bar where stderr is a terminal, True always, False never; a callable is told how many items are done."""


def encode_batches(
    items: Sequence[Item],
    encode: Callable[[list[Item]], Tensor],  # a batch of B items -> [B, dim]
    *,
    dim: int,
    sizes: Sequence[Any],
    batch_size: int,
    progress: Progress = None,
) -> Tensor:
    """Encode every item; [N, dim] float32 on the CPU, row i for item i.

    `sizes` order the items, largest first: what does not fit in memory fails at once and not after an hour.
    Raises ValueError where batch_size is not a positive integer.
    """
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"encode: batch_size must be a positive integer, got {batch_size!r}")
    order = sorted(range(len(items)), key=lambda i: sizes[i], reverse=True)
    embeddings = torch.empty(len(items), dim, dtype=torch.float32)
    bar: Any = nullcontext() if callable(progress) else progress_bar(len(items), progress)
    with bar as shown:
        advance = progress if callable(progress) else shown.update
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            embeddings[chosen] = encode([items[i] for i in chosen]).to("cpu", torch.float32)
            advance(len(chosen))
    return embeddings


def progress_bar(total: int, progress: bool | None, *, done: int = 0, description: str = "embed") -> Any:
    """A tqdm bar on stderr; with `progress=None` it vanishes where stderr is not a terminal."""
    return tqdm(
        total=total, initial=done, unit="item", desc=description, disable=None if progress is None else not progress
    )


def check_texts(texts: Sequence[str]) -> list[str]:
    """Raise TypeError or ValueError with the position of the first text that is no string, or blank."""
    if isinstance(texts, str):
        raise TypeError("encode_texts: texts must be a sequence of strings, got one string")
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"encode_texts: texts must be strings, got {type(text).__name__} at position {position}")
        if not text.strip():
            raise ValueError(f"encode_texts: the text at position {position} is empty")
    return list(texts)
