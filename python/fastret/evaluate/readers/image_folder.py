"""Image folders with metadata.jsonl, as `datasets.load_dataset("imagefolder")` reads them.

Each line has `file_name`, relative to the metadata file, and captions in `caption`, `captions`, `text` or
`texts` (a string or a list of strings), and may have a `label`, which task i2i needs. An image with several
captions may have a line for each. The metadata lie in the folder itself or in a folder per split below it.
https://huggingface.co/docs/datasets/image_dataset#imagefolder
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from .bad_records import MALFORMED, NO_IMAGE_FILE, BadRecords
from .pairs import CaptionedImage, ImageCaptions, captioned
from .records import read_records
from .splits import choose_split

METADATA = "metadata.jsonl"


def recognises(path: Path) -> bool:
    return path.name == METADATA if path.is_file() else bool(_metadata_files(path))


def read(path: Path, split: str | None, bad: BadRecords) -> ImageCaptions:
    if path.is_file():
        path = path.parent
    metadata = choose_split(path, _metadata_files(path), split)
    return ImageCaptions(path, _items(metadata, bad), bad)


def _items(metadata: Path, bad: BadRecords) -> Iterator[CaptionedImage]:
    for record in read_records(metadata, bad):
        file_name = record.fields.get("file_name")
        if not isinstance(file_name, str) or not file_name:
            bad.found(MALFORMED, f"{record.place}: file_name must be a path, got {file_name!r}")
            continue
        image = metadata.parent / file_name
        if not image.is_file():
            bad.found(NO_IMAGE_FILE, f"{record.place}, id {file_name!r}: there is no image file {image}")
            continue
        yield from captioned(record, file_name, image, bad)


def _metadata_files(folder: Path) -> dict[str, Path]:
    """The metadata file of each split; the folder's own under ""."""
    own = folder / METADATA
    if own.is_file():
        return {"": own}
    return {file.parent.name: file for file in sorted(folder.glob(f"*/{METADATA}"))}
