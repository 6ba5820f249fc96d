"""A hash of what is to be embedded, by content: a folder that was copied or touched still has its old one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

from .images import ImageInput, named, open_image


def inputs_sha256(texts: Sequence[str | None] | None, images: Sequence[ImageInput | None] | None) -> str:
    """Changes with any text, any byte of an image file and any pixel of a decoded image, and with their order.

    Every image file is read once, which takes little next to embedding it.
    Raises FileNotFoundError or ValueError with the name of an image that is missing or cannot be read.
    """
    digest = hashlib.sha256()
    for text, image in zip_longest(texts or (), images or ()):
        digest.update(json.dumps([text, None if image is None else _image_sha256(image)]).encode())
    return digest.hexdigest()


def _image_sha256(image: ImageInput) -> str:
    with named(image):
        if isinstance(image, (str, Path)):
            return hashlib.sha256(Path(image).read_bytes()).hexdigest()
        if isinstance(image, bytes):
            return hashlib.sha256(image).hexdigest()
    # As the encoders see it: palette, transparency and orientation count as much as the stored bytes.
    upright = open_image(image)
    return hashlib.sha256(json.dumps(upright.size).encode() + upright.tobytes()).hexdigest()
