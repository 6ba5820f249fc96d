"""Comparing results bit for bit, under every instruction set and thread count."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

import fastret
from fastret.ops import reference


def assert_same_bits(got: Tensor, want: Tensor, where: str = "") -> None:
    """Equal shape, dtype and bits, -0 and +0 being different; any NaN equals any NaN."""
    assert got.shape == want.shape and got.dtype == want.dtype, (
        f"{where}: {got.dtype} {list(got.shape)}, wanted {want.dtype} {list(want.shape)}"
    )
    differs = _bits(got) != _bits(want)
    if got.is_floating_point():
        differs &= ~(got.isnan() & want.isnan())
    if differs.any():
        first = tuple(differs.nonzero()[0].tolist())
        raise AssertionError(
            f"{where}: {int(differs.sum())} of {differs.numel()} differ, first at {first}: "
            f"{got[first].item()!r}, wanted {want[first].item()!r}"
        )


def _bits(tensor: Tensor) -> Tensor:
    integers = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    return tensor.contiguous().view(integers[tensor.element_size()])


def every_setting(threads: tuple[int, ...] = (1, 2)) -> Iterator[str]:
    """Switches to each instruction set and thread count in turn; the conftest's fixture restores."""
    for isa in fastret._C.available_isas():
        for count in threads:
            fastret._C.set_isa(isa)
            torch.set_num_threads(count)
            yield f"{isa}, {count} threads"


def check_everywhere(
    op: Callable[[], tuple[Tensor, ...]], want: tuple[Tensor, ...], inputs: tuple[Tensor, ...]
) -> None:
    """`op` gives the bits of `want` under every setting and leaves its inputs as they were."""
    before = [tensor.clone() for tensor in inputs]
    for setting in every_setting():
        for number, (got, wanted) in enumerate(zip(op(), want, strict=True)):
            assert_same_bits(got, wanted, f"{setting}, output {number}")
    for tensor, copy in zip(inputs, before, strict=True):
        assert_same_bits(tensor, copy, "input")


def every_way(keys: Tensor, metric: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Arguments that begin a search with every first pass in turn, over keys as they are and over packed ones.

    Keys are packed under the instruction set in use.
    """
    yield "auto", {"keys": keys}
    for first_pass in ("int8", "int16", "float32"):
        yield first_pass, {"keys": keys, "first_pass": first_pass}
    for first_pass in ("int8", "int16"):
        yield f"packed {first_pass}", {"keys": fastret.pack(keys, first_pass, metric)}


def check_search(queries: Tensor, keys: Tensor, k: int, metric: str, **filters: Tensor) -> tuple[Tensor, Tensor]:
    """`search` equals its definition in every way and under every setting. Returns the scores and ids."""
    want = reference.search(queries, keys, k, metric, **filters)

    def search_in_every_way() -> tuple[Tensor, ...]:
        for way, arguments in every_way(keys, metric):
            got = fastret.search(queries, **arguments, k=k, metric=metric, **filters)
            for name, part, wanted in zip(("scores", "ids"), got, want, strict=True):
                assert_same_bits(part, wanted, f"{fastret._C.get_isa()}, {way}: {name}")
        return got

    check_everywhere(search_in_every_way, want, (queries, keys))
    return want


def check_range_search(
    queries: Tensor, keys: Tensor, threshold: float, metric: str, **filters: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """`range_search` equals its definition in every way and under every setting. Returns lims, scores and ids."""
    want = reference.range_search(queries, keys, threshold, metric, **filters)

    def search_in_every_way() -> tuple[Tensor, ...]:
        for way, arguments in every_way(keys, metric):
            got = fastret.range_search(queries, **arguments, threshold=threshold, metric=metric, **filters)
            for name, part, wanted in zip(("lims", "scores", "ids"), got, want, strict=True):
                assert_same_bits(part, wanted, f"{fastret._C.get_isa()}, {way}: {name}")
        return got

    check_everywhere(search_in_every_way, want, (queries, keys))
    return want
