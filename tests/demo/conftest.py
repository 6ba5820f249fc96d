from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from fastret.demo.emoji import Emoji, families, read_emoji
from fastret.demo.encoders import DemoEncoders
from fastret.embed.batching import Progress, encode_batches


class HashedWords:
    """A text's embedding is the sum of a fixed random vector per word: it retrieves by shared words alone."""

    inputs = frozenset({"text"})

    def __init__(self, name: str, dim: int = 24) -> None:
        self.name, self.dim, self.encoded = name, dim, 0

    def encode_texts(self, texts: Sequence[str], *, batch_size: int = 32, progress: Progress = None) -> Tensor:
        self.encoded += len(texts)

        def encode(batch: list[str]) -> Tensor:
            return torch.stack([sum(map(self._word, text.lower().split()), torch.zeros(self.dim)) for text in batch])

        return encode_batches(
            texts, encode, dim=self.dim, sizes=[0] * len(texts), batch_size=batch_size, progress=progress
        )

    def _word(self, word: str) -> Tensor:
        seed = int.from_bytes(hashlib.sha256(f"{self.name} {word}".encode()).digest()[:4], "big")
        return torch.randn(self.dim, generator=torch.Generator().manual_seed(seed))

    def encode_images(self, images: Sequence[object], *, batch_size: int = 32, progress: Progress = None) -> Tensor:
        raise ValueError("texts only")

    def encode_pairs(
        self, images: Sequence[object], texts: Sequence[str], *, batch_size: int = 32, progress: Progress = None
    ) -> Tensor:
        raise ValueError("texts only")

    def describe(self) -> dict[str, str]:
        return {"model": self.name}


class SmallPixels(HashedWords):
    """An image's embedding is the image itself, 6 x 6 pixels small."""

    inputs = frozenset({"image"})

    def __init__(self) -> None:
        super().__init__("pixels", dim=108)

    def encode_images(self, images: Sequence[object], *, batch_size: int = 32, progress: Progress = None) -> Tensor:
        self.encoded += len(images)

        def encode(batch: list[object]) -> Tensor:
            small = [np.asarray(image.resize((6, 6), Image.Resampling.BOX)) for image in batch]  # type: ignore[attr-defined]
            return torch.from_numpy(np.stack(small)).flatten(1).float() / 255

        return encode_batches(
            images, encode, dim=self.dim, sizes=[0] * len(images), batch_size=batch_size, progress=progress
        )


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """The tests' tensors are so small that threads wait for each other longer than they work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def make_encoders() -> Callable[[], DemoEncoders]:
    return lambda: DemoEncoders(
        retriever=HashedWords("retriever"),
        generator_mean=HashedWords("generator mean"),
        generator_last=HashedWords("generator last"),
        images=SmallPixels(),
    )


@pytest.fixture(scope="session")
def few_emoji() -> list[Emoji]:
    """60 whole concepts, 20 of them with near-duplicates, and some flags that the demo has to leave out."""
    emoji = read_emoji()
    by_base = families(emoji)
    alone = [members for members in by_base.values() if len(members) == 1 and members[0].group != "flags"]
    with_duplicates = [members for members in by_base.values() if 1 < len(members) <= 12]
    flags = [members for members in by_base.values() if members[0].group == "flags"]
    return [one for members in [*alone[::30][:40], *with_duplicates[:20], *flags[:3]] for one in members]
