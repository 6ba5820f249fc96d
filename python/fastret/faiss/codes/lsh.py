"""Locality-sensitive hashing: vectors as the signs of their (rotated) dimensions. FAISS's IndexLSH."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..._C import HammingSearcher
from ...ops.hamming_search import hamming_search
from ..flat_codes import IndexOfCodes
from ..held_searcher import HeldSearcher
from ..search_parameters import SearchParameters
from ..transforms.linear import LinearTransform, RandomRotationMatrix
from ..vectors import Float32Vector, VectorField

_ROTATION_SEED = 5  # FAISS's


class IndexLSH(IndexOfCodes):
    """faiss.IndexLSH(d, nbits, rotate_data, train_thresholds): searched by the number of signs that differ.

    rotate_data: signs are taken behind the random rotation `rrot`, else of the first nbits dimensions.
    train_thresholds: they are taken of the differences to `thresholds`, the medians of the training vectors.
    Vectors that are reconstructed have 1 and -1 (plus thresholds) for their signs. Of equal distances the smaller id
    is first.
    """

    nbits: int = 0
    rotate_data: bool = False
    train_thresholds: bool = False
    rrot: RandomRotationMatrix = RandomRotationMatrix()
    thresholds = VectorField("_thresholds", Float32Vector)
    _held_searcher: HeldSearcher
    _thresholds: Tensor  # [nbits], or [0]

    def __init__(self, d: int = 0, nbits: int = 0, rotate_data: bool = True, train_thresholds: bool = False) -> None:
        self.nbits = operator.index(nbits)
        super().__init__(d)
        self.rotate_data, self.train_thresholds = bool(rotate_data), bool(train_thresholds)
        self._thresholds, self._held_searcher = torch.empty(0), HeldSearcher()
        self.rrot = RandomRotationMatrix(self.d, self.nbits)
        if self.rotate_data and self.nbits:
            self.rrot.init(_ROTATION_SEED)
        elif self.nbits > self.d:
            raise RuntimeError(f"IndexLSH: without a rotation nbits must be at most d = {self.d}, got {self.nbits}")
        self.is_trained = not self.train_thresholds

    def _code_size(self) -> int:
        return (self.nbits + 7) // 8

    def _projected(self, rows: Tensor) -> Tensor:
        """[n, nbits]"""
        return self.rrot._apply(rows) if self.rotate_data else rows[:, : self.nbits]

    def _train(self, rows: Tensor) -> None:
        if self.train_thresholds:
            if not len(rows):
                self._refuse("train", "there must be vectors to learn thresholds from, got none")
            self._thresholds = torch.from_numpy(np.median(self._projected(rows).numpy(), axis=0))
        self.is_trained = True

    def _encode(self, rows: Tensor) -> Tensor:
        projected = self._projected(rows)
        if self.train_thresholds:
            projected = projected - self._thresholds
        return torch.from_numpy(np.packbits(projected.numpy() >= 0, axis=1, bitorder="little")).contiguous()

    def _decode(self, codes: Tensor) -> Tensor:
        bits = np.unpackbits(codes.numpy(), axis=1, count=self.nbits, bitorder="little")
        projected = torch.from_numpy(bits).float() * 2 - 1
        if self.train_thresholds:
            projected = projected + self._thresholds
        if self.rotate_data:
            return self.rrot._transposed(projected)
        return torch.nn.functional.pad(projected, (0, self.d - self.nbits))

    def _search_at_once(self, x: Any, k: Any) -> tuple[Any, Any] | None:
        if type(x) is not np.ndarray or not self.is_trained:
            return None
        codes = self._encode(self._rows("search", x)).numpy()
        searcher = self._held_searcher.of((self._room, self._ntotal), lambda: HammingSearcher(self._codes.numpy()))
        return searcher.search(codes, k)

    def _search(self, rows: Tensor, k: int, params: SearchParameters | None) -> tuple[Tensor, Tensor]:
        selector = params.sel if params is not None else None
        allowed = None if selector is None else selector.members(torch.arange(self.ntotal))
        distances, ids = hamming_search(self._encode(rows), self._codes, k, allowed=allowed)
        return distances.float(), ids

    def transfer_thresholds(self, vt: LinearTransform) -> None:
        """Subtract the thresholds in a transform of nbits, instead of here."""
        if not self.train_thresholds:
            return
        if vt.d_out != self.nbits:
            self._refuse("transfer_thresholds", f"the transform must be to {self.nbits}, got {vt.d_out}")
        vt._b = (vt._b if vt.have_bias else torch.zeros(self.nbits)) - self._thresholds
        vt.have_bias, self.train_thresholds = True, False
        self._thresholds = torch.empty(0)
