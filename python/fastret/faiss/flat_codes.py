"""Indexes that hold one code per vector in the order of their numbers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .arrays import code_rows
from .flat import IndexFlatCodes
from .index import Index
from .metrics import METRIC_L2
from .selectors import IDSelector
from .vectors import MaybeOwnedVectorUInt8, VectorField


class IndexOfCodes(IndexFlatCodes):
    """Stores what `_encode` makes of vectors, [ntotal, code_size] uint8. Kinds add `_code_size` and the codec."""

    codes = VectorField("_codes", MaybeOwnedVectorUInt8)
    _room: Tensor  # [>= ntotal, code_size]

    def __init__(self, d: int, metric: int = METRIC_L2) -> None:
        super().__init__(d, metric)
        self._room = torch.empty(0, self._code_size(), dtype=torch.uint8)

    @property
    def _codes(self) -> Tensor:
        return self._room[: self._ntotal]

    @_codes.setter
    def _codes(self, codes: Tensor) -> None:
        self._room = codes.reshape(-1, self._code_size())
        self._ntotal = len(self._room)

    def _append(self, codes: Tensor) -> None:
        held, total = self._ntotal, self._ntotal + len(codes)
        if total > len(self._room):
            room = torch.empty(max(total, 2 * held), self._code_size(), dtype=torch.uint8)
            room[:held] = self._codes
            self._room = room
        self._room[held:total] = codes
        self._ntotal = total

    def _add(self, rows: Tensor) -> None:
        self._append(self._encode(rows))

    def add_sa_codes(self, codes: Any, ids: Any = None) -> None:
        """Append vectors that sa_encode made `codes` [n, code_size] of. ids must be None: they number themselves."""
        if ids is not None:
            self._refuse("add_sa_codes", "it numbers its own vectors; put it into IndexIDMap")
        self._append(code_rows(self._named("add_sa_codes"), codes, self._code_size()))

    def _reconstruct(self, keys: Tensor) -> Tensor:
        self._require_inside(keys)
        return self._decode(self._codes[keys])

    def _remove(self, selector: IDSelector) -> int:
        """Later vectors move down, as in FAISS."""
        kept = ~selector.members(torch.arange(self.ntotal))
        removed = len(kept) - int(kept.sum())
        if removed:
            self._codes = self._codes[kept]
        return removed

    def _reset(self) -> None:
        self._codes = torch.empty(0, self._code_size(), dtype=torch.uint8)

    def _check_compatible_for_merge(self, other: Index) -> None:
        if type(other) is not type(self) or other.d != self.d or other._code_size() != self._code_size():
            raise RuntimeError(f"{self._named('merge_from')}: {self!r} cannot take over {other!r}")

    def _merge_from(self, other: Index, add_id: int) -> None:
        if add_id:
            raise RuntimeError(f"{self._named('merge_from')}: there are no ids to raise, got add_id={add_id}")
        assert isinstance(other, IndexOfCodes)
        self._append(other._codes)
        other.reset()

    def permute_entries(self, perm: Any) -> None:
        """Put vector perm[i] at i."""
        order = torch.as_tensor(perm, dtype=torch.int64)
        if not torch.equal(order.sort().values, torch.arange(self.ntotal)):
            raise AssertionError(f"{self._named('permute_entries')}: perm must be a permutation of {self.ntotal}")
        self._codes = self._codes[order]
