"""Exact, fast similarity search and retrieval evaluation over embeddings.

    scores, ids = fastret.search(queries, keys, k=10, metric="cosine")

Rooms, each loaded when first touched: `fastret.embed` (encoders), `fastret.evaluate` (retrieval metrics),
`fastret.faiss` (the drop-in), `fastret.index`, `fastret.losses` (contrastive training), `fastret.mining` (hard
negatives), `fastret.ops`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ._loader import build_info
from .ops import (
    PackedKeys,
    SearchExplanation,
    cosine_scores,
    explain_search,
    mine_hard_negatives,
    pack,
    range_search,
    search,
    select_k,
)

if TYPE_CHECKING:
    from . import demo as demo
    from . import embed as embed
    from . import evaluate as evaluate
    from . import faiss as faiss
    from . import index as index
    from . import losses as losses
    from . import mining as mining
    from . import ops as ops
    from .index import FlatIndex
    from .losses import info_nce, sigmoid_loss

__version__ = "0.1.0"
__all__ = [
    "FlatIndex",
    "PackedKeys",
    "SearchExplanation",
    "build_info",
    "cosine_scores",
    "explain_search",
    "info_nce",
    "mine_hard_negatives",
    "pack",
    "range_search",
    "search",
    "select_k",
    "sigmoid_loss",
]

_ROOMS = ("demo", "embed", "evaluate", "faiss", "index", "losses", "mining", "ops")
# Public names of rooms.
_ELSEWHERE = {"FlatIndex": "index", "info_nce": "losses", "sigmoid_loss": "losses"}


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"fastret.{name}")
    if name in _ELSEWHERE:
        return getattr(importlib.import_module(f"fastret.{_ELSEWHERE[name]}"), name)
    raise AttributeError(f"module 'fastret' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_ROOMS, *_ELSEWHERE])
