"""What an encoder is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from torch import Tensor

from .batching import Progress

if TYPE_CHECKING:
    from .images import ImageInput


@runtime_checkable
class Encoder(Protocol):
    """Turns texts, images, or images with a text each into vectors of one space.

    The encode methods return [N, dim] float32 on the CPU, row i for input i, as the model gives it (not normalised);
    rows do not depend on batch_size or on the order of the inputs beyond rounding. They raise ValueError for a kind
    of input that is not in `inputs`, for an empty text and for an image that does not decode.
    `progress`: None shows a bar where stderr is a terminal, True always, False never; a callable is told how many
    inputs each batch has finished.
    """

    name: str
    dim: int
    inputs: frozenset[str]
    """Which of "text", "image" and "pair" the encoder takes."""

    def encode_texts(self, texts: Sequence[str], *, batch_size: int = 32, progress: Progress = None) -> Tensor:
        """Embeddings [N, dim] of N texts; a text beyond the model's length is cut at its end.

        Raises ValueError for an empty text and TypeError for what is no string, each with its position.
        """
        ...

    def encode_images(self, images: Sequence[ImageInput], *, batch_size: int = 32, progress: Progress = None) -> Tensor:
        """Embeddings [N, dim] of N images: PIL images, paths or the bytes of files, decoded batch by batch.

        Raises ValueError or FileNotFoundError, naming the image, where it does not decode, is missing, or has a shape
        that the model does not take; TypeError, with its position, for what is no image.
        """
        ...

    def encode_pairs(
        self, images: Sequence[ImageInput], texts: Sequence[str], *, batch_size: int = 32, progress: Progress = None
    ) -> Tensor:
        """Embeddings [N, dim] of N images with a text each: one vector for both.

        Raises as `encode_texts` and `encode_images` do, and ValueError unless there are as many of either.
        """
        ...

    def describe(self) -> dict[str, str]:
        """What the embeddings depend on: model, family, revision, pooling, prompt, dtype."""
        ...
