"""A SentenceTransformer as an Encoder: one for queries, one for documents, each with its prompt."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from ..embed.batching import Progress
from ..embed.images import open_images
from .options import OP

if TYPE_CHECKING:
    from ..embed.images import ImageInput


def is_sentence_transformer(model: Any) -> bool:
    return hasattr(model, "encode_query") and hasattr(model, "encode_document")


class SentenceTransformerEncoder:
    """What `model.encode_query` or `model.encode_document` gives, as fastret's encoders give it.

    prompt, prompt_name: as those methods take them.
    pool: of `model.start_multi_process_pool`, or None.
    """

    inputs = frozenset({"text", "image"})

    def __init__(
        self,
        model: Any,
        side: Literal["query", "document"],
        prompt: str | None = None,
        prompt_name: str | None = None,
        pool: Any = None,
    ) -> None:
        self._encode = getattr(model, f"encode_{side}")
        self._model, self._side = model, side
        self._arguments = {"prompt": prompt, "prompt_name": prompt_name, "pool": pool}
        self.name = str(model.model_card_data.base_model or type(model).__name__)
        self.dim = int(model.get_embedding_dimension())

    def encode_texts(self, texts: Sequence[str], *, batch_size: int = 32, progress: Progress = None) -> Tensor:
        """[N, dim] float32 on the CPU."""
        return self._encoded(list(texts), batch_size, progress)

    def encode_images(self, images: Sequence[ImageInput], *, batch_size: int = 32, progress: Progress = None) -> Tensor:
        """[N, dim] float32 on the CPU."""
        return self._encoded(open_images(images), batch_size, progress)

    def encode_pairs(
        self, images: Sequence[ImageInput], texts: Sequence[str], *, batch_size: int = 32, progress: Progress = None
    ) -> Tensor:
        """Raises ValueError: these models take one of the two."""
        raise ValueError(f"{OP}: {self.name} takes texts and images, got pairs of both")

    def describe(self) -> dict[str, str]:
        """With a hash of the weights: a model in training keeps its name."""
        return {
            "model": self.name,
            "revision": weights_sha256(self._model),
            "side": self._side,
            "prompt": str(self._arguments["prompt"]),
            "prompt_name": str(self._arguments["prompt_name"]),
        }

    def _encoded(self, inputs: list[Any], batch_size: int, progress: Progress) -> Tensor:
        shown = None if callable(progress) else progress
        given = self._encode(
            inputs,
            batch_size=batch_size,
            show_progress_bar=False if callable(progress) else shown,
            convert_to_tensor=not self._arguments["pool"],  # worker processes give numpy arrays alone
            **self._arguments,
        )
        if callable(progress):
            progress(len(inputs))
        return torch.as_tensor(given).float().cpu()


@contextlib.contextmanager
def process_pool(model: Any, use_multi_process: bool | Sequence[str]) -> Iterator[Any]:
    """Worker processes that embed, or None."""
    if not use_multi_process:
        yield None
        return
    devices = None if isinstance(use_multi_process, bool) else list(use_multi_process)
    pool = model.start_multi_process_pool(target_devices=devices)
    try:
        yield pool
    finally:
        model.stop_multi_process_pool(pool)


def weights_sha256(model: torch.nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
