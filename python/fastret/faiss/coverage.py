"""Which names of FAISS are here: coverage(), and what is said of the others."""

from __future__ import annotations

import textwrap
from typing import NamedTuple

from .faiss_names import FAMILIES, Tier


class Symbol(NamedTuple):
    """A public name of FAISS; `instead`: what to use if it is not here ("": nothing comes close)."""

    name: str
    tier: Tier
    family: str
    instead: str
    here: bool


class Coverage:
    """Every public name of FAISS and whether it is here; printed, a table.

    >>> coverage().names("beyond", here=False)[:2]
    ['AllocInfo', 'AllocRequest']
    """

    def __init__(self, symbols: tuple[Symbol, ...]) -> None:
        self.symbols = symbols

    def names(self, tier: Tier | None = None, *, here: bool | None = None) -> list[str]:
        """The names of a tier, or of all; of those that are here, or that are not."""
        return [
            symbol.name
            for symbol in self.symbols
            if tier in (None, symbol.tier) and (here is None or symbol.here == here)
        ]

    def __repr__(self) -> str:
        return f"<Coverage: {len(self.names(here=True))} of {len(self.symbols)} names of FAISS>"

    def __str__(self) -> str:
        width = max(len(family.what) for family in FAMILIES)
        lines = [f"{'tier':<6} {'names':<{width}} {'here':>5} {'of':>4}"]
        for family in FAMILIES:
            of_family = [symbol for symbol in self.symbols if symbol.family == family.what]
            here = sum(symbol.here for symbol in of_family)
            lines.append(f"{family.tier:<6} {family.what:<{width}} {here:>5} {len(of_family):>4}")
        for family in FAMILIES:
            missing = [symbol.name for symbol in self.symbols if symbol.family == family.what and not symbol.here]
            if missing:
                instead = f"; instead: {family.instead}" if family.instead else ""
                lines += ["", f"Not here, {family.what}{instead}", *_indented(" ".join(missing))]
        return "\n".join(lines)


def coverage() -> Coverage:
    """Every public name of FAISS 1.15.1 and faiss-gpu by tier, and whether fastret.faiss has it."""
    from .. import faiss

    return Coverage(
        tuple(
            Symbol(name, family.tier, family.what, family.instead, name in vars(faiss))
            for family in FAMILIES
            for name in family.names.split()
        )
    )


def why_missing(name: str) -> str:
    """The sentence of the AttributeError for a name that is not here."""
    for family in FAMILIES:
        if name in family.names.split():
            instead = f" use {family.instead} instead, or" if family.instead else ""
            real = "faiss-gpu" if "Gpu" in name or "Cagra" in name else "faiss-cpu"
            return f"fastret.faiss has no {name}:{instead} real faiss: pip install {real}, import faiss"
    return f"fastret.faiss has no {name!r}, nor has FAISS; faiss.coverage() lists the names of both"


def _indented(text: str) -> list[str]:
    return textwrap.wrap(text, 116, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)
