"""Blocks of scores: some anchors with some candidates, made and sent back by matrix products a few rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..ops.contrastive import ColumnLists
from .products import product

WORKSPACE_BYTES = 8 << 20


@dataclass
class Vectors:
    """Vectors of a loss, what a guide thinks of them, and the sum of their gradients."""

    rows: Tensor  # [*, D]
    guide: Tensor | None = None  # [*, G]
    gradient: Tensor | None = None  # of the shape of the rows, float32 for 16-bit ones; None: not needed

    @classmethod
    def of(cls, rows: Tensor, guide: Tensor | None, wanted: bool) -> Vectors:
        dtype = torch.promote_types(rows.dtype, torch.float32)
        return cls(rows, guide, torch.zeros_like(rows, dtype=dtype) if wanted else None)


@dataclass
class Block:
    """Anchors with candidates that all anchors share."""

    anchors: Vectors  # [R, D]
    candidates: Vectors  # [C, D]
    hardness: float = 0.0
    positives: ColumnLists | None = None
    excluded: ColumnLists | None = None
    excluded_rows: ColumnLists | None = None  # the same, as lists of anchors for each candidate
    anchor_rows: Tensor | None = None  # [R] int64: the rows of `anchors` that are meant; None: all

    @property
    def width(self) -> int:
        return self.candidates.rows.shape[0]

    @property
    def elements_per_row(self) -> int:
        """What a chunk needs to hold for each anchor."""
        return self.width if self.anchors.guide is None else 2 * self.width

    def score(self, begin: int, end: int) -> Tensor:
        """Scores of the anchors from begin to end, [end - begin, C]."""
        return product(self._anchors(self.anchors.rows, begin, end), self.candidates.rows.T)

    def judge(self, begin: int, end: int) -> Tensor | None:
        """What a guide says of them, in the dtype of the scores."""
        if self.anchors.guide is None or self.candidates.guide is None:
            return None
        judged = product(self._anchors(self.anchors.guide, begin, end), self.candidates.guide.T)
        return judged.to(self.anchors.rows.dtype)

    def send_back(self, begin: int, end: int, gradient: Tensor) -> None:
        """Add what the gradient [end - begin, C] of these scores means for anchors and candidates."""
        if self.anchors.gradient is not None:
            part = product(gradient, self.candidates.rows)
            if self.anchor_rows is None:
                self.anchors.gradient[begin:end] += part
            else:
                rows = self.anchor_rows[begin:end].clamp_min(0)
                self.anchors.gradient.index_add_(0, rows, part.to(self.anchors.gradient.dtype))
        if self.candidates.gradient is not None:
            self.candidates.gradient += product(gradient.T, self._anchors(self.anchors.rows, begin, end))

    def _anchors(self, rows: Tensor, begin: int, end: int) -> Tensor:
        # An anchor that is missing (-1) has no positive: its loss is 0 whatever it scores.
        return rows[begin:end] if self.anchor_rows is None else rows[self.anchor_rows[begin:end].clamp_min(0)]


@dataclass
class OwnCandidates(Block):
    """Anchors [R, D] that have M candidates each, [R, M, D], or rows `choice` of the candidates [*, D]."""

    choice: Tensor | None = None  # [R, M] int64
    absent: Tensor | None = None  # [R, M] bool: no candidates

    @property
    def width(self) -> int:
        return self.candidates.rows.shape[1] if self.choice is None else self.choice.shape[1]

    @property
    def elements_per_row(self) -> int:
        return self.width * (1 + 2 * self.candidates.rows.shape[-1])

    def score(self, begin: int, end: int) -> Tensor:
        scores = self._products(self.anchors.rows, self.candidates.rows, begin, end).contiguous()
        return scores if self.absent is None else scores.masked_fill_(self.absent[begin:end], -torch.inf)

    def judge(self, begin: int, end: int) -> Tensor | None:
        if self.anchors.guide is None or self.candidates.guide is None:
            return None
        judged = self._products(self.anchors.guide, self.candidates.guide, begin, end)
        return judged.to(self.anchors.rows.dtype).contiguous()

    def send_back(self, begin: int, end: int, gradient: Tensor) -> None:
        if self.anchors.gradient is not None:
            self.anchors.gradient[begin:end] += (gradient[:, None] @ self._own(self.candidates.rows, begin, end))[:, 0]
        total = self.candidates.gradient
        if total is not None:
            part = (gradient[:, :, None] * self.anchors.rows[begin:end, None]).to(total.dtype)
            if self.choice is None:
                total[begin:end] = part
            else:
                total.index_add_(0, self.choice[begin:end].clamp_min(0).flatten(), part.flatten(0, 1))

    def _own(self, rows: Tensor, begin: int, end: int) -> Tensor:
        return rows[begin:end] if self.choice is None else rows[self.choice[begin:end].clamp_min(0)]

    def _products(self, anchors: Tensor, candidates: Tensor, begin: int, end: int) -> Tensor:
        return (self._own(candidates, begin, end) @ anchors[begin:end, :, None])[:, :, 0]


def spans(blocks: list[Block], anchors: int) -> Iterator[tuple[int, int]]:
    """Begin and end of so many anchors at a time as the workspace has room for."""
    row_bytes = blocks[0].anchors.rows.element_size() * sum(block.elements_per_row for block in blocks)
    chunk = max(1, WORKSPACE_BYTES // max(1, row_bytes))
    return ((begin, min(begin + chunk, anchors)) for begin in range(0, anchors, chunk))
