"""The emoji data set that ships with fastret: real images (Noto and Twemoji) with real labels and tags."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image

DATA_DIR = Path(__file__).parent / "data"
VENDORS = ("noto", "twemoji")
THUMBNAIL_PX = 64
COLUMNS = 64  # thumbnails per row of a sheet


@dataclass(frozen=True)
class Emoji:
    """One line of ``emoji.jsonl``; its thumbnail is in the cell of the same number on each vendor's sheet."""

    id: str  # code points in hexadecimal, for example "1F44B-1F3FB"
    label: str  # the Unicode CLDR short name
    tags: tuple[str, ...]  # keywords; a skin-tone variant repeats its base's
    group: str  # "animals-nature", "flags", ...
    base: str  # the id of the emoji that this one is a near-duplicate of; its own id otherwise
    variant: tuple[str, ...]  # how it differs from its base: "skin tone", "gender", "direction", "form"
    vendors: tuple[str, ...]  # whose image exists

    @property
    def caption(self) -> str:
        """The label with its first tags, as an image's author would describe it."""
        return ", ".join([self.label, *self.tags[:6]])


@cache
def read_emoji(folder: Path = DATA_DIR) -> tuple[Emoji, ...]:
    """Every emoji of the data set, in the order of the sheets."""
    emoji = []
    for line in (folder / "emoji.jsonl").read_text(encoding="utf-8").splitlines():
        fields: dict[str, Any] = json.loads(line)
        for name in ("tags", "variant", "vendors"):
            fields[name] = tuple(fields[name])
        emoji.append(Emoji(**fields))
    return tuple(emoji)


def families(emoji: Iterable[Emoji]) -> dict[str, list[Emoji]]:
    """Emoji by base: each list is one concept with all of its near-duplicates."""
    by_base: dict[str, list[Emoji]] = {}
    for one in emoji:
        by_base.setdefault(one.base, []).append(one)
    return by_base


def thumbnails(vendor: str, folder: Path = DATA_DIR) -> dict[str, Image.Image]:
    """``{emoji id: 64 x 64 RGB image}`` for every emoji that ``vendor`` ("noto" or "twemoji") has drawn."""
    from PIL import Image

    if vendor not in VENDORS:
        raise ValueError(f"thumbnails: vendor must be one of {', '.join(VENDORS)}, got {vendor!r}")
    with Image.open(folder / f"{vendor}.webp") as opened:
        sheet = opened.convert("RGB")
    images = {}
    for cell, one in enumerate(read_emoji(folder)):
        if vendor in one.vendors:
            left, top = cell % COLUMNS * THUMBNAIL_PX, cell // COLUMNS * THUMBNAIL_PX
            images[one.id] = sheet.crop((left, top, left + THUMBNAIL_PX, top + THUMBNAIL_PX))
    return images


def words(text: str) -> set[str]:
    """The lower-case words of a text."""
    return set(re.findall(r"\w+", text.lower()))


def distinct_keywords(emoji: Emoji) -> list[str]:
    """The tags that share no word with the label, nor a word that continues one of it ("run", "running")."""
    label_words = words(emoji.label)

    def repeats(word: str) -> bool:
        return any(
            word == other or (min(len(word), len(other)) >= 3 and (word.startswith(other) or other.startswith(word)))
            for other in label_words
        )

    return [tag for tag in emoji.tags if not any(repeats(word) for word in words(tag))]
