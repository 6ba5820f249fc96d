"""Certified search over packed keys against its definition: vectors chosen to get past the error bound.

The frame (what keys are centred at and projected along) is drawn too: the bound must hold for any.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from hard_vectors import METRICS
from hypothesis import given, settings
from hypothesis import strategies as st
from same_bits import assert_same_bits
from torch import Generator, Tensor

import fastret
from fastret.ops import reference
from fastret.ops.panels import KEY_FACTS, PANEL_KEYS

PASSES = ("float32", "int16", "int8")


def packed(keys: Tensor, metric: str, first_pass: str, frame: Tensor | None = None) -> tuple[object, ...]:
    """The arguments of the ops after `metric`: first_pass, panels, facts, frame, has_unbounded."""
    metric_number, number = METRICS.index(metric), PASSES.index(first_pass)
    if frame is None:
        frame = torch.ops.fastret.key_frame(keys, metric_number)
    panels = -(-len(keys) // PANEL_KEYS)
    steps = -(-keys.shape[1] // (1, 2, 4)[number])
    panel = torch.empty(panels, steps, PANEL_KEYS, dtype=torch.int32)
    facts = torch.empty(panels, KEY_FACTS, PANEL_KEYS)
    torch.ops.fastret.pack_keys_(keys, metric_number, number, frame, 0, panel, facts)
    return number, panel, facts, frame, bool((facts[:, 0] < 0).any())


class Work(NamedTuple):
    queries: Tensor
    keys: Tensor
    k: int
    metric: str
    first_pass: str
    frame: Tensor | None
    isa: str

    def check(self) -> None:
        """Search and range search give the bits of their definitions."""
        fastret._C.set_isa(self.isa)
        arguments = packed(self.keys, self.metric, self.first_pass, self.frame)
        metric = METRICS.index(self.metric)
        scores, ids = reference.search(self.queries, self.keys, self.k, self.metric)
        found = torch.ops.fastret.explained_search(self.queries, self.keys, self.k, metric, *arguments)
        assert_same_bits(found[0], scores, "scores")
        assert_same_bits(found[1], ids, "ids")
        # The worst neighbour's own score is the threshold: it is left out, and one that is better by an ulp is not.
        for threshold in {scores[0, -1].item(), scores[-1, 0].item()}:
            want = reference.range_search(self.queries, self.keys, threshold, self.metric)
            found = torch.ops.fastret.range_search(self.queries, self.keys, threshold, metric, *arguments)
            for name, part, wanted in zip(("lims", "scores", "ids"), found, want, strict=True):
                assert_same_bits(part, wanted, f"range_search {name}")


def normal(rows: int, dim: int, g: Generator) -> Tensor:
    return torch.randn(rows, dim, generator=g)


def near_duplicates(rows: int, dim: int, g: Generator) -> Tensor:
    steps = torch.randint(-2, 3, (rows, dim), generator=g)
    return normal(1, dim, g) * (1 + steps * 2.0**-23)


def permutations(rows: int, dim: int, g: Generator) -> Tensor:
    """The same elements in any order: with a constant query, ties up to the last roundings of a sum."""
    order = torch.rand(rows, dim, generator=g).argsort(dim=1)
    return normal(1, dim, g).expand(rows, dim).gather(1, order).contiguous()


def ties_at_the_kth_place(rows: int, dim: int, g: Generator) -> Tensor:
    """Some rows far ahead, the others equal, or an ulp apart in one element."""
    keys = normal(1, dim, g).repeat(rows, 1)
    keys[torch.arange(rows), torch.randint(dim, (rows,), generator=g)] *= (
        1 + torch.randint(0, 2, (rows,), generator=g) * 2.0**-23
    )
    keys[: rows // 8] *= 1 + torch.rand(rows // 8, 1, generator=g)
    return keys[torch.randperm(rows, generator=g)]


def denormal(rows: int, dim: int, g: Generator) -> Tensor:
    return torch.randint(-9, 10, (rows, dim), generator=g) * 2.0**-149


def products_that_underflow(rows: int, dim: int, g: Generator) -> Tensor:
    return normal(rows, dim, g) * 10.0 ** torch.randint(-24, -20, (rows, 1), generator=g)


def near_overflow(rows: int, dim: int, g: Generator) -> Tensor:
    """Norms to both sides of the 1e18 that a pass can hold."""
    return normal(rows, dim, g) * (1e18 / dim**0.5) * (0.5 + torch.rand(rows, 1, generator=g))


def mixed_norms(rows: int, dim: int, g: Generator) -> Tensor:
    return normal(rows, dim, g) * 10.0 ** (47 * torch.rand(rows, 1, generator=g) - 30)


def some_zero_rows(rows: int, dim: int, g: Generator) -> Tensor:
    return normal(rows, dim, g) * torch.randint(0, 2, (rows, 1), generator=g)


def constant(rows: int, dim: int, g: Generator) -> Tensor:
    return normal(rows, 1, g).expand(rows, dim).contiguous()


def spiky(rows: int, dim: int, g: Generator) -> Tensor:
    return normal(rows, dim, g) ** 9


FAMILIES = (
    normal,
    near_duplicates,
    permutations,
    ties_at_the_kth_place,
    denormal,
    products_that_underflow,
    near_overflow,
    mixed_norms,
    some_zero_rows,
    constant,
    spiky,
)


@st.composite
def works(draw: st.DrawFn, dims: tuple[int, ...], most_keys: int) -> Work:
    g = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    dim, num_keys = draw(st.sampled_from(dims)), draw(st.integers(5, most_keys))
    keys = draw(st.sampled_from(FAMILIES))(num_keys, dim, g)
    queries = draw(st.sampled_from(FAMILIES))(draw(st.sampled_from((1, 3, 15))), dim, g)
    if draw(st.booleans()):  # queries that are keys, almost
        rows = torch.randint(num_keys, (len(queries),), generator=g)
        queries = keys[rows] * (1 + torch.randint(-1, 2, (len(queries), dim), generator=g) * 2.0**-23)
    if draw(st.booleans()):
        keys = keys + draw(st.sampled_from((1.0, 1e5))) * keys.abs().amax() * torch.randn(dim, generator=g)
    frame = None
    if draw(st.booleans()):
        centre = keys[:1] / 2 if keys[0].double().norm() < 1e18 else torch.zeros(1, dim)
        frame = torch.cat((centre, torch.nn.functional.normalize(normal(1, dim, g))))
    return Work(
        queries,
        keys,
        # With more neighbours than a quarter of the keys no pass begins.
        draw(st.integers(1, max(1, num_keys // 5))),
        draw(st.sampled_from(METRICS)),
        draw(st.sampled_from(PASSES)),
        frame,
        draw(st.sampled_from(fastret._C.available_isas())),
    )


@settings(derandomize=True, max_examples=3000, deadline=None)
@given(works(dims=(*range(1, 20), 31, 33, 63, 64), most_keys=120))
def test_no_vectors_get_past_the_bound(work: Work) -> None:
    work.check()


@settings(derandomize=True, max_examples=100, deadline=None)
@given(works(dims=(255, 260, 777, 1536), most_keys=64))
def test_nor_do_long_ones(work: Work) -> None:
    work.check()


@pytest.mark.parametrize("first_pass", PASSES)
@pytest.mark.parametrize("metric", METRICS)
def test_the_pass_that_was_packed_for_answers(metric: str, first_pass: str, isa: str, generator: Generator) -> None:
    """Else the tests above would compare exact scans with themselves."""
    queries, keys = normal(15, 48, generator), normal(500, 48, generator)
    arguments = packed(keys, metric, first_pass)
    _, _, rescored, passes = torch.ops.fastret.explained_search(queries, keys, 7, METRICS.index(metric), *arguments)
    assert passes.tolist() == [PASSES.index(first_pass)] * 15
    assert int(rescored.max()) < 100  # survivors, not all 500 keys


@pytest.mark.parametrize("first_pass", PASSES)
def test_the_largest_integers_do_not_overflow_their_sums(first_pass: str, generator: Generator) -> None:
    """Rows that are all +-1 once rotated take every level of every dimension; D is the most that a pass takes."""
    dim = 1 << 16
    keys = normal(5, dim, generator).sign()
    keys[0] = 1
    queries = torch.cat((keys[:1], -keys[:1], keys[1:2]))
    frame = torch.zeros(2, dim)
    for isa in fastret._C.available_isas():
        Work(queries, keys, 1, "ip", first_pass, frame, isa).check()
