"""Models whose outputs depend on nothing but the text."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from zlib import crc32

import torch
from torch import Tensor
from torch.nn import functional as F

DIM = 8


def vector(text: str) -> Tensor:
    """[DIM]; a number in the text pulls texts with the same number modulo 7 together."""
    number = int(text.rsplit(maxsplit=1)[-1])
    shared = torch.Generator().manual_seed(number % 7)
    own = torch.Generator().manual_seed(sum(text.encode()) * 1000 + number)
    return torch.randn(DIM, generator=shared) + torch.randn(DIM, generator=own)


class FakeSentenceTransformer(torch.nn.Module):
    """What `mine_hard_negatives` asks of a SentenceTransformer."""

    device = torch.device("cpu")
    model_card_data = SimpleNamespace(base_model="fake")
    prompts = {"query": "ask: ", "passage": "read: "}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.embedded: list[str] = []

    def get_embedding_dimension(self) -> int:
        return DIM

    def encode_query(self, texts: list[str], *, prompt: str | None, prompt_name: str | None, **options: Any) -> Any:
        before = prompt if prompt is not None else self.prompts[prompt_name] if prompt_name else ""
        self.embedded += texts
        vectors = torch.stack([vector(before + text) for text in texts])
        if options.get("normalize_embeddings"):
            vectors = F.normalize(vectors)
        return vectors.numpy() if options.get("convert_to_numpy") else vectors

    encode_document = encode_query

    def similarity(self, queries: Any, documents: Any) -> Tensor:
        return F.normalize(torch.as_tensor(queries)) @ F.normalize(torch.as_tensor(documents)).T

    def similarity_pairwise(self, queries: Any, documents: Any) -> Tensor:
        return F.cosine_similarity(torch.as_tensor(queries), torch.as_tensor(documents))


class FakeCrossEncoder:
    """Scores that have little to do with the embeddings'."""

    def predict(self, pairs: list[tuple[str, str]], **_: Any) -> Tensor:
        return torch.tensor([crc32(f"{query} {document}".encode()) / 2**32 for query, document in pairs])


class FakeEncoder:
    """An encoder of `fastret.embed`."""

    name = "fake"
    dim = DIM
    inputs = frozenset({"text", "image"})

    def __init__(self) -> None:
        self.embedded: list[str] = []

    def encode_texts(self, texts: list[str], *, batch_size: int = 32, progress: Any = None) -> Tensor:
        self.embedded += texts
        return torch.stack([vector(text) for text in texts])

    def encode_images(self, images: list[Any], *, batch_size: int = 32, progress: Any = None) -> Tensor:
        return torch.stack([vector(f"image {len(image)}") for image in images])

    def encode_pairs(self, images: Any, texts: Any, *, batch_size: int = 32, progress: Any = None) -> Tensor:
        raise ValueError("no pairs")

    def describe(self) -> dict[str, str]:
        return {"model": self.name}
