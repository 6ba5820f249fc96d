"""What indexes under ids of the caller's own share, of float and of binary vectors alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NoReturn, TypeVar

import torch
from torch import Tensor

from ..index.storage import roomier
from .vectors import Int64Vector, VectorField

T = TypeVar("T", bound="CallersIds")


class CallersIds:
    """The index that holds the vectors, numbered 0, 1, 2, ..., and the id of each; one may occur twice.

    Comes before Index or IndexBinary in the bases of a class.
    """

    index: Any = None
    own_fields: bool = False
    id_map = VectorField("_ids", Int64Vector, writable=False)
    _held_kind: ClassVar[Any]  # Index or IndexBinary
    _ntotal: int
    _room: Tensor  # [>= ntotal] int64: the ids, and room for more
    _sorted: tuple[Tensor, Tensor] | None = None  # ids in ascending order, and their numbers
    _refuse: Callable[..., NoReturn]

    def __init__(self, index: Any) -> None:
        if not isinstance(index, self._held_kind):
            kind = "a binary index" if self._held_kind.__name__ == "IndexBinary" else "an index"
            raise TypeError(f"{type(self).__name__}: {kind} is needed, got {type(index).__name__}")
        if index.ntotal:
            raise RuntimeError(f"{type(self).__name__}: the index must be empty, it holds {index.ntotal} vectors")
        self._hold(index, torch.empty(0, dtype=torch.int64))

    @classmethod
    def over(cls: type[T], index: Any, ids: Tensor) -> T:
        """One whose vectors are there already, with ids [ntotal] int64. FAISS does not have it."""
        mapped = cls.__new__(cls)
        mapped._hold(index, ids)
        return mapped

    def _hold(self, index: Any, ids: Tensor) -> None:
        self._held_kind.__init__(self, index.d, index.metric_type)
        self.index, self._ids = index, ids
        self.verbose = index.verbose

    @property
    def _ids(self) -> Tensor:
        """[ntotal] int64"""
        return self._room[: self._ntotal]

    @_ids.setter
    def _ids(self, ids: Tensor) -> None:
        self._room, self._ntotal, self._sorted = ids, len(ids), None

    @property
    def is_trained(self) -> bool:
        return bool(self.index.is_trained)

    @is_trained.setter
    def is_trained(self, is_trained: bool) -> None:
        self.index.is_trained = is_trained

    def _train(self, vectors: Tensor) -> None:
        self.index._train(vectors)

    def _add(self, vectors: Tensor) -> None:
        self._refuse("add", "its vectors need ids; use add_with_ids")

    def _add_with_ids(self, vectors: Tensor, ids: Tensor) -> None:
        self._require_consistent("add_with_ids")
        self.index._add(vectors)
        self._append(ids)

    def _append(self, ids: Tensor) -> None:
        n = self._ntotal + len(ids)
        self._room = roomier(self._room, self._ntotal, n)
        self._room[self._ntotal : n] = ids
        self._ntotal, self._sorted = n, None

    def _reset(self) -> None:
        self.index._reset()
        self._ids = self._room[:0]

    def _check_compatible_for_merge(self, other: Any) -> None:
        if not isinstance(other, CallersIds):
            self._refuse("merge_from", f"it cannot take over {other!r}")
        self.index.check_compatible_for_merge(other.index)

    def _merge_from(self, other: Any, add_id: int) -> None:
        self.index._merge_from(other.index, 0)
        self._append(other._ids + add_id)
        other._ids = other._room[:0]

    def _in_order(self) -> tuple[Tensor, Tensor]:
        """ids in ascending order and their numbers, of equal ids in the order of adding; (ids, ids) if they are so."""
        if self._sorted is None:
            ids = self._ids
            if (ids[1:] >= ids[:-1]).all():
                self._sorted = ids, ids
            else:
                numbers = ids.argsort(stable=True)
                self._sorted = ids[numbers], numbers
        return self._sorted

    def _require_consistent(self, operation: str) -> None:
        if self.index.ntotal != self._ntotal:
            self._refuse(operation, f"it has {self._ntotal} ids and its index {self.index.ntotal} vectors")


class FindsById(CallersIds):
    """One that also gives the vector of an id back: of an id that occurs twice, the last."""

    def _reconstruct(self, keys: Tensor) -> Tensor:
        ids, numbers = self._in_order()
        places = torch.searchsorted(ids, keys, right=True) - 1
        missing = places < 0
        if len(ids):
            missing |= ids[places] != keys
        if missing.any():
            self._refuse("reconstruct", f"there is no vector of id {int(keys[missing][0])}")
        found: Tensor = self.index._reconstruct(places if numbers is ids else numbers[places])
        return found

    def construct_rev_map(self) -> None:
        """Nothing to do: ids are looked up as they are."""

    def check_consistency(self) -> None:
        """Raises RuntimeError if an id occurs twice, or ids and vectors differ in number."""
        self._require_consistent("check_consistency")
        ids, _ = self._in_order()
        twice = ids[1:][ids[1:] == ids[:-1]]
        if len(twice):
            self._refuse("check_consistency", f"id {int(twice[0])} occurs more than once")
