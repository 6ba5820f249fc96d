from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"

import functools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fastret.embed import Encoder, load_encoder

sys.path.insert(0, str(Path(__file__).parent))
import tiny_models

TinyModel = Callable[[str], Path]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    """The folder of a tiny checkpoint, by family; each is built once."""

    @functools.cache
    def build(family: str) -> Path:
        return tiny_models.BUILDERS[family](tmp_path_factory.mktemp("tiny") / family)

    return build


@pytest.fixture(scope="session")
def tiny_encoder(tiny_model: TinyModel) -> Callable[[str], Encoder]:
    """An encoder with default settings, by family; each is loaded once."""
    return functools.cache(lambda family: load_encoder(tiny_model(family)))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny models spend longer waking threads than computing."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def images() -> list[Image.Image]:
    """Four images of different sizes and shapes."""
    generator = np.random.default_rng(0)
    sizes = [(40, 48), (64, 40), (33, 90), (48, 48)]
    return [Image.fromarray(generator.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in sizes]


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """Four texts of very different lengths."""
    return ["dog", "a red apple on a table", "two dogs run in the park " * 3 + "again", "a photo"]
