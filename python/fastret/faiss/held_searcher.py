"""The native searcher of an index, kept until what it searches is another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

T = TypeVar("T")


class HeldSearcher:
    """Holds what `make` returned, and what it was made of."""

    __slots__ = ("_key", "_searcher", "_sources")

    def __init__(self) -> None:
        self._key: tuple[int, ...] | None = None
        self._sources: tuple[Any, ...] = ()
        self._searcher: Any = None

    def __deepcopy__(self, memo: Any) -> HeldSearcher:
        return HeldSearcher()  # of an index that has arrays of its own

    def of(self, sources: tuple[Any, ...], make: Callable[[], T]) -> T:
        """The searcher of these very objects."""
        # Held sources keep their numbers: none of them is given to another object.
        key = tuple(map(id, sources))
        if key != self._key:
            self._key, self._sources, self._searcher = key, sources, make()
        return cast(T, self._searcher)
