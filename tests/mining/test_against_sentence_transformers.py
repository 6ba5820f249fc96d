"""The same data sets that sentence-transformers' own function makes."""

from __future__ import annotations

from typing import Any

import datasets
import pytest
import torch
from models import FakeCrossEncoder, FakeSentenceTransformer
from sentence_transformers.util import mine_hard_negatives

from fastret.mining import PRESETS, mine_dataset

FORMATS = ["triplet", "n-tuple", "labeled-pair", "labeled-list"]


def both(pairs: datasets.Dataset, **options: Any) -> tuple[datasets.Dataset, datasets.Dataset]:
    theirs = mine_hard_negatives(pairs, FakeSentenceTransformer(), verbose=False, **options)
    return mine_dataset(pairs, FakeSentenceTransformer(), verbose=False, progress=False, **options), theirs


def assert_same(ours: datasets.Dataset, theirs: datasets.Dataset) -> None:
    """Row by row: texts and labels equal, scores to the rounding of theirs."""
    assert ours.column_names == theirs.column_names
    assert ours.features == theirs.features
    assert len(ours) == len(theirs) > 0
    for row, expected in zip(ours, theirs, strict=True):
        for name, value in expected.items():
            if name.startswith("score"):
                # Their cosine is a float32 sum of DIM products of rounded unit vectors.
                assert row[name] == pytest.approx(value, abs=8 * 2 * torch.finfo(torch.float32).eps)
            else:
                assert row[name] == value


@pytest.mark.parametrize("output_scores", [False, True])
@pytest.mark.parametrize("output_format", FORMATS)
def test_every_output_format(pairs: datasets.Dataset, output_format: str, output_scores: bool) -> None:
    assert_same(*both(pairs, output_format=output_format, output_scores=output_scores))


@pytest.mark.parametrize("output_format", FORMATS)
@pytest.mark.parametrize(
    "options",
    [
        {"num_negatives": 1},
        {"range_min": 4},
        {"range_min": 2, "range_max": 9, "num_negatives": 7},
        {"max_score": 0.3},
        {"min_score": 0.5, "range_max": 20},
        {"absolute_margin": 0.1, "range_max": 12},
        {"absolute_margin": -0.1, "range_max": 6, "range_min": 1},
        {"relative_margin": 0.05, "range_max": 8},
        {"max_score": 0.6, "min_score": 0.1, "absolute_margin": 0.0, "relative_margin": 0.2, "range_max": 30},
        {"range_max": 1000, "num_negatives": 5},
        {"query_prompt": "find 3 of ", "corpus_prompt": "this is "},
        {"query_prompt_name": "query", "corpus_prompt_name": "passage"},
        {"faiss_batch_size": 7},
        {"use_faiss": True},
    ],
    ids=str,
)
def test_every_option(pairs: datasets.Dataset, options: dict[str, Any], output_format: str) -> None:
    assert_same(*both(pairs, output_format=output_format, output_scores=True, **options))


def test_a_separate_corpus_is_searched_beside_the_positives(pairs: datasets.Dataset, corpus: list[str]) -> None:
    ours, theirs = both(pairs, corpus=corpus, num_negatives=6)
    assert_same(ours, theirs)
    assert set(ours["negative"]) - set(pairs["answer"])


def test_columns_are_chosen_by_name(pairs: datasets.Dataset) -> None:
    turned = pairs.select_columns(["answer", "question"])
    assert_same(*both(turned, anchor_column_name="question", positive_column_name="answer"))


def test_positives_may_stay_in_the_ranking(pairs: datasets.Dataset) -> None:
    ours, theirs = both(pairs, include_positives=True, output_format="n-tuple", output_scores=True, num_negatives=20)
    assert_same(ours, theirs)
    assert any(row["answer"] in [row[f"negative_{i}"] for i in range(1, 21)] for row in ours)


@pytest.mark.parametrize("output_format", FORMATS)
@pytest.mark.parametrize(
    "options",
    [
        {"relative_margin": 0.05},
        {"absolute_margin": 0.2, "range_min": 1},
        {"max_score": 0.5, "range_max": 9},
        {"min_score": 0.5},
    ],
    ids=str,
)
def test_a_cross_encoder_scores_again(pairs: datasets.Dataset, options: dict[str, Any], output_format: str) -> None:
    assert_same(
        *both(pairs, cross_encoder=FakeCrossEncoder(), output_format=output_format, output_scores=True, **options)
    )


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_options_of_both(pairs: datasets.Dataset, corpus: list[str], name: str) -> None:
    assert_same(*both(pairs, corpus=corpus, range_max=40, **PRESETS[name]))


def test_random_samples_come_from_the_same_window(pairs: datasets.Dataset) -> None:
    options = {"range_min": 2, "range_max": 9, "max_score": 0.6, "output_format": "labeled-list"}
    _, window = both(pairs, num_negatives=7, **options)
    ours = mine_dataset(
        pairs, FakeSentenceTransformer(), sampling_strategy="random", verbose=False, progress=False, **options
    )
    ranked = {(row["question"], row["answer"][0]): row["answer"][1:] for row in window}
    assert len(ours) == len(window)
    for row in ours:
        candidates = ranked[row["question"], row["answer"][0]]
        places = [candidates.index(negative) for negative in row["answer"][1:]]
        assert places == sorted(set(places)) and len(places) == min(3, len(candidates))
    assert any(row["answer"][1:] != ranked[row["question"], row["answer"][0]][:3] for row in ours)


def test_where_they_run_out_of_candidates_more_are_looked_at(pairs: datasets.Dataset, corpus: list[str]) -> None:
    """Without range_max: a strict limit lets theirs find nothing in its window, and ours all that the corpus has."""
    options: dict[str, Any] = {"max_score": -0.3, "num_negatives": 2, "corpus": corpus, "output_format": "labeled-list"}
    ours, theirs = both(pairs, **options)
    assert len(ours) > len(theirs)
    all_of_it = mine_hard_negatives(pairs, FakeSentenceTransformer(), verbose=False, range_max=100, **options)
    assert_same(ours, all_of_it)
