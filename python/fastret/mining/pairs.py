"""Pairs of a query and a positive, each query and each document told once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from ..embed.fingerprint import inputs_sha256
from .options import OP

if TYPE_CHECKING:
    from ..embed.images import ImageInput

Cell: TypeAlias = "str | ImageInput"
"""A text (str), or an image: PIL image, `Path` of a file, or the bytes of one."""


@dataclass(frozen=True)
class Pairs:
    """Q distinct queries and N distinct documents, each in the order in which it first stood."""

    anchor_column_name: str
    positive_column_name: str
    queries: list[Cell]
    corpus: list[Cell]
    positives: list[list[int]]  # per query, distinct positions in the corpus
    query_rows: list[int]  # where the data set first has each query
    corpus_rows: list[int]  # where each document first stands: in the corpus that was given, or behind it the positives
    rows: int  # of the data set
    given_corpus: int  # the length of that corpus; 0: there was none
    max_positives: int  # the most rows of one query, repeated ones too

    def sha256(self) -> str:
        """Of the content and its order."""
        parts = [
            self.anchor_column_name,
            self.positive_column_name,
            inputs_sha256(*texts_and_images(self.queries)),
            inputs_sha256(*texts_and_images(self.corpus)),
            self.positives,
        ]
        return sha256(json.dumps(parts).encode()).hexdigest()

    def own_documents(self) -> list[int]:
        """Per query, where the corpus has it as a document; -1: nowhere."""
        places = {_key(cell): place for place, cell in enumerate(self.corpus)}
        return [places.get(_key(query), -1) for query in self.queries]


def read_pairs(
    dataset: Any, anchor_column_name: str | None, positive_column_name: str | None, corpus: Sequence[Any] | None
) -> Pairs:
    """The pairs of a data set: rows of one query are its positives, as in sentence-transformers.

    dataset: a `datasets.Dataset` or a mapping from column names to equally long sequences; by default the first
        column has the queries and the second the positives.
    Raises ValueError for columns that are none and, naming the row, for an empty cell; TypeError for one that is
    neither text nor image.
    """
    columns = list(dataset.column_names if hasattr(dataset, "column_names") else dataset)
    if len(columns) < 2:
        raise ValueError(f"{OP}: dataset must have a column of queries and one of positives, got {columns}")
    anchor_name = _column(columns, "anchor_column_name", anchor_column_name, columns[0])
    positive_name = _column(columns, "positive_column_name", positive_column_name, columns[1])
    if anchor_name == positive_name:
        raise ValueError(f"{OP}: queries and positives must be two columns, got {anchor_name!r} for both")
    anchors = _cells(_values(dataset, anchor_name), anchor_name)
    positives = _cells(_values(dataset, positive_name), positive_name)
    if len(anchors) != len(positives):
        raise ValueError(f"{OP}: columns must be equally long, got {len(anchors)} and {len(positives)}")
    if not anchors:
        raise ValueError(f"{OP}: dataset must have at least one row, got none")
    given = [] if corpus is None else _cells(corpus, "corpus")
    documents = [*given, *positives]
    query_numbers, query_rows = _distinct(anchors)
    document_numbers, corpus_rows = _distinct(documents)
    positives_of: list[dict[int, None]] = [{} for _ in query_rows]
    for query, document in zip(query_numbers, document_numbers[len(given) :], strict=True):
        positives_of[query][document] = None
    return Pairs(
        anchor_name,
        positive_name,
        [anchors[row] for row in query_rows],
        [documents[row] for row in corpus_rows],
        [list(own) for own in positives_of],
        query_rows,
        corpus_rows,
        len(anchors),
        len(given),
        max(Counter(query_numbers).values()),
    )


def texts_and_images(cells: Sequence[Cell], prompt: str = "") -> tuple[list[str | None], list[ImageInput | None]]:
    """As an embedding store takes them, the prompt before every text."""
    texts = [prompt + cell if isinstance(cell, str) else None for cell in cells]
    return texts, [None if isinstance(cell, str) else cell for cell in cells]


def _column(columns: list[str], argument: str, name: str | None, default: str) -> str:
    if name is not None and name not in columns:
        raise ValueError(f"{OP}: {argument} must be one of {', '.join(columns)}, got {name!r}")
    return name or default


def _values(dataset: Any, column: str) -> Iterable[Any]:
    """The cells of a column; images of `datasets` as their files, which take less memory than their pixels."""
    feature: Any = getattr(dataset, "features", {}).get(column)
    if getattr(feature, "decode", False):
        dataset = dataset.cast_column(column, type(feature)(decode=False))
    return dataset[column]  # type: ignore[no-any-return]


def _cells(values: Iterable[Any], name: str) -> list[Cell]:
    return [_cell(value, f"row {row} of {name!r}") for row, value in enumerate(values)]


def _cell(value: Any, place: str) -> Cell:
    if isinstance(value, Mapping) and value.keys() <= {"bytes", "path"}:  # an image of `datasets`, not decoded
        path = value.get("path")
        value = value.get("bytes") or (path and Path(path))
    if isinstance(value, str):
        if not value.strip():
            raise ValueError(f"{OP}: {place} is an empty text")
        return value
    if isinstance(value, (bytes, Path)):
        return value
    if hasattr(value, "getexif"):  # PIL, which texts do without
        return value  # type: ignore[no-any-return]
    raise TypeError(f"{OP}: {place} must be a text or an image, got {type(value).__name__}")


def _distinct(cells: Sequence[Cell]) -> tuple[list[int], list[int]]:
    """The number of each cell among the distinct ones, and the row where each of those first stands."""
    numbers: dict[Any, int] = {}
    rows: list[int] = []
    numbered = []
    for row, cell in enumerate(cells):
        number = numbers.setdefault(_key(cell), len(numbers))
        if number == len(rows):
            rows.append(row)
        numbered.append(number)
    return numbered, rows


def _key(cell: Cell) -> Any:
    """Equal for equal texts, and for images of equal content; a text is never an image."""
    return cell if isinstance(cell, str) else (inputs_sha256(None, [cell]),)
