"""Hard negatives for a data set, and a memory bank of past embeddings.

`fastret.mine_hard_negatives` is the op that mines in a training step; here are what it mines from beside the batch, and
`mine_dataset`, which mines once for a whole data set, by sentence-transformers' options.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .memory_bank import MemoryBank
from .options import PRESETS

if TYPE_CHECKING:
    from .dataset import mine_dataset
    from .summary import MiningSummary

__all__ = ["PRESETS", "MemoryBank", "MiningSummary", "mine_dataset"]


def __getattr__(name: str) -> Any:
    # A training loop that only wants the bank does without what reads images.
    if name == "mine_dataset":
        return importlib.import_module(f"{__name__}.dataset").mine_dataset
    if name == "MiningSummary":
        return importlib.import_module(f"{__name__}.summary").MiningSummary
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
