"""Data with their own queries, candidates and relevance, each item a text, an image or both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..dataset import Collection, Dataset, ImageSource, Qrels
from ..tasks import Task
from .bad_records import (
    EMPTY_TEXT,
    MALFORMED,
    MISSING_INPUT,
    NO_IMAGE_FILE,
    UNDECODABLE_IMAGE,
    BadRecords,
)
from .images import FaultFinder, decoding_faults, with_usable_images
from .records import DistinctIds, Record, id_of


@dataclass(frozen=True)
class Item:
    """A query or a candidate with a text, an image or both; `place` is the file and line that an error names."""

    place: str
    id: str
    text: str | None
    image: ImageSource | None


class QueriesAndCandidates:
    """A source of data sets. Which inputs of an item are used depends on the task: an item with a text and an
    image counts as a text on a side `t`, as an image on a side `i` and as the pair on a side `it`."""

    def __init__(self, path: Path, queries: list[Item], candidates: list[Item], qrels: Qrels, bad: BadRecords) -> None:
        """Raises ValueError where there are no queries or no candidates."""
        self.name = path.resolve().name
        self._path, self._queries, self._candidates, self._qrels, self._bad = path, queries, candidates, qrels, bad
        self._check_not_empty()

    def leave_out_images(self, find_faults: FaultFinder, reason: str) -> None:
        """Leaves out the items whose image has a fault. Raises ValueError where nothing is left."""
        self._queries = with_usable_images(self._queries, find_faults, reason, self._bad)
        self._candidates = with_usable_images(self._candidates, find_faults, reason, self._bad)
        self._check_not_empty()

    def _check_not_empty(self) -> None:
        if not self._queries or not self._candidates:
            raise ValueError(
                f"{self._path}: must hold queries with qrels, and candidates, "
                f"got {len(self._queries)} and {len(self._candidates)}"
            )

    def dataset(self, task: Task) -> Dataset:
        """Raises ValueError, naming it, where an item lacks the input that the task needs (or skips it)."""
        bad = BadRecords(self._bad.skip_bad)
        queries = _side(self._queries, task.queries, task, bad)
        candidates = _side(self._candidates, task.candidates, task, bad)
        known = set(candidates.ids)
        qrels = {
            id_: {candidate: grade for candidate, grade in self._qrels.get(id_, {}).items() if candidate in known}
            for id_ in queries.ids
        }
        return Dataset(
            name=self.name,
            task=task.name,
            queries=queries,
            candidates=candidates,
            qrels=qrels,
            exclude_self=task.queries == task.candidates and _same_items(queries, candidates, qrels),
            skipped=dict(Counter(self._bad.skipped) + bad.skipped),
        )


def read_items(records: Iterable[Record], folder: Path, bad: BadRecords) -> list[Item]:
    """Items of records with `_id` or `id`, `title`, `text` and `image` (a path below the folder, or an
    encoded file).

    Title and text are joined by a space, as BEIR does. Images are decoded once, to know that they do.
    """
    distinct = DistinctIds(bad)
    items = []
    for record in records:
        id_ = id_of(record, "_id", "id")
        if id_ is None:
            bad.found(MALFORMED, f"{record.place}: must have an _id")
            continue
        if not distinct.accepts(id_, record.place):
            continue
        text = " ".join(str(record.fields.get(name) or "") for name in ("title", "text")).strip() or None
        image = image_of(record, id_, folder, bad)
        if text is not None or image is not None:
            items.append(Item(record.place, id_, text, image))
        elif not has_image(record.fields):
            bad.found(EMPTY_TEXT, f"{record.place}, id {id_!r}: text must not be empty where there is no image")
    return with_usable_images(items, decoding_faults, UNDECODABLE_IMAGE, bad)


def has_image(fields: dict[str, Any]) -> bool:
    return fields.get("image") is not None


def image_of(record: Record, id_: str, folder: Path, bad: BadRecords) -> ImageSource | None:
    """A record's `image`: a path, bytes, or the struct of both that Hugging Face data sets write."""
    image = record.fields.get("image")
    if isinstance(image, dict):
        image = image.get("bytes") or image.get("path")
    if image is None or isinstance(image, bytes):
        return image
    if not isinstance(image, str):
        bad.found(
            MALFORMED,
            f"{record.place}, id {id_!r}: image must be a path or bytes, got {type(image).__name__}",
        )
        return None
    if not (folder / image).is_file():
        bad.found(NO_IMAGE_FILE, f"{record.place}, id {id_!r}: there is no image file {folder / image}")
        return None
    return folder / image


def _side(items: list[Item], side: str, task: Task, bad: BadRecords) -> Collection:
    kept = []
    for item in items:
        if (side == "t" and item.text is None) or (side == "i" and item.image is None):
            needed, got = ("a text", "an image") if side == "t" else ("an image", "a text")
            bad.found(
                MISSING_INPUT,
                f"{item.place}, id {item.id!r}: task {task.name} needs {needed} here, got only {got}",
            )
        else:
            kept.append(item)
    return Collection(
        ids=[item.id for item in kept],
        texts=[item.text if "t" in side else None for item in kept],
        images=[item.image if "i" in side else None for item in kept],
    )


def _same_items(queries: Collection, candidates: Collection, qrels: Qrels) -> bool:
    """Whether every query is the candidate of its id, with its content, and none is its own answer.

    A title may stand before the candidate's text. Ids alone would not do: both sides may simply be numbered.
    """
    candidate_row = {id_: row for row, id_ in enumerate(candidates.ids)}
    for id_, text, image in zip(queries.ids, queries.texts, queries.images, strict=True):
        row = candidate_row.get(id_)
        if row is None or id_ in qrels[id_]:
            return False
        if not (candidates.texts[row] or "").endswith(text or "") or candidates.images[row] != image:
            return False
    return True
