"""How FAISS's objects behave in Python: fields that are there or are not, and owners of other objects."""

from __future__ import annotations

from typing import Any

_PACKAGE = __name__.rpartition(".")[0]


class FaissObject:
    """Fields are class attributes with their defaults; setting one that is not there is an AttributeError.

    Subclasses outside this package may have attributes of their own.

    FAISS owns C++ objects through `this` and `thisown`, and indexes own others through `own_fields`. Here Python
    keeps alive what is referred to, so that all of these may be called and set and change nothing.
    """

    thisown: bool = True

    def __setattr__(self, name: str, value: Any) -> None:
        # `referenced_objects`: what scripts set so that FAISS's Python keeps it alive.
        free = name.startswith("_") or name == "referenced_objects" or hasattr(type(self), name)
        if not free and type(self).__module__.startswith(_PACKAGE):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        object.__setattr__(self, name, value)

    @property
    def this(self) -> Ownership:
        return Ownership()


class Ownership:
    """What scripts call to say who frees an object."""

    def own(self, owned: bool = True) -> bool:
        return owned

    def disown(self) -> None:
        return None

    def acquire(self) -> None:
        return None
