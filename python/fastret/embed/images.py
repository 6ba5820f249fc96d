"""Images as the encoders want them: decoded, upright, RGB; a file that does not decode is named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageOps

ImageInput = Image.Image | str | Path


def open_image(image: ImageInput) -> Image.Image:
    """Decode to RGB, turned as its EXIF orientation says; transparent pixels are laid on white.

    Raises FileNotFoundError or ValueError with the name of a file that is missing or does not decode.
    """
    where = _where(image)
    try:
        decoded = ImageOps.exif_transpose(image if isinstance(image, Image.Image) else Image.open(image))
        if decoded.has_transparency_data:
            # The colour stored under a transparent pixel is arbitrary; convert("RGB") would show it.
            decoded = decoded.convert("RGBA")
            white = Image.new("RGBA", decoded.size, "white")
            return Image.alpha_composite(white, decoded).convert("RGB")
        return decoded.convert("RGB")
    except FileNotFoundError:
        raise FileNotFoundError(f"encode_images: there is no file {where}") from None
    # Pillow's decoders raise whatever their format's parser meets (struct.error, IndexError, zlib.error, ...).
    except Exception as error:
        raise ValueError(f"encode_images: the image {where} does not decode: {error}") from error


def pixel_count(image: ImageInput) -> int:
    """Width times height, read from the file's header alone. Raises as `open_image` does."""
    if isinstance(image, Image.Image):
        return image.width * image.height
    try:
        with Image.open(image) as header:
            return header.width * header.height
    except FileNotFoundError:
        raise FileNotFoundError(f"encode_images: there is no file {_where(image)}") from None
    except Exception as error:
        raise ValueError(f"encode_images: the image {_where(image)} does not decode: {error}") from error


def check_images(images: Sequence[ImageInput]) -> list[ImageInput]:
    """Raise TypeError with the position of the first item that is neither an image nor a path."""
    if isinstance(images, (str, Path, Image.Image)):
        raise TypeError(f"encode_images: images must be a sequence of images or paths, got {type(images).__name__}")
    for position, image in enumerate(images):
        if not isinstance(image, (Image.Image, str, Path)):
            raise TypeError(
                f"encode_images: images must be PIL images or paths, got {type(image).__name__} at position {position}"
            )
    return list(images)


def _where(image: ImageInput) -> str:
    if isinstance(image, Image.Image):
        return getattr(image, "filename", "") or "given as a PIL image"
    return str(image)
