"""The feature maps of every picture in a few views, computed once and kept on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from torch import Tensor

from fastret.embed.batching import Progress, encode_batches
from fastret.embed.images import check_images, open_image
from fastret.embed.store import EmbeddingStore, write_store

from ..efficientnet import PACKAGES
from ..emoji import VENDORS, Emoji, thumbnails
from .vision_tower import EfficientNetLiteModel, grid_cells

if TYPE_CHECKING:
    from PIL.Image import Image

    from fastret.embed.images import ImageInput

View = tuple[float, float, float]
# Size relative to the picture's own, then the shift to the right and down in parts of its width. The first view is
# the picture itself; the others stand in for more pictures, and cost nothing once their features are on disk.
VIEWS: tuple[View, ...] = ((1.0, 0.0, 0.0), (0.8, 0.0, 0.0), (0.9, -0.08, 0.06), (1.1, 0.04, -0.04))


def picture_views(emoji: Sequence[Emoji], views: Sequence[View] = VIEWS) -> dict[str, Image]:
    """Views of every picture of the emoji, under `vendor/id/view`."""
    shown: dict[str, Image] = {}
    for vendor in VENDORS:
        drawn = thumbnails(vendor)
        for one in emoji:
            if vendor in one.vendors:
                shown |= {f"{vendor}/{one.id}/{n}": see(drawn[one.id], *view) for n, view in enumerate(views)}
    return shown


def see(image: Image, size: float, right: float, down: float) -> Image:
    """The picture enlarged about its centre, then shifted, on white."""
    from PIL import Image as PillowImage

    width, height = image.size
    left, top = width * ((1 - size) / 2 + right), height * ((1 - size) / 2 + down)
    to_source = (1 / size, 0, -left / size, 0, 1 / size, -top / size)  # from a pixel of the view to one of the image
    return image.transform(
        image.size,
        PillowImage.Transform.AFFINE,
        to_source,
        resample=PillowImage.Resampling.BICUBIC,
        fillcolor="white",
    )


class FeatureMaps:
    """An encoder whose embedding of an image is the vision tower's feature map, flattened."""

    name = "EfficientNet-lite0 feature map"
    inputs = frozenset({"image"})

    def __init__(self, tower: EfficientNetLiteModel, image_processor: Any) -> None:
        self._tower, self._image_processor = tower, image_processor
        self.dim = grid_cells(tower.config.image_size) * tower.config.hidden_size

    def encode_images(self, images: Sequence[ImageInput], *, batch_size: int = 32, progress: Progress = None) -> Tensor:
        """[N, cells * 1280] float32."""
        images = check_images(images)
        with torch.inference_mode():
            return encode_batches(
                images, self._encode, dim=self.dim, sizes=[0] * len(images), batch_size=batch_size, progress=progress
            )

    def _encode(self, images: list[ImageInput]) -> Tensor:
        pixels = self._image_processor(images=[open_image(image) for image in images], return_tensors="pt")
        maps: Tensor = self._tower(pixels["pixel_values"]).last_hidden_state
        return maps.flatten(1)

    def encode_texts(self, texts: Sequence[str], *, batch_size: int = 32, progress: Progress = None) -> NoReturn:
        raise ValueError(f"encode_texts: {self.name} takes images, got texts")

    def encode_pairs(
        self, images: Sequence[ImageInput], texts: Sequence[str], *, batch_size: int = 32, progress: Progress = None
    ) -> NoReturn:
        raise ValueError(f"encode_pairs: {self.name} takes images, got images with texts")

    def describe(self) -> dict[str, str]:
        return {"model": self.name, "revision": PACKAGES[1], "image size": f"{self._tower.config.image_size} px"}


@dataclass(frozen=True)
class PictureCells:
    """Feature maps on disk, by the id of the picture and view."""

    store: EmbeddingStore
    cells: int  # of each map

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {id_: row for row, id_ in enumerate(self.store.ids)}

    def of(self, pictures: Sequence[str]) -> Tensor:  # [len(pictures), cells, 1280] float32
        rows = [divmod(self._rows[picture], self.store.manifest.shard_rows) for picture in pictures]
        flat = torch.stack([self.store.shards[shard][row] for shard, row in rows])
        return flat.float().view(len(rows), self.cells, -1)


def picture_cells(
    views: Mapping[str, Image],
    tower: EfficientNetLiteModel,
    image_processor: Any,
    folder: Path,
    *,
    progress: bool | None = None,
) -> PictureCells:
    """The feature maps of `views`, kept in `folder` as float16.

    What is missing there is computed, shard by shard: a run that was killed goes on where it was.
    """
    store = write_store(
        folder,
        FeatureMaps(tower, image_processor),
        list(views),
        images=list(views.values()),
        dtype=torch.float16,
        progress=progress,
        description="feature maps",
    )
    return PictureCells(store, grid_cells(tower.config.image_size))
