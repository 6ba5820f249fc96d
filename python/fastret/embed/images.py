"""Images as the encoders want them: decoded, upright, RGB; a file that does not decode is named."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

ImageInput = Image.Image | str | Path | bytes
"""A decoded image, the path of a file, or the content of one."""


def open_image(image: ImageInput) -> Image.Image:
    """Decode to RGB of 8 bits, turned as its EXIF orientation says; transparent pixels are laid on white.

    Raises FileNotFoundError or ValueError with the name of a file that is missing or does not decode.
    """
    with named(image):
        decoded = _eight_bits(ImageOps.exif_transpose(_lazy(image)))
        if decoded.has_transparency_data:
            # The colour stored under a transparent pixel is arbitrary; convert("RGB") would show it.
            decoded = decoded.convert("RGBA")
            white = Image.new("RGBA", decoded.size, "white")
            return Image.alpha_composite(white, decoded).convert("RGB")
        return decoded.convert("RGB")


def open_images(images: Sequence[ImageInput]) -> list[Image.Image]:
    """`open_image` for each, several at a time: Pillow decodes without holding the interpreter's lock."""
    if len(images) < 2:
        return [open_image(image) for image in images]
    with ThreadPoolExecutor() as pool:
        return list(pool.map(open_image, images))


def pixel_count(image: ImageInput) -> int:
    """Width times height, read from the file's header alone. Raises as `open_image` does."""
    with named(image):
        if isinstance(image, Image.Image):
            width, height = image.size
        else:
            with _lazy(image) as header:
                width, height = header.size
        return width * height


def check_images(images: Sequence[ImageInput]) -> list[ImageInput]:
    """Raise TypeError with the position of the first item that is not an image."""
    if isinstance(images, (str, bytes, Path, Image.Image)):
        raise TypeError(f"encode_images: images must be a sequence of images or paths, got {type(images).__name__}")
    for position, image in enumerate(images):
        if not isinstance(image, (Image.Image, str, Path, bytes)):
            raise TypeError(
                "encode_images: images must be PIL images, paths or the bytes of files, "
                f"got {type(image).__name__} at position {position}"
            )
    return list(images)


def check_processable(image_processor: Any, image: ImageInput) -> None:
    """Raise ValueError, naming the image, where a model's image processor refuses it."""
    opened = open_image(image)
    try:
        image_processor(images=[opened], return_tensors="pt")
    except ValueError as error:
        raise ValueError(
            f"encode_images: the model does not take the image {_where(image)} of {opened.width} x {opened.height} "
            f"pixels: {error}"
        ) from error


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit grey levels as the nearest 8-bit ones, where Pillow's own conversion would clip them at 255."""
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers, of which none is known to be white; give 8 or 16 bits")
    if not image.mode.startswith("I"):
        return image
    levels = np.asarray(image).astype(np.int64)
    if levels.min() < 0 or levels.max() > 65535:
        raise ValueError(f"its grey levels must be 0 to 65535, got {levels.min()} to {levels.max()}")
    return Image.fromarray(((levels + 128) // 257).astype(np.uint8))


def _lazy(image: ImageInput) -> Image.Image:
    if isinstance(image, Image.Image):
        return image
    return Image.open(io.BytesIO(image) if isinstance(image, bytes) else image)


@contextlib.contextmanager
def named(image: ImageInput) -> Iterator[None]:
    """Say of what goes wrong inside which image it was."""
    where = _where(image)
    try:
        yield
    except FileNotFoundError:
        raise FileNotFoundError(f"encode_images: there is no file {where}") from None
    # Pillow's decoders raise whatever their format's parser meets (struct.error, IndexError, zlib.error, ...).
    except Exception as error:
        raise ValueError(f"encode_images: the image {where} does not decode: {error}") from error


def _where(image: ImageInput) -> str:
    if isinstance(image, (str, Path)):
        return str(image)
    return getattr(image, "filename", "") or f"given as {type(image).__name__}"
