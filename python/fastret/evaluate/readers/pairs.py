"""Data of images with captions, and the tasks that they give.

| task | queries | candidates | relevant |
|---|---|---|---|
| t2i | every caption | every image | the caption's image |
| i2t | every image | every caption | the image's captions |
| i2i | every image | every image | images of the same label, the query itself excluded |
| t2t | every caption | every caption | captions of the same image, the query itself excluded |
| t2it | every caption | every image and every caption | the caption's image and its other captions |
| i2it | every image | every image and every caption | the image's captions |

Caption j of image `cat.jpg` has the id `cat.jpg#j`, as in Flickr30k.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from ..dataset import Collection, Dataset, ImageSource
from ..tasks import Task
from .bad_records import DUPLICATE_ID, EMPTY_TEXT, MALFORMED, UNDECODABLE_IMAGE, BadRecords
from .images import FaultFinder, decoding_faults, with_usable_images
from .records import Record

_Content: TypeAlias = tuple[str, str | None, "ImageSource | None"]  # id, text, image

CAPTION_FIELDS = ("caption", "captions", "text", "texts")


@dataclass(frozen=True)
class CaptionedImage:
    """An image with its captions and its label; `place` is the file and line that an error names."""

    place: str
    id: str
    image: ImageSource
    captions: list[str]
    label: str | None = None


class ImageCaptions:
    """A source of data sets: images that decode, each with at least one caption or a label."""

    def __init__(self, path: Path, records: Iterable[CaptionedImage], bad: BadRecords) -> None:
        """Joins the records of an image, leaves out images that do not decode. Raises ValueError where none is left."""
        self.name = path.stem if path.is_file() else path.resolve().name
        self._path, self._items, self._bad = path, _joined(records, bad), bad
        self.leave_out_images(decoding_faults, UNDECODABLE_IMAGE)

    def leave_out_images(self, find_faults: FaultFinder, reason: str) -> None:
        """Leaves out the images with a fault, and their captions. Raises ValueError where nothing is left."""
        self._items = with_usable_images(self._items, find_faults, reason, self._bad)
        if not self._items:
            raise ValueError(f"{self._path}: must hold at least one image with a caption or a label, got none")

    def dataset(self, task: Task) -> Dataset:
        """Raises ValueError for a task that pairs do not define."""
        if task.queries == "it":
            raise ValueError(
                f"{self._path}: image-caption pairs give the tasks t2i, i2t, i2i, t2t, t2it and i2it, "
                f"got {task.name}; queries of both kinds need a folder with queries.jsonl and corpus.jsonl"
            )
        images: list[_Content] = [(item.id, None, item.image) for item in self._items]
        captions: list[_Content] = [
            (caption_id, caption, None)
            for item in self._items
            for caption_id, caption in zip(_caption_ids(item), item.captions, strict=True)
        ]
        sides = {"t": captions, "i": images, "it": [*images, *captions]}
        return Dataset(
            name=self.name,
            task=task.name,
            queries=_collection(sides[task.queries]),
            candidates=_collection(sides[task.candidates]),
            qrels=self._qrels(task),
            exclude_self=task.queries in task.candidates,
            skipped=dict(self._bad.skipped),
        )

    def _qrels(self, task: Task) -> dict[str, dict[str, int]]:
        if task.name == "i2i":
            return self._same_label()
        qrels: dict[str, dict[str, int]] = {}
        for item in self._items:
            caption_ids = _caption_ids(item)
            image = [item.id] if "i" in task.candidates else []
            texts = caption_ids if "t" in task.candidates else []
            if task.queries == "i":
                qrels[item.id] = dict.fromkeys(texts, 1)
            else:
                for caption_id in caption_ids:
                    qrels[caption_id] = {id_: 1 for id_ in [*image, *texts] if id_ != caption_id}
        if task.name == "t2t" and not any(qrels.values()):
            raise ValueError(f"{self._path}: task t2t needs images with several captions, got one caption per image")
        return qrels

    def _same_label(self) -> dict[str, dict[str, int]]:
        groups: defaultdict[str, dict[str, int]] = defaultdict(dict)
        for item in self._items:
            if item.label is not None:
                groups[item.label][item.id] = 1
        if not groups:
            raise ValueError(f"{self._path}: task i2i needs a `label` for the images, got none")
        # Queries of a label share one dict, which names the query too: Dataset.exclude_self takes it out.
        return {item.id: groups[item.label] for item in self._items if item.label is not None}


def captions_of(place: str, id_: str, fields: dict[str, Any], bad: BadRecords) -> list[str]:
    """The captions of a record's caption fields, strings or lists of strings, empty ones reported."""
    captions = []
    for name in CAPTION_FIELDS:
        value = fields.get(name)
        for caption in value if isinstance(value, list) else [] if value is None else [value]:
            if not isinstance(caption, str):
                bad.found(MALFORMED, f"{place}, id {id_!r}: {name} must be text, got {type(caption).__name__}")
            elif not caption.strip():
                bad.found(EMPTY_TEXT, f"{place}, id {id_!r}: {name} must not be empty")
            else:
                captions.append(caption)
    return captions


def captioned(record: Record, id_: str, image: ImageSource, bad: BadRecords) -> list[CaptionedImage]:
    """The image with the captions and the label of its record; nothing where it has neither."""
    captions = captions_of(record.place, id_, record.fields, bad)
    label = record.fields.get("label")
    if captions or label is not None:
        return [CaptionedImage(record.place, id_, image, captions, None if label is None else str(label))]
    if all(record.fields.get(name) in (None, []) for name in CAPTION_FIELDS):  # else the captions were reported
        names = ", ".join(CAPTION_FIELDS)
        bad.found(MALFORMED, f"{record.place}, id {id_!r}: must have one of {names} or a label")
    return []


def _joined(records: Iterable[CaptionedImage], bad: BadRecords) -> list[CaptionedImage]:
    """An item per image, where some files have a record per caption.

    Reported is a record that repeats an id with another image or label, or without another caption.
    """
    items: dict[str, CaptionedImage] = {}
    for record in records:
        item = items.setdefault(record.id, record)
        if item is record:
            continue
        captions = [caption for caption in record.captions if caption not in item.captions]
        if captions and (record.image, record.label) == (item.image, item.label):
            items[record.id] = replace(item, captions=[*item.captions, *captions])
        else:
            bad.found(DUPLICATE_ID, f"{record.place}, id {record.id!r}: the id was used before, at {item.place}")
    return list(items.values())


def _caption_ids(item: CaptionedImage) -> list[str]:
    return [f"{item.id}#{j}" for j in range(len(item.captions))]


def _collection(items: list[_Content]) -> Collection:
    return Collection(
        ids=[id_ for id_, _, _ in items],
        texts=[text for _, text, _ in items],
        images=[image for _, _, image in items],
    )
