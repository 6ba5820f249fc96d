"""Images that a model does not take, found before hours of embedding."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from .batching import progress_bar
from .encoder import Encoder
from .images import ImageInput, check_processable, open_image

REFUSED_IMAGE = "image that the model does not take"
"""The reason under which commands count the images that `image_faults` found."""


def image_faults(encoder: Encoder, images: Sequence[ImageInput | None]) -> list[str | None]:
    """Why the encoder would refuse each image, in a sentence; None where it takes it, or where there is none.

    Decodes and preprocesses every image and embeds none, so that bad ones can be left out before hours of embedding.
    """
    image_processor = getattr(encoder, "image_processor", None)

    def fault(image: ImageInput | None) -> str | None:
        try:
            if image is not None and image_processor is not None:
                check_processable(image_processor, image)
            elif image is not None:
                open_image(image)
        except (ValueError, FileNotFoundError) as error:
            return str(error)
        return None

    faults = []
    with ThreadPoolExecutor() as pool, progress_bar(len(images), None, description="checking images") as bar:
        for found in pool.map(fault, images):
            faults.append(found)
            bar.update()
    return faults
