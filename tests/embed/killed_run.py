"""Run as a script: writes a store with a model that computes a vector from each text, and dies where it is told to.

Arguments: the store's folder, and one of
    whole                   never dies
    batch:N                 ends the process in batch N, in the middle of a shard
    flush:N                 ends it in the N-th write to disk, after the content and before the file has its name
    disk:BYTES              no file may grow beyond so many bytes, as on a full disk; prints the error
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from fastret.embed.batching import Progress, encode_batches
from fastret.embed.store import write_store

DIM = 5
ROWS = 50
SHARD_ROWS = 16
IDS = [f"item {row}" for row in range(ROWS)]
TEXTS = ["x" * (1 + row * 7 % 23) + str(row) for row in range(ROWS)]


class HashingEncoder:
    """An Encoder whose vectors depend on nothing but the text."""

    name = "hashing"
    dim = DIM
    inputs = frozenset({"text", "image", "pair"})

    def __init__(self, before_batch: Callable[[], None] = lambda: None, prompt: str = "") -> None:
        self.before_batch = before_batch
        self.prompt = prompt

    def encode_texts(self, texts: Sequence[str], *, batch_size: int = 4, progress: Progress = None) -> Tensor:
        sizes = [len(text) for text in texts]
        return encode_batches(texts, self._encode, dim=DIM, sizes=sizes, batch_size=batch_size, progress=progress)

    def encode_images(self, images: Sequence[object], *, batch_size: int = 4, progress: Progress = None) -> Tensor:
        return -torch.ones(len(images), DIM)

    def encode_pairs(
        self, images: Sequence[object], texts: Sequence[str], *, batch_size: int = 4, progress: Progress = None
    ) -> Tensor:
        return torch.zeros(len(images), DIM)

    def describe(self) -> dict[str, str]:
        return {"model": self.name, "revision": "1", "pooling": "mean", "prompt": self.prompt, "dtype": "float32"}

    def _encode(self, texts: list[str]) -> Tensor:
        self.before_batch()
        generators = [torch.Generator().manual_seed(sum(text.encode())) for text in texts]
        return torch.stack([torch.randn(DIM, generator=generator) for generator in generators])


def countdown(steps: int) -> Callable[..., None]:
    """A function that ends the process, as a kill does, when it is called for the `steps`-th time."""
    left = [steps]

    def step(*_: object) -> None:
        left[0] -= 1
        if left[0] == 0:
            os._exit(9)

    return step


def main(store: Path, way: str) -> None:
    kind, _, amount = way.partition(":")
    encoder = HashingEncoder()
    if kind == "batch":
        encoder.before_batch = countdown(int(amount))
    elif kind == "flush":
        # Each file is flushed, gets its name, and then its folder is flushed.
        os.fsync = countdown(2 * int(amount) - 1)  # type: ignore[assignment]
    elif kind == "disk":
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(amount), int(amount)))
    try:
        write_store(store, encoder, IDS, texts=TEXTS, batch_size=4, shard_rows=SHARD_ROWS, progress=False)
    except OSError as error:
        print(error)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
