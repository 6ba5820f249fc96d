"""The first passes of a certified search: what each scores in before the survivors are scored canonically."""

from __future__ import annotations

from typing import Literal, TypeAlias

# What a caller may ask for; "auto" leaves the choice to the search.
FirstPass: TypeAlias = Literal["auto", "int8", "int16", "float32"]
# What a search computes in, by its number in the native ops, finest first.
FIRST_PASSES: tuple[FirstPass, ...] = ("float32", "int16", "int8")


def first_pass_number(op: str, first_pass: FirstPass) -> int:
    """The number in the native ops, -1 for "auto". Raises ValueError for an unknown name."""
    if first_pass == "auto":
        return -1
    if first_pass not in FIRST_PASSES:
        raise ValueError(f'{op}: first_pass must be "auto", "int8", "int16" or "float32", got {first_pass!r}')
    return FIRST_PASSES.index(first_pass)
