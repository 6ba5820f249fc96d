"""The native searcher of an index, kept until what it searches is another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

T = TypeVar("T")


class HeldSearcher:
    """Holds what `make` returned, and what it was made of."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: tuple[tuple[int, ...], tuple[Any, ...], Any]
        self.forget()

    def __deepcopy__(self, memo: Any) -> HeldSearcher:
        return HeldSearcher()  # of an index that has arrays of its own

    def forget(self) -> None:
        """Let go of what is held, before it changes or goes."""
        self._held = (), (), None

    def of(self, sources: tuple[Any, ...], make: Callable[[], T], versions: tuple[int, ...] = ()) -> T:
        """The searcher of these very objects; `versions` count the changes of those that may not change in place."""
        # Held sources keep their numbers: none of them is given to another object.
        key = (*map(id, sources), *versions)
        held = self._held  # one attribute: of several threads, each finds what belongs together
        if key != held[0]:
            held = self._held = key, sources, make()
        return cast(T, held[2])
