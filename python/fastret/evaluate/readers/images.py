"""Whether images decode, found out before hours of embedding rather than in the middle."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

if TYPE_CHECKING:
    from ..dataset import ImageSource

# PIL names a file in memory by its address, which would differ from run to run.
_OBJECT = re.compile(r"<_io\.BytesIO object at 0x[0-9a-fA-F]+>")


def decoding_faults(images: Sequence[ImageSource | None]) -> list[str | None]:
    """Why each image does not decode, or None where it does (or where there is none)."""
    if not any(image is not None for image in images):
        return [None] * len(images)
    with ThreadPoolExecutor() as pool:  # PIL decodes without the GIL
        faults = pool.map(_fault, images)
        return list(tqdm(faults, total=len(images), desc="checking images", unit="image", disable=None, leave=False))


def _fault(image: ImageSource | None) -> str | None:
    from PIL import Image

    if not isinstance(image, (Path, bytes)):
        return None  # none, or decoded already
    try:
        with Image.open(io.BytesIO(image) if isinstance(image, bytes) else image) as opened:
            opened.draft("RGB", (1, 1))  # a JPEG is read to its end all the same, but at an eighth of the size
            opened.load()
    except Exception as error:  # PIL's decoders raise OSError, SyntaxError, ValueError, struct.error and others
        return _OBJECT.sub("given as bytes", str(error)) or type(error).__name__
    return None
