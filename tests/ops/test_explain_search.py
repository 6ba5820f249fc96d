"""explain_search tells what search does, and why."""

from __future__ import annotations

import re

import pytest
import torch
from hard_vectors import METRICS, normal
from same_bits import assert_same_bits
from torch import Generator

import fastret


@pytest.mark.parametrize("metric", METRICS)
def test_the_answer_is_that_of_search(metric: str, generator: Generator) -> None:
    queries, keys = normal(12, 600, 40, generator)
    filters = {"allowed": torch.arange(600) % 3 > 0, "excluded": torch.arange(12)[:, None]}
    explanation = fastret.explain_search(queries, keys, 7, metric, **filters)
    want = fastret.search(queries, keys, 7, metric, **filters)
    assert_same_bits(explanation.scores, want[0])
    assert_same_bits(explanation.ids, want[1])


@pytest.mark.parametrize("first_pass", ["int8", "int16", "float32"])
def test_a_pass_that_was_asked_for_is_told(first_pass: str, generator: Generator) -> None:
    queries, keys = normal(12, 600, 40, generator)
    explanation = fastret.explain_search(queries, keys, 7, first_pass=first_pass)
    assert explanation.first_pass == first_pass
    assert explanation.why == "the caller asked for it"
    assert explanation.answered_by == {first_pass: 12}
    assert explanation.fallbacks == 0
    assert ((explanation.rescored >= 7) & (explanation.rescored < 600)).all()


def test_a_finer_pass_leaves_less_to_rescore(generator: Generator) -> None:
    queries, keys = normal(12, 2000, 256, generator)
    rescored = {
        first_pass: fastret.explain_search(queries, fastret.pack(keys, first_pass), 7).rescored.sum()
        for first_pass in ("int8", "int16")
    }
    assert rescored["int16"] < rescored["int8"]


def test_packed_keys_are_told(generator: Generator) -> None:
    queries, keys = normal(12, 600, 40, generator)
    explanation = fastret.explain_search(queries, fastret.pack(keys, "int16"), 7)
    assert (explanation.first_pass, explanation.packed) == ("int16", True)
    assert explanation.why == "the keys are packed for it"
    explanation = fastret.explain_search(queries, fastret.pack(keys, "float32"), 7)
    assert (explanation.first_pass, explanation.packed) == ("float32", False)
    assert explanation.why == "the keys are packed for it, which stores nothing"


def test_the_choice_of_a_search_alone_is_that_of_the_kernels(generator: Generator) -> None:
    queries, keys = normal(100, 600, 128, generator)
    for num_queries in (1, 4, 100):
        explanation = fastret.explain_search(queries[:num_queries], keys, 7)
        chosen = fastret._C.cheapest_first_pass(num_queries, 128)
        assert explanation.first_pass == chosen
        assert explanation.answered_by == {chosen: num_queries}
        assert (
            explanation.why == f"the cheapest for {num_queries} queries of 128 dimensions and keys that are not packed"
        )
    fastret._C.set_isa("scalar")  # whose int8 is no faster
    assert fastret._C.cheapest_first_pass(1000, 128) == "float32"


def test_queries_that_the_pass_cannot_answer_are_counted_as_fallbacks(generator: Generator) -> None:
    queries, keys = normal(12, 600, 40, generator)
    queries[3] *= 1e30
    explanation = fastret.explain_search(queries, fastret.pack(keys), 7)
    assert explanation.answered_by == {"int8": 11, "exact": 1}
    assert explanation.fallbacks == 1
    assert explanation.rescored[3] == 600
    explanation = fastret.explain_search(queries, fastret.pack(keys), 500)  # nearly all keys are neighbours
    assert explanation.answered_by == {"exact": 12}
    assert explanation.fallbacks == 12


def test_a_query_without_neighbours_is_no_fallback(generator: Generator) -> None:
    queries, keys = normal(12, 600, 40, generator)
    queries[3] = torch.nan
    explanation = fastret.explain_search(queries, fastret.pack(keys), 7)
    assert (explanation.fallbacks, int(explanation.rescored[3])) == (0, 0)
    assert fastret.explain_search(queries, keys, 0).fallbacks == 0


def test_it_reads_as_sentences(generator: Generator) -> None:
    queries, keys = normal(12, 600, 40, generator)
    fastret._C.set_isa("scalar")
    torch.set_num_threads(1)
    lines = str(fastret.explain_search(queries, fastret.pack(keys), 7)).splitlines()
    assert lines[:4] == [
        "first pass      int8, packed keys",
        "why             the keys are packed for it",
        "runs on         scalar, threads: 1",
        "queries         12, answered by int8 12; fallbacks: 0",
    ]
    assert re.fullmatch(r"rescored keys   min \d+, median \d+, max \d+ per query, of 600", lines[4])
    assert "median" not in str(fastret.explain_search(queries[:0], keys, 7))
