from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from fastret.demo import build_data
from fastret.demo.emoji import read_emoji, thumbnails


def entry(hexcode: str, label: str, order: int, group: int | None = 1, **more: object) -> dict[str, object]:
    return {"hexcode": hexcode, "label": label, "order": order, "group": group, "tags": [label], **more}


ENTRIES = [
    entry("2764-FE0F", "red heart", 1, group=0),
    entry("1F937-200D-2642-FE0F", "man shrugging", 4),
    entry(
        "1F937",
        "person shrugging",
        3,
        skins=[
            {"hexcode": f"1F937-1F3F{code}", "label": f"person shrugging: tone {tone}", "tone": tone}
            for tone, code in ((1, "B"), (2, "C"), (5, "F"))
        ],
    ),
    entry("1F466", "boy", 5),
    entry("1F9D2", "child", 6),
    entry("1F491", "couple", 7),
    entry("1F469-200D-1F491", "couple: woman, man", 8),
    entry("1F1E6", "regional indicator A", 9, group=None),
    entry("1FAEA", "drawn by nobody", 10),
]
NOTO = ["2764-fe0f", "1f937", "1f937-1f3fb", "1f937-1f3ff", "1f937-200d-2642-fe0f", "1f466", "1f9d2", "1f491"]
TWEMOJI = ["2764", "1f937", "1f469-200d-1f491"]


def png(colour: tuple[int, int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), colour).save(file, "PNG")
    return file.getvalue()


def write_package(path: Path, members: dict[str, bytes]) -> str:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The three packages with a handful of emoji; SVG files are drawn as green squares."""
    contents = [
        {f"img/google/64/{code}.png": png((200, 30 * n, 0)) for n, code in enumerate(NOTO)},
        {f"{code}.svg": b"<svg/>" for code in TWEMOJI},
        {
            "en/data.json": json.dumps(ENTRIES).encode(),
            "meta/groups.json": json.dumps({"groups": {"0": "smileys-emotion", "1": "people-body"}}).encode(),
        },
    ]
    digests = {
        name: write_package(tmp_path / name, members)
        for name, members in zip(build_data.PACKAGES, contents, strict=True)
    }
    monkeypatch.setattr(build_data, "PACKAGES", digests)
    monkeypatch.setattr(build_data, "rasterise", lambda svg: png((0, 180, 0)))
    return tmp_path


def test_emoji_are_in_order_with_their_variants_behind_them(packages: Path, tmp_path: Path) -> None:
    build_data.build(packages, tmp_path / "data")
    emoji = read_emoji(tmp_path / "data")
    assert [one.label for one in emoji] == [
        "red heart",
        "person shrugging",
        "person shrugging: tone 1",
        "person shrugging: tone 5",
        "man shrugging",
        "boy",
        "child",
        "couple",
        "couple: woman, man",
    ]
    by_label = {one.label: one for one in emoji}
    assert by_label["red heart"].id == "2764"
    assert by_label["red heart"].vendors == ("noto", "twemoji")
    assert by_label["person shrugging: tone 5"].variant == ("skin tone",)
    assert by_label["person shrugging: tone 5"].tags == ("person shrugging",)
    assert by_label["man shrugging"].base == by_label["person shrugging"].id
    assert by_label["man shrugging"].variant == ("gender",)
    assert by_label["boy"].base == by_label["child"].id
    assert by_label["couple: woman, man"].variant == ("form",)
    assert by_label["couple: woman, man"].vendors == ("twemoji",)


def test_each_image_lands_in_its_own_cell(packages: Path, tmp_path: Path) -> None:
    build_data.build(packages, tmp_path / "data")
    noto = thumbnails("noto", tmp_path / "data")
    for n, code in enumerate(NOTO):
        red, green, blue = noto[build_data.code_key(code)].getpixel((32, 32))
        assert abs(red - 200) <= 8 and abs(green - 30 * n) <= 8 and blue <= 12
    assert set(thumbnails("twemoji", tmp_path / "data")) == {"2764", "1F937", "1F469-200D-1F491"}


def test_two_builds_give_the_same_bytes(packages: Path, tmp_path: Path) -> None:
    build_data.build(packages, tmp_path / "first")
    build_data.build(packages, tmp_path / "second")
    files = sorted(file.name for file in (tmp_path / "first").iterdir())
    assert files == ["ATTRIBUTION.md", "emoji.jsonl", "noto.webp", "twemoji.webp"]
    for name in files:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_a_package_that_was_altered_is_refused(packages: Path, tmp_path: Path) -> None:
    name = next(iter(build_data.PACKAGES))
    (packages / name).write_bytes(b"something else")
    with pytest.raises(ValueError, match=rf"build_data: .*{name} is not the package that `npm pack` gives"):
        build_data.build(packages, tmp_path / "data")
