"""Whether images can be used, found out before hours of embedding rather than in the middle."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, TypeAlias, TypeVar

from tqdm import tqdm

from ..dataset import ImageSource
from .bad_records import BadRecords

# Why each image cannot be used, or None where it can (or where there is none).
FaultFinder: TypeAlias = "Callable[[Sequence[ImageSource | None]], list[str | None]]"

# PIL names a file in memory by its address, which would differ from run to run.
_OBJECT = re.compile(r"<_io\.BytesIO object at 0x[0-9a-fA-F]+>")


class WithImage(Protocol):
    """What a reader made of a record."""

    @property
    def place(self) -> str: ...
    @property
    def id(self) -> str: ...
    @property
    def image(self) -> ImageSource | None: ...


T = TypeVar("T", bound=WithImage)


def with_usable_images(items: Sequence[T], find_faults: FaultFinder, reason: str, bad: BadRecords) -> list[T]:
    """The items without those whose image has a fault, which are reported."""
    usable = []
    for item, fault in zip(items, find_faults([item.image for item in items]), strict=True):
        if fault is None:
            usable.append(item)
        else:
            bad.found(reason, f"{item.place}, id {item.id!r}: the {reason}: {fault}")
    return usable


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
