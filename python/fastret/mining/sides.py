"""The two sides of a data set, queries and documents, with what embeds them or their embeddings."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..embed.loading import load_encoder
from ..index import FlatIndex
from .options import OP, Similarity
from .pairs import Cell, Pairs
from .sentence_transformer import SentenceTransformerEncoder, is_sentence_transformer
from .sources import Embeddings, Rows, embedded, index_over

if TYPE_CHECKING:
    from ..embed import Encoder


@dataclass(frozen=True)
class GivenSide:
    """Embeddings that are there."""

    embeddings: Rows | FlatIndex
    positions: Tensor  # [n] int64: where among them each query or document is

    def identity(self) -> str:
        """Changes with the embeddings; of an index with its shape and 256 vectors, as it may be larger than memory."""
        if isinstance(self.embeddings, Rows):
            return self.embeddings.sha256()
        index = self.embeddings
        sample = index.reconstruct_batch(index.ids[:: max(1, index.ntotal // 256)]).cpu()
        return hashlib.sha256(f"{index.ntotal} {Rows([sample]).sha256()}".encode()).hexdigest()

    def rows(self, folder: Path | None, batch_size: int, progress: bool | None) -> Rows:
        assert isinstance(self.embeddings, Rows)
        return self.embeddings

    def index(
        self, folder: Path | None, batch_size: int, progress: bool | None, metric: Similarity, device: str
    ) -> FlatIndex:
        if isinstance(self.embeddings, FlatIndex):
            return self.embeddings
        return index_over(self.embeddings, self.positions, metric, device)


@dataclass(frozen=True)
class ModelSide:
    """Cells that a model embeds when their embeddings are asked for."""

    name: str  # beside the progress bar
    cells: Sequence[Cell]
    encoder: Encoder
    prompt: str  # before every text

    @property
    def positions(self) -> Tensor:
        return torch.arange(len(self.cells))

    def identity(self) -> dict[str, Any]:
        return {**self.encoder.describe(), "name": self.encoder.name, "put before": self.prompt}

    def rows(self, folder: Path | None, batch_size: int, progress: bool | None) -> Rows:
        return embedded(
            self.encoder,
            self.cells,
            self.prompt,
            folder,
            batch_size=batch_size,
            progress=progress,
            description=f"embed {self.name}",
        )

    def index(
        self, folder: Path | None, batch_size: int, progress: bool | None, metric: Similarity, device: str
    ) -> FlatIndex:
        return index_over(self.rows(folder, batch_size, progress), self.positions, metric, device)


def query_side(
    pairs: Pairs, given: Embeddings | None, model: Any, prompt: str | None, prompt_name: str | None, pool: Any
) -> GivenSide | ModelSide:
    """Raises ValueError where neither embeddings nor a model are given, or not a row for every row of the data set."""
    if given is None:
        encoder, before = _encoder(model, "query", prompt, prompt_name, pool)
        return ModelSide("queries", pairs.queries, encoder, before)
    if isinstance(given, FlatIndex):
        raise TypeError(f"{OP}: query_embeddings must be an array or a store, got an index")
    rows = Rows.of("query_embeddings", given)
    _check_count("query_embeddings", rows, pairs.rows, "row of the data set")
    return GivenSide(rows, torch.tensor(pairs.query_rows))


def corpus_side(
    pairs: Pairs,
    given: Embeddings | None,
    model: Any,
    prompt: str | None,
    prompt_name: str | None,
    pool: Any,
    metric: Similarity,
) -> GivenSide | ModelSide:
    """Raises ValueError as `query_side` does, and where a document has no row."""
    if given is None:
        encoder, before = _encoder(model, "document", prompt, prompt_name, pool)
        return ModelSide("documents", pairs.corpus, encoder, before)
    positions = torch.tensor(pairs.corpus_rows)
    if pairs.given_corpus and int(positions.max()) >= pairs.given_corpus:
        raise ValueError(
            f"{OP}: with corpus_embeddings the corpus must have every positive, and it lacks that of row "
            f"{int(positions.max()) - pairs.given_corpus}"
        )
    wanted, of = (pairs.given_corpus, "document") if pairs.given_corpus else (pairs.rows, "row of the data set")
    if not isinstance(given, FlatIndex):
        rows = Rows.of("corpus_embeddings", given)
        _check_count("corpus_embeddings", rows, wanted, of)
        return GivenSide(rows, positions)
    _check_count("corpus_embeddings", given, wanted, of)
    if given.metric != metric:
        raise ValueError(f"{OP}: metric must be that of the index, {given.metric!r}, got {metric!r}")
    in_order = torch.arange(wanted)
    if not positions.equal(in_order) or not given.ids.cpu().equal(in_order):
        raise ValueError(f"{OP}: an index needs documents that all differ, under ids 0 ... {wanted - 1}")
    return GivenSide(given, positions)


def _encoder(model: Any, side: Any, prompt: str | None, prompt_name: str | None, pool: Any) -> tuple[Encoder, str]:
    """An encoder of one side, and what is put before its texts."""
    if model is None:
        raise ValueError(f"{OP}: give a model, or query_embeddings and corpus_embeddings")
    if is_sentence_transformer(model):
        return SentenceTransformerEncoder(model, side, prompt, prompt_name, pool), ""
    if isinstance(model, (str, Path)):
        model = load_encoder(model)
    if prompt is None and prompt_name is not None:
        raise ValueError(f"{OP}: prompt names are those of a SentenceTransformer, got {prompt_name!r} for {model.name}")
    return model, prompt or ""


def _check_count(name: str, rows: Rows | FlatIndex, wanted: int, of: str) -> None:
    if len(rows) != wanted:
        raise ValueError(f"{OP}: {name} must have an embedding for each {of}, {wanted}, got {len(rows)}")
