"""Makes the emoji data set in ``fastret/demo/data`` from three npm packages.

Run once by whoever changes the data set, never by users::

    npm pack emoji-datasource-google@16.0.0 @twemoji/svg@15.0.0 emojibase-data@17.0.0
    pip install pillow==13.0.0 resvg_py==0.5.0
    python -m fastret.demo.build_data . --out python/fastret/demo/data

Two runs with the same versions give the same bytes. The result is

- ``emoji.jsonl``: one emoji a line, see :class:`fastret.demo.emoji.Emoji`;
- ``noto.webp``, ``twemoji.webp``: one sheet of thumbnails per vendor; the emoji on line i is in cell i;
- ``ATTRIBUTION.md``: where everything comes from, and under which licences.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastret.demo.emoji import COLUMNS, DATA_DIR, THUMBNAIL_PX, VENDORS

if TYPE_CHECKING:
    from PIL import Image

PACKAGES = {  # SHA-256 of what `npm pack` fetches
    "emoji-datasource-google-16.0.0.tgz": "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438",
    "twemoji-svg-15.0.0.tgz": "1d2907557a422c7c4e3feca50ef915c39da1db3d76b4a4d7e73fb59bce4403c3",
    "emojibase-data-17.0.0.tgz": "d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a",
}
WEBP_QUALITY = 85
TONES = (1, 3, 5)  # light, medium, dark: the two between them would be near-copies of near-copies
LEFT_OUT_GROUPS = {None, 2}  # regional indicator letters; hair and tone components, which show nothing alone
WRONG_IMAGES = {"1F1E8-1F1F6"}  # the Noto package shows Saudi Arabia's flag for Sark

# Emoji whose gender-neutral form no rule on code points finds.
BASES = {
    "1F466": "1F9D2",  # boy -> child
    "1F467": "1F9D2",
    "1F474": "1F9D3",  # old man -> older person
    "1F475": "1F9D3",
    "1F934": "1FAC5",  # prince -> person with crown
    "1F478": "1FAC5",
    "1F930": "1FAC4",  # pregnant woman -> pregnant person
    "1FAC3": "1FAC4",
    "1F385": "1F9D1-200D-1F384",  # Santa Claus -> Mx Claus
    "1F936": "1F9D1-200D-1F384",
    "1F57A": "1F483",  # man dancing -> woman dancing
    "1F46B": "1F9D1-200D-1F91D-200D-1F9D1",  # woman and man holding hands -> people holding hands
    "1F46C": "1F9D1-200D-1F91D-200D-1F9D1",
    "1F46D": "1F9D1-200D-1F91D-200D-1F9D1",
}

ATTRIBUTION = """\
# Emoji data set: sources and licences

Derived by `python -m fastret.demo.build_data`: images scaled to {px} x {px} pixels on white and compressed as WebP;
labels and tags copied; near-duplicates (skin tone, gender, direction) linked to their base.

