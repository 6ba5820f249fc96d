"""Embeddings of the demo's collections, kept on disk between runs, and looked up by id."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from fastret.evaluate import Collection

if TYPE_CHECKING:
    from PIL.Image import Image


def default_cache() -> Path:
    """`$XDG_CACHE_HOME/fastret`, or `~/.cache/fastret` where that is not set (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "fastret"


def text_collection(ids: Sequence[str], texts: Sequence[str]) -> Collection:
    return Collection(ids, texts, [None] * len(ids))


def image_collection(ids: Sequence[str], images: Sequence[Image]) -> Collection:
    return Collection(ids, [None] * len(ids), images)


@dataclass(frozen=True)
class Features:
    """Embeddings [N, D] with the ids of their rows."""

    ids: Sequence[str]
    embeddings: Tensor

    def __post_init__(self) -> None:
        object.__setattr__(self, "_rows", {id_: row for row, id_ in enumerate(self.ids)})

    def of(self, ids: Sequence[str]) -> Tensor:  # [len(ids), D]
        rows: dict[str, int] = self.__dict__["_rows"]
        return self.embeddings[[rows[id_] for id_ in ids]]
