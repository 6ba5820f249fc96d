"""Binary vectors in an index of floats: FAISS's IndexBinaryFromFloat."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...ops.hamming_search import NO_DISTANCE
from ..index import Index
from ..metrics import METRIC_INNER_PRODUCT, METRIC_L2
from ..search_parameters import SearchParameters
from .index import IndexBinary


class IndexBinaryFromFloat(IndexBinary):
    """faiss.IndexBinaryFromFloat(index): bits are held as 1 and -1, whose squared L2 distance is 4 times Hamming's."""

    index: Any = None
    own_fields: bool = False

    def __init__(self, index: Index) -> None:
        if not isinstance(index, Index):
            raise TypeError(f"{type(self).__name__}: an index of floats is needed, got {type(index).__name__}")
        super().__init__(index.d)
        self.index, self.is_trained = index, index.is_trained

    @property
    def ntotal(self) -> int:
        return int(self.index.ntotal)

    def _train(self, codes: Tensor) -> None:
        self.index.train(signs(codes))
        self.is_trained = True

    def _add(self, codes: Tensor) -> None:
        self.index.add(signs(codes))

    def _search(
        self, codes: Tensor, k: int, params: SearchParameters | None, names: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        if self.index.metric_type not in (METRIC_INNER_PRODUCT, METRIC_L2):
            self._refuse("search", f"its index must be of METRIC_L2 or METRIC_INNER_PRODUCT: {self.index!r}")
        scores, ids = self.index.search(signs(codes), k, params=params)
        squared = scores if self.index.metric_type == METRIC_L2 else 2 * (self.d - scores)
        distances = (squared.clamp(0, 4 * self.d) / 4).round().int().masked_fill(ids < 0, NO_DISTANCE)
        if names is not None and len(names):
            ids = torch.where(ids < 0, ids, names[ids.clamp_min(0)])
        return distances, ids

    def _reset(self) -> None:
        self.index.reset()


def signs(codes: Tensor) -> Tensor:
    """Codes [n, d / 8] as [n, d] float32 of 1 and -1."""
    return bits_of(codes) * 2 - 1


def bits_of(codes: Tensor) -> Tensor:
    """Codes [n, d / 8] as [n, d] float32 of 1 and 0."""
    return torch.from_numpy(np.unpackbits(codes.numpy(), axis=1, bitorder="little")).float()
