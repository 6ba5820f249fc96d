"""What indexes of float vectors and of binary vectors have in common."""

from __future__ import annotations

import copy
import operator
from typing import Any, NoReturn

from torch import Tensor

from .arrays import fill
from .selectors import IDSelector, selector_of
from .struct import FaissObject


class AnyIndex(FaissObject):
    """The base of Index and IndexBinary. Kinds of indexes implement the methods with an underscore."""

    d: int = 0
    is_trained: bool = True
    verbose: bool = False
    _ntotal: int = 0

    def __copy__(self) -> Any:
        return copy.deepcopy(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        # Not through __reduce_ex__, which would write a file in memory.
        memo[id(self)] = clone = object.__new__(type(self))
        clone.__dict__.update((name, copy.deepcopy(value, memo)) for name, value in self.__dict__.items())
        return clone

    # --- what kinds of indexes implement ---

    def _reconstruct(self, keys: Tensor) -> Tensor:
        """The vectors of `keys` [n] int64, one row each. Raises RuntimeError for a key that is not there."""
        self._refuse("reconstruct")

    def _remove(self, selector: IDSelector) -> int:
        self._refuse("remove_ids")

    def _reset(self) -> None:
        self._refuse("reset")

    def _check_compatible_for_merge(self, other: Any) -> None:
        """Raises RuntimeError."""
        self._refuse("merge_from")

    def _merge_from(self, other: Any, add_id: int) -> None:
        """Takes over the vectors of `other`, which is compatible, their ids raised by add_id, and empties it."""
        self._refuse("merge_from")

    # --- what is asked of them ---

    def search(self, x: Any, k: int) -> tuple[Any, Any]:
        """Scores and ids [n, k]."""
        self._refuse("search")

    def assign(self, x: Any, k: int, labels: Any = None) -> Any:
        """The ids that `search` returns."""
        return fill(self._named("assign"), labels, self.search(x, k)[1])

    def remove_ids(self, x: Any) -> int:
        """Remove the ids of an IDSelector or of an array x [n]; return how many vectors went."""
        return self._remove(selector_of(self._named("remove_ids"), x))

    def reset(self) -> None:
        """Forget every vector, not what was learned."""
        self._reset()

    def check_compatible_for_merge(self, otherIndex: Any) -> None:
        """Raises RuntimeError unless `merge_from` can take over the vectors of another index."""
        self._check_compatible_for_merge(otherIndex)

    def merge_from(self, otherIndex: Any, add_id: int = 0) -> None:
        """Take over the vectors of another index, which is empty afterwards; add_id is added to their ids."""
        self.check_compatible_for_merge(otherIndex)
        self._merge_from(otherIndex, operator.index(add_id))

    # --- shared by them ---

    def _run_of(self, n0: int, ni: int, ntotal: int) -> tuple[int, int]:
        """n0 and ni of reconstruct_n, where ni = -1 means up to the last. Raises ValueError for a negative ni."""
        n0, ni = operator.index(n0), operator.index(ni)
        ni = ntotal - n0 if ni == -1 else ni
        if ni < 0:
            raise ValueError(f"{self._named('reconstruct_n')}: ni must not be negative, got {ni}")
        return n0, ni

    def _require_trained(self, operation: str) -> None:
        if not self.is_trained:
            self._refuse(operation, "the index is not trained; call train first")

    def _refuse(self, operation: str, why: str = "this kind of index has none") -> NoReturn:
        raise RuntimeError(f"{self._named(operation)}: {why}")

    def _named(self, operation: str) -> str:
        return f"{type(self).__name__}.{operation}"
