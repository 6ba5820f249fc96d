"""Task names: `<queries>2<candidates>`, as MTEB names its categories (t2i, i2t, i2i, t2t, t2it, it2i, ...).

A side is `t` (every item is a text), `i` (every item is an image) or `it` (an item carries a text, an image
or both, and is encoded as what it carries: a mixed-modality pool, as in UniIR's global setting).
"""

from __future__ import annotations

from dataclasses import dataclass

SIDES = ("t", "i", "it")


@dataclass(frozen=True)
class Task:
    """What is searched with what: `Task("t", "i")` is t2i."""

    queries: str  # "t", "i" or "it"
    candidates: str

    @property
    def name(self) -> str:
        """Such as "t2i"."""
        return f"{self.queries}2{self.candidates}"


def parse_task(name: str) -> Task:
    """The task of a name such as "t2i". Raises ValueError for any other string."""
    queries, separator, candidates = name.partition("2")
    if not separator or queries not in SIDES or candidates not in SIDES:
        raise ValueError(
            "task: a name is <queries>2<candidates> with sides t, i or it (t2i, i2t, i2i, t2t, t2it, ...), "
            f"got {name!r}"
        )
    return Task(queries, candidates)
