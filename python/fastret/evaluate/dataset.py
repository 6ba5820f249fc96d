"""Collections of items, and a retrieval data set: queries, candidates and graded relevance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from torch import Tensor

from fastret.embed.mixed_rows import kind_of

from .tasks import parse_task

if TYPE_CHECKING:
    from PIL.Image import Image

# A file, an encoded file in memory (parquet), or a decoded image.
ImageSource: TypeAlias = "Path | bytes | Image"
Qrels: TypeAlias = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True)
class Collection:
    """Items in order. An item has a text, an image or both; neither, where the embeddings are given.

    Raises ValueError unless the three lists are of one length and the ids are distinct.
    """

    ids: Sequence[str]
    texts: Sequence[str | None]
    images: Sequence[ImageSource | None]

    def __post_init__(self) -> None:
        if not len(self.ids) == len(self.texts) == len(self.images):
            raise ValueError(
                "Collection: ids, texts and images must be of one length, "
                f"got {len(self.ids)}, {len(self.texts)} and {len(self.images)}"
            )
        repeated = first_repeated(self.ids)
        if repeated is not None:
            raise ValueError(f"Collection: ids must be distinct, got {repeated!r} twice")

    def __len__(self) -> int:
        return len(self.ids)

    def kinds(self) -> list[str]:
        """What each item carries: "text", "image", "pair" or "" (nothing)."""
        return [kind_of(text, image) for text, image in zip(self.texts, self.images, strict=True)]


@dataclass(frozen=True)
class Dataset:
    """Queries, candidates and which candidates answer which query.

    `qrels[query_id][candidate_id]` is a grade: above 0 relevant, otherwise judged and not relevant.
    `exclude_self` takes the candidate with the query's own id out of that query's ranking.
    `skipped` counts by reason the records that a reader left out. `embeddings` holds the vectors of queries
    [Q, D] and candidates [N, D] where the data are plain embeddings.

    Raises ValueError for a task that is none and for a qrel with an unknown id.
    """

    name: str
    task: str
    queries: Collection
    candidates: Collection
    qrels: Qrels
    exclude_self: bool = False
    skipped: Mapping[str, int] = field(default_factory=dict)
    embeddings: tuple[Tensor, Tensor] | None = None

    def __post_init__(self) -> None:
        if self.embeddings is None:
            parse_task(self.task)
        query_ids, candidate_ids = set(self.queries.ids), set(self.candidates.ids)
        for query_id, judged in self.qrels.items():
            if query_id not in query_ids:
                raise ValueError(f"Dataset: qrels must name known ids, got the query {query_id!r}")
            if not judged.keys() <= candidate_ids:
                unknown = min(judged.keys() - candidate_ids)
                raise ValueError(
                    f"Dataset: qrels must name known ids, got the candidate {unknown!r} of query {query_id!r}"
                )


@dataclass(frozen=True)
class Judgements:
    """The queries that have a relevant candidate, in order, and where those candidates are."""

    query_rows: np.ndarray  # [J] int64, positions in the queries
    relevant: list[np.ndarray]  # J arrays [R] int64, positions in the candidates
    grades: list[np.ndarray]  # J arrays [R] float64, above 0
    excluded: np.ndarray  # [J] int64, position of the candidate that is the query itself, or -1


def judgements(dataset: Dataset) -> Judgements:
    """The relevant candidates of every query that has one. Raises ValueError where no query has one."""
    position = {id_: row for row, id_ in enumerate(dataset.candidates.ids)}
    rows, relevant, grades, excluded = [], [], [], []
    for row, query_id in enumerate(dataset.queries.ids):
        itself = query_id if dataset.exclude_self else None
        graded = [
            (position[id_], grade)
            for id_, grade in dataset.qrels.get(query_id, {}).items()
            if grade > 0 and id_ != itself
        ]
        if graded:
            rows.append(row)
            relevant.append(np.array([p for p, _ in graded], dtype=np.int64))
            grades.append(np.array([g for _, g in graded], dtype=np.float64))
            excluded.append(position.get(query_id, -1) if dataset.exclude_self else -1)
    if not rows:
        raise ValueError(
            f"evaluate: at least one query must have a relevant candidate, got none among "
            f"{len(dataset.queries)} queries of {dataset.name} ({dataset.task})"
        )
    return Judgements(np.array(rows, dtype=np.int64), relevant, grades, np.array(excluded, dtype=np.int64))


def first_repeated(ids: Sequence[str]) -> str | None:
    seen: set[str] = set()
    for id_ in ids:
        if id_ in seen:
            return id_
        seen.add(id_)
    return None
