from __future__ import annotations

import json

import numpy as np
import pytest

from fastret.demo.emoji import (
    DATA_DIR,
    THUMBNAIL_PX,
    VENDORS,
    Emoji,
    distinct_keywords,
    families,
    read_emoji,
    thumbnails,
    words,
)


def emoji_of(label: str, *tags: str) -> Emoji:
    return Emoji(id="1", label=label, tags=tags, group="objects", base="1", variant=(), vendors=("noto",))


def test_the_data_set_is_complete_and_small() -> None:
    emoji = read_emoji()
    assert len(emoji) == 2874
    assert len({one.id for one in emoji}) == len(emoji)
    assert len({one.label for one in emoji}) == len(emoji)
    assert len(families(emoji)) == 1680
    assert sum("skin tone" in one.variant for one in emoji) == 969
    assert sum("gender" in one.variant for one in emoji) == 688
    assert sum(file.stat().st_size for file in DATA_DIR.iterdir()) <= 8 * 2**20


def test_every_near_duplicate_points_to_a_base_that_stands_for_itself() -> None:
    by_id = {one.id: one for one in read_emoji()}
    for one in by_id.values():
        base = by_id[one.base]
        assert base.base == base.id
        assert (one.variant == ()) == (one is base)
        assert one.group == base.group or one.base == "1F9D1-200D-1F384"


def test_every_image_that_is_listed_is_drawn_and_no_other() -> None:
    emoji = read_emoji()
    for vendor in VENDORS:
        images = thumbnails(vendor)
        assert set(images) == {one.id for one in emoji if vendor in one.vendors}
        for image in images.values():
            assert image.size == (THUMBNAIL_PX, THUMBNAIL_PX)
            assert image.mode == "RGB"
            assert np.asarray(image).std() > 1  # not white all over
    assert all("noto" in one.vendors for one in emoji)


def test_the_sheets_have_nothing_but_the_listed_images() -> None:
    from PIL import Image

    for vendor in VENDORS:
        with Image.open(DATA_DIR / f"{vendor}.webp") as sheet:
            columns, rows = sheet.width // THUMBNAIL_PX, sheet.height // THUMBNAIL_PX
        assert columns * rows - columns < len(read_emoji()) <= columns * rows


def test_skin_tones_of_one_emoji_look_alike_and_are_not_the_same() -> None:
    images = thumbnails("twemoji")
    base, light, dark = (np.asarray(images[id_], dtype=float) for id_ in ("1F44B", "1F44B-1F3FB", "1F44B-1F3FF"))
    other = np.asarray(images["1F355"], dtype=float)
    assert 1 < np.abs(light - dark).mean() < np.abs(dark - other).mean()
    assert np.abs(base - dark).mean() > 1


def test_sources_and_licences_are_named() -> None:
    text = (DATA_DIR / "ATTRIBUTION.md").read_text(encoding="utf-8")
    for named in ("Noto", "Apache-2.0", "Twemoji", "CC-BY-4.0", "emojibase", "Permission is hereby granted"):
        assert named in text
    for version in ("16.0.0", "15.0.0", "17.0.0"):
        assert version in text


def test_lines_are_plain_json() -> None:
    first = json.loads((DATA_DIR / "emoji.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert first["label"] == "grinning face"
    assert first["vendors"] == ["noto", "twemoji"]


def test_a_vendor_without_images_is_refused() -> None:
    with pytest.raises(ValueError, match="thumbnails: vendor must be one of noto, twemoji, got 'apple'"):
        thumbnails("apple")


@pytest.mark.parametrize(
    ("emoji", "kept"),
    [
        (emoji_of("waving hand", "hand", "hello", "Wave goodbye", "waving"), ["hello", "Wave goodbye"]),
        (emoji_of("person running", "run", "runner", "fast"), ["runner", "fast"]),  # neither continues "running"
        (emoji_of("cat face", "cats", "face-like", "kitten"), ["kitten"]),
        (emoji_of("O button", "o", "offer"), ["offer"]),  # one letter says nothing of a longer word
    ],
)
def test_keywords_that_repeat_the_label_are_dropped(emoji: Emoji, kept: list[str]) -> None:
    assert distinct_keywords(emoji) == kept


def test_no_keyword_of_the_whole_data_set_shares_a_word_with_its_label() -> None:
    for one in read_emoji():
        for keyword in distinct_keywords(one):
            assert not words(keyword) & words(one.label)
