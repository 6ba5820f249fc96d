"""Parquet files of images with captions, as Hugging Face data sets store them.

Columns: `image` (the struct of bytes and path, plain bytes, or a path below the file's folder), captions in
`caption`, `captions`, `text` or `texts`, and optionally `id` and `label`. A file, or a folder (or its `data`
folder) with files called <split>.parquet or <split>-00000-of-00001.parquet. Without `id` the id is the
image's path, else the row number. An image with several captions may have a row for each, under one id.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from .bad_records import MALFORMED, BadRecords
from .beir import split_of
from .items import has_image, image_of
from .pairs import CaptionedImage, ImageCaptions, captioned
from .records import Record, id_of, read_records
from .splits import choose_split


def recognises(path: Path) -> bool:
    return path.suffix == ".parquet" if path.is_file() else bool(_files(path))


def read(path: Path, split: str | None, bad: BadRecords) -> ImageCaptions:
    splits: dict[str, list[Path]] = {}
    for file in [path] if path.is_file() else _files(path):
        splits.setdefault(split_of(file), []).append(file)
    return ImageCaptions(path, _items(choose_split(path, splits, split), bad), bad)


def _items(files: list[Path], bad: BadRecords) -> Iterator[CaptionedImage]:
    records = chain.from_iterable(read_records(file, bad) for file in files)
    for number, record in enumerate(records):
        id_ = id_of(record, "id", "_id", "file_name") or _image_path(record) or str(number)
        if not has_image(record.fields):
            bad.found(MALFORMED, f"{record.place}, id {id_!r}: must have an image")
            continue
        image = image_of(record, id_, files[0].parent, bad)
        if image is not None:
            yield from captioned(record, id_, image, bad)


def _image_path(record: Record) -> str | None:
    image = record.fields["image"] if has_image(record.fields) else None
    path = image.get("path") if isinstance(image, dict) else image
    return path if isinstance(path, str) else None


def _files(folder: Path) -> list[Path]:
    return sorted([*folder.glob("*.parquet"), *(folder / "data").glob("*.parquet")])
