"""Karpathy's JSON of Flickr8k, Flickr30k and COCO: dataset_*.json with several captions per image and a split
each.

Images are looked for in the folder of the JSON file and in its `images` folder, with and without `filepath`.
Karpathy and Fei-Fei, "Deep Visual-Semantic Alignments for Generating Image Descriptions", CVPR 2015.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .bad_records import MALFORMED, NO_IMAGE_FILE, BadRecords
from .pairs import CaptionedImage, ImageCaptions, captions_of
from .splits import choose_split


def recognises(path: Path) -> bool:
    return path.suffix == ".json" if path.is_file() else any(path.glob("dataset*.json"))


def read(path: Path, split: str | None, bad: BadRecords) -> ImageCaptions:
    if path.is_dir():
        files = sorted(path.glob("dataset*.json"))
        if len(files) > 1:
            raise ValueError(f"{path}: must hold one dataset*.json, got {', '.join(f.name for f in files)}; name one")
        path = files[0]
    try:
        images = json.loads(path.read_bytes())["images"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: must be a JSON object with `images`, got none: {error!r}") from error
    if not isinstance(images, list) or not all(isinstance(entry, dict) for entry in images):
        raise ValueError(f"{path}: `images` must be a list of JSON objects")
    splits: defaultdict[str, list[tuple[int, dict[str, Any]]]] = defaultdict(list)
    for number, entry in enumerate(images):
        splits[str(entry.get("split", ""))].append((number, entry))
    return ImageCaptions(path, _items(path, choose_split(path, splits, split), bad), bad)


def _items(path: Path, entries: list[tuple[int, dict[str, Any]]], bad: BadRecords) -> Iterator[CaptionedImage]:
    for number, entry in entries:
        place = f"{path} images[{number}]"
        file_name = entry.get("filename")
        if not isinstance(file_name, str) or not file_name:
            bad.found(MALFORMED, f"{place}: filename must be a path, got {file_name!r}")
            continue
        image = _find(path.parent, str(entry.get("filepath") or ""), file_name)
        if image is None:
            below = f"{path.parent} or {path.parent / 'images'}"
            bad.found(NO_IMAGE_FILE, f"{place}, id {file_name!r}: there is no such image file in {below}")
            continue
        sentences = entry.get("sentences") or []
        if not isinstance(sentences, list):
            what = type(sentences).__name__
            bad.found(MALFORMED, f"{place}, id {file_name!r}: sentences must be a list, got {what}")
            continue
        raw = [sentence.get("raw") if isinstance(sentence, dict) else sentence for sentence in sentences]
        captions = captions_of(place, file_name, {"captions": raw}, bad)
        if captions:
            yield CaptionedImage(place, file_name, image, captions)
        elif not sentences:
            bad.found(MALFORMED, f"{place}, id {file_name!r}: must have sentences")


def _find(folder: Path, file_path: str, file_name: str) -> Path | None:
    for root in (folder, folder / "images"):
        for candidate in (root / file_path / file_name, root / file_name):
            if candidate.is_file():
                return candidate
    return None