| here | source | version | author | licence |
|---|---|---|---|---|
| `noto.webp` | Noto Emoji, from npm `emoji-datasource-google` (packaging: Cal Henderson, MIT) | 16.0.0 | Google LLC | [Apache-2.0](https://www.apache.org/licenses/LICENSE-2.0) |
| `twemoji.webp` | Twemoji, from npm `@twemoji/svg` (packaging: Samuel Kopp, MIT) | 15.0.0 | Twitter, Inc. and other contributors | [CC-BY-4.0](https://creativecommons.org/licenses/by/4.0/) |
| `emoji.jsonl` | emojibase, from npm `emojibase-data` (English labels and tags of the Unicode CLDR) | 17.0.0 | Miles Johnson | [MIT](https://opensource.org/license/mit) |

Project pages: <https://github.com/googlefonts/noto-emoji>, <https://github.com/jdecked/twemoji>,
<https://github.com/milesj/emojibase>, <https://github.com/iamcal/emoji-data>.

## MIT License (emojibase)

Copyright (c) 2017-2019 Miles Johnson

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""  # noqa: E501


def code_key(code: str) -> str:
    """A hexcode as a key: upper case, without leading zeros and variation selectors, where sources differ."""
    return "-".join(point.lstrip("0") for point in code.upper().split("-") if point != "FE0F")


def read_package(path: Path, sha256: str) -> dict[str, bytes]:
    """``{member name: content}`` of a package, after a look at its digest."""
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(f"build_data: {path} is not the package that `npm pack` gives: its SHA-256 differs")
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive if member.isfile()}  # type: ignore[union-attr]


def emoji_records(entries: Sequence[Mapping[str, Any]], groups: Mapping[str, str]) -> list[dict[str, Any]]:
    """The lines of ``emoji.jsonl``, without "vendors": each emoji, followed by its skin-tone variants."""
    kept = sorted((e for e in entries if e.get("group") not in LEFT_OUT_GROUPS), key=lambda e: int(e["order"]))
    key_of_label = {e["label"]: code_key(e["hexcode"]) for e in kept}
    keys = set(key_of_label.values())
    records = []
    for entry in kept:
        base, kinds = find_base(code_key(entry["hexcode"]), entry["label"], key_of_label, keys)
        tones = [s for s in entry.get("skins") or [] if s["tone"] in TONES]
        for form, kinds_of_form in [(entry, kinds), *((tone, [*kinds, "skin tone"]) for tone in tones)]:
            records.append(
                {
                    "id": code_key(form["hexcode"]),
                    "label": form["label"],
                    "tags": entry.get("tags", []),
                    "group": groups[str(entry["group"])],
                    "base": base,
                    "variant": kinds_of_form,
                }
            )
    return records


def find_base(key: str, label: str, key_of_label: Mapping[str, str], keys: set[str]) -> tuple[str, list[str]]:
    """Follows an emoji to the one it is a near-duplicate of, with the kinds of difference met on the way."""
    label_of_key = {k: name for name, k in key_of_label.items()}
    kinds: list[str] = []
    while True:
        points = key.split("-")
        label = label_of_key.get(key, label)
        if points[-2:] == ["200D", "27A1"] and "-".join(points[:-2]) in keys:
            key, kind = "-".join(points[:-2]), "direction"
        elif points[-2:] in (["200D", "2640"], ["200D", "2642"]) and "-".join(points[:-2]) in keys:
            key, kind = "-".join(points[:-2]), "gender"
        elif points[0] in ("1F468", "1F469") and "-".join(["1F9D1", *points[1:]]) in keys:
            key, kind = "-".join(["1F9D1", *points[1:]]), "gender"
        elif key in BASES:
            key, kind = BASES[key], "gender"
        elif ": " in label and label.split(": ")[0] in key_of_label:
            key, kind = key_of_label[label.split(": ")[0]], "form"
        else:
            return key, kinds
        kinds.append(kind)


def thumbnail(picture: bytes | None) -> Image.Image:
    """A PNG or SVG file as a thumbnail on white; white alone where the vendor drew nothing."""
    from PIL import Image

    size = (THUMBNAIL_PX, THUMBNAIL_PX)
    ground = Image.new("RGBA", size, "white")
    if picture is not None:
        if not picture.startswith(b"\x89PNG"):
            picture = rasterise(picture.decode("utf-8"))
        drawn = Image.open(io.BytesIO(picture)).convert("RGBA")
        ground.alpha_composite(drawn if drawn.size == size else drawn.resize(size, Image.Resampling.BICUBIC))
    return ground.convert("RGB")


def rasterise(svg: str) -> bytes:
    """An SVG drawing as a PNG file of the thumbnails' size."""
    import resvg_py

    return bytes(resvg_py.svg_to_bytes(svg_string=svg, width=THUMBNAIL_PX, height=THUMBNAIL_PX))


def sheet(images: Sequence[Image.Image]) -> Image.Image:
    """Thumbnails side by side, ``COLUMNS`` to a row."""
    from PIL import Image

    rows = -(-len(images) // COLUMNS)
    whole = Image.new("RGB", (COLUMNS * THUMBNAIL_PX, rows * THUMBNAIL_PX), "white")
    for cell, image in enumerate(images):
        whole.paste(image, (cell % COLUMNS * THUMBNAIL_PX, cell // COLUMNS * THUMBNAIL_PX))
    return whole


def build(npm_dir: Path, out_dir: Path) -> None:
    """Writes the data set made from the packages in ``npm_dir`` to ``out_dir``.

    Raises:
        FileNotFoundError: a package is missing. ValueError: a package is not the version that is expected.
    """
    google, twemoji, emojibase = (read_package(npm_dir / name, digest) for name, digest in PACKAGES.items())
    pictures = {
        "noto": {code_key(Path(name).stem): data for name, data in google.items() if "/img/google/64/" in name},
        "twemoji": {code_key(Path(name).stem): data for name, data in twemoji.items() if name.endswith(".svg")},
    }
    entries = json.loads(emojibase["package/en/data.json"])
    groups = json.loads(emojibase["package/meta/groups.json"])["groups"]
    records: list[dict[str, Any]] = []
    images: dict[str, list[Image.Image]] = {vendor: [] for vendor in VENDORS}
    for record in emoji_records(entries, groups):
        key = record["id"]
        record["vendors"] = [vendor for vendor in VENDORS if key in pictures[vendor]]
        if record["vendors"] and key not in WRONG_IMAGES:
            records.append(record)
            for vendor in VENDORS:
                images[vendor].append(thumbnail(pictures[vendor].get(key)))

    out_dir.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(record, ensure_ascii=False, separators=(",", ":")) for record in records]
    (out_dir / "emoji.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (out_dir / "ATTRIBUTION.md").write_text(ATTRIBUTION.format(px=THUMBNAIL_PX), encoding="utf-8")
    for vendor in VENDORS:
        # method=6 is libwebp's slowest and smallest; the bytes depend on nothing but the pixels and libwebp.
        sheet(images[vendor]).save(out_dir / f"{vendor}.webp", "WEBP", quality=WEBP_QUALITY, method=6)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("npm_dir", type=Path, help="folder that holds the three .tgz files")
    parser.add_argument("--out", type=Path, default=DATA_DIR, help="where to write (default: %(default)s)")
    arguments = parser.parse_args()
    build(arguments.npm_dir, arguments.out)
