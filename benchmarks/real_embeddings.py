#!/usr/bin/env python
"""Makes the real embeddings that `search` is measured on, once per machine.

    python -m benchmarks.real_embeddings     # minutes on two cores; a run that is stopped goes on where it was

- MiniLM-sentences.npy [31000, 384]: sentences of the documentation strings of Python's standard library, torch,
  numpy and scipy, drawn with a fixed seed, each sentence once, embedded by MiniLM (all-MiniLM-L6-v2).
- EfficientNet-emoji.npy [N, 1280]: every picture of the demo's emoji data set, pooled features of EfficientNet-lite0.

Both models come as Python packages: nothing is fetched. The files lie in `$XDG_CACHE_HOME/fastret/benchmarks`
(~/.cache/fastret/benchmarks). Which sentences there are depends on the installed versions, so compare ratios between
machines, not answers.
"""

from __future__ import annotations

import ast
import importlib.util
import random
import re
import shutil
import sys
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from fastret.demo.efficientnet import EfficientNetLite0
from fastret.demo.emoji import VENDORS, thumbnails
from fastret.demo.features import default_cache
from fastret.embed import load_encoder
from fastret.embed.store import write_store
from fastret.replacing import replacing

NUM_SENTENCES = 31_000  # 30,000 keys and 1000 held-out queries
DOCUMENTED = ("torch", "numpy", "scipy")
INSTALLED_BELOW = {"site-packages", "dist-packages"}  # inside the standard library's folder, and no part of it
SHORTEST_CHARACTERS, LONGEST_CHARACTERS = 30, 300
FEWEST_WORDS = 5
BATCH = 64


@dataclass(frozen=True)
class RealEmbeddings:
    file_name: str
    make: Callable[[Path], Tensor]  # takes the folder of the half-made; returns [N, D]

    @property
    def file(self) -> Path:
        return cache_folder() / self.file_name

    @property
    def shape(self) -> tuple[int, int]:
        """(N, D) of the file, which must exist."""
        num_rows, dim = np.load(self.file, mmap_mode="r").shape
        return num_rows, dim


def cache_folder() -> Path:
    return default_cache() / "benchmarks"


def documentation_sentences() -> list[str]:
    """NUM_SENTENCES sentences, the same for the same installed files.

    Raises:
        ValueError: too few are installed.
    """
    found = sorted({sentence for folder in _documented_folders() for sentence in sentences_under(folder)})
    if len(found) < NUM_SENTENCES:
        raise ValueError(
            f"real_embeddings: needs {NUM_SENTENCES} sentences in the documentation strings of the standard library, "
            f"{', '.join(DOCUMENTED)}, got {len(found)}"
        )
    return random.Random(0).sample(found, NUM_SENTENCES)


def _documented_folders() -> list[Path]:
    specs = [importlib.util.find_spec(name) for name in DOCUMENTED]
    packages = [Path(spec.origin).parent for spec in specs if spec and spec.origin]
    return [Path(sysconfig.get_paths()["stdlib"]), *packages]


def sentences_under(folder: Path) -> Iterator[str]:
    """The sentences of every documentation string of the Python files below a folder; repeated ones come again."""
    for path in sorted(folder.rglob("*.py")):
        if INSTALLED_BELOW.intersection(path.relative_to(folder).parts):
            continue
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):  # the standard library keeps some broken files, for its tests
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield from sentences_in(ast.get_docstring(node) or "")


def sentences_in(text: str) -> Iterator[str]:
    """What reads as a sentence: from a capital letter to a full stop, neither a few words nor a page, and no code."""
    for paragraph in re.split(r"\n\s*\n", text):
        for sentence in re.split(r"(?<=[.!?])\s+", " ".join(paragraph.split())):
            if (
                re.fullmatch(r"[A-Z][^=<>{}`|]*[a-z)][.!?]", sentence)
                and "--" not in sentence
                and SHORTEST_CHARACTERS <= len(sentence) <= LONGEST_CHARACTERS
                and len(sentence.split()) >= FEWEST_WORDS
            ):
                yield sentence


def _embed_sentences(folder: Path) -> Tensor:
    sentences = documentation_sentences()
    encoder = load_encoder("minilm", dtype="float32", device="cpu")
    ids = [str(number) for number in range(len(sentences))]
    return write_store(folder, encoder, ids, texts=sentences, batch_size=BATCH, description="sentences").embeddings


def _embed_emoji(folder: Path) -> Tensor:
    pictures = {f"{vendor}/{id_}": image for vendor in VENDORS for id_, image in thumbnails(vendor).items()}
    ids, images = list(pictures), list(pictures.values())
    encoder = EfficientNetLite0()
    return write_store(folder, encoder, ids, images=images, batch_size=BATCH, description="emoji").embeddings


SENTENCES = RealEmbeddings("MiniLM-sentences.npy", _embed_sentences)
EMOJI = RealEmbeddings("EfficientNet-emoji.npy", _embed_emoji)


def missing() -> list[str]:
    """A line per file that is not made yet."""
    how = "python -m benchmarks.real_embeddings makes them once"
    return [
        f"{real.file.stem} are not made yet: their rows are left out ({how})"
        for real in (SENTENCES, EMOJI)
        if not real.file.exists()
    ]


def main() -> int:
    for wanted in (SENTENCES, EMOJI):
        if wanted.file.exists():
            print(f"{wanted.file} is there", file=sys.stderr)
            continue
        store = wanted.file.with_suffix(".store")
        try:
            embeddings = wanted.make(store)
        except (ImportError, RuntimeError, ValueError) as error:
            print(error, file=sys.stderr)
            return 1
        with replacing(wanted.file) as temporary, temporary.open("wb") as file:
            np.save(file, embeddings.numpy())
        shutil.rmtree(store)
        print(f"{wanted.file} holds {list(embeddings.shape)}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
