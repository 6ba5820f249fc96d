"""An encoder and data whose right answers are known: squares of one colour, captions that name it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import torch
from PIL import Image

COLOURS = {
    "red": (250, 10, 10),
    "green": (10, 250, 10),
    "blue": (10, 10, 250),
    "yellow": (240, 240, 10),
    "pink": (240, 20, 240),
    "grey": (120, 121, 122),
}


class ColourEncoder:
    """Maps an image to its mean colour and a caption to the colour of its last word, or `shift` colours on, so
    that two encoders retrieve differently."""

    dim = 3

    def __init__(self, name="colours", inputs=("text", "image", "pair"), shift=0):
        self.name, self.inputs, self.shift = name, frozenset(inputs), shift
        self.calls = []

    def encode_texts(self, texts, *, batch_size=32, progress=None):
        self.calls.append(("texts", len(texts)))
        colours = list(COLOURS.values())
        index = [list(COLOURS).index(text.split()[-1]) for text in texts]
        progress(len(texts))
        return torch.tensor([colours[(i + self.shift) % len(colours)] for i in index]).float()

    def encode_images(self, images, *, batch_size=32, progress=None):
        self.calls.append(("images", len(images)))
        progress(len(images))
        files = (io.BytesIO(image) if isinstance(image, bytes) else image for image in images)
        opened = (file if isinstance(file, Image.Image) else Image.open(file) for file in files)
        return torch.tensor([image.convert("RGB").resize((1, 1)).getpixel((0, 0)) for image in opened]).float()

    def encode_pairs(self, images, texts, *, batch_size=32, progress=None):
        self.calls.append(("pairs", len(images)))
        quiet = {"progress": lambda count: None}
        progress(len(images))
        return self.encode_images(images, **quiet) + self.encode_texts(texts, **quiet)

    def describe(self):
        return {"model": self.name, "shift": str(self.shift)}


@pytest.fixture
def colour_encoder():
    return ColourEncoder


@pytest.fixture
def write_jsonl():
    def write(path: Path, records) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path

    return write


@pytest.fixture
def square():
    def write(path: Path, colour: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), COLOURS[colour]).save(path)
        return path

    return write


@pytest.fixture
def colour_folder(tmp_path, write_jsonl, square):
    """An image folder of six squares with two captions each."""
    folder = tmp_path / "squares"
    for colour in COLOURS:
        square(folder / "images" / f"{colour}.png", colour)
    write_jsonl(
        folder / "metadata.jsonl",
        [
            {"file_name": f"images/{colour}.png", "captions": [f"a square in {colour}", f"plain {colour}"]}
            for colour in COLOURS
        ],
    )
    return folder
