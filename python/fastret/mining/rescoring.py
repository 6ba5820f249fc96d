"""Scores of a second model, a cross-encoder or a multimodal language model, in place of the embeddings'."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor

from .options import OP
from .pairs import Cell


@runtime_checkable
class CrossEncoder(Protocol):
    """As of sentence-transformers."""

    def predict(self, pairs: list[tuple[Cell, Cell]], **arguments: Any) -> Any: ...


Rescorer: TypeAlias = CrossEncoder | Callable[[list[tuple[Cell, Cell]]], Any]
"""Or any function from pairs of a query and a document to one score each, more for the better match."""


def rescore(rescorer: Rescorer, pairs: Sequence[tuple[Cell, Cell]], batch_size: int) -> Tensor:
    """[n] float32: the scores of n pairs; a function gets batch_size of them at a time.

    Raises ValueError where there is not one number for each pair.
    """
    if not pairs:
        return torch.empty(0)
    if isinstance(rescorer, CrossEncoder):
        return _checked(rescorer.predict(list(pairs), batch_size=batch_size, show_progress_bar=False), len(pairs))
    batches = [list(pairs[start : start + batch_size]) for start in range(0, len(pairs), batch_size)]
    return torch.cat([_checked(rescorer(batch), len(batch)) for batch in batches])


def _checked(given: Any, count: int) -> Tensor:
    scores = torch.as_tensor(given, dtype=torch.float32).detach().cpu()
    if scores.shape == (count, 1):
        scores = scores[:, 0]
    if scores.shape != (count,):
        raise ValueError(f"{OP}: cross_encoder must give one score for each of {count} pairs, got {list(scores.shape)}")
    if bool(scores.isnan().any()):
        raise ValueError(f"{OP}: cross_encoder must give numbers, got NaN for pair {int(scores.isnan().nonzero()[0])}")
    return scores


def rescorer_name(rescorer: Rescorer | None) -> str:
    """What a plan remembers of it: two functions of one name are taken for the same."""
    if rescorer is None:
        return ""
    named = rescorer if hasattr(rescorer, "__qualname__") else type(rescorer)
    return f"{named.__module__}.{named.__qualname__}"
