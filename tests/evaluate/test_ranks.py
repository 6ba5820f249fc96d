"""Ranks against their definition: the position in the order by score, then by candidate position."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import fastret
from fastret.evaluate import Collection, Dataset
from fastret.evaluate.dataset import Judgements, judgements
from fastret.evaluate.ranks import relevant_ranks, score_chunks


def judged(*relevant, excluded=None):
    return Judgements(
        np.arange(len(relevant)),
        [np.array(positions) for positions in relevant],
        [np.ones(len(positions)) for positions in relevant],
        np.array(excluded if excluded is not None else [-1] * len(relevant)),
    )


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0, np.nan]), min_size=1, max_size=15), st.data())
def test_rank_is_the_place_in_the_order_of_the_contract(row, data):
    relevant = sorted(data.draw(st.sets(st.integers(0, len(row) - 1), min_size=1)))
    excluded = data.draw(st.sampled_from([-1, *(i for i in range(len(row)) if i not in relevant)]))
    scored = [i for i, score in enumerate(row) if not np.isnan(score) and i != excluded]
    order = sorted(scored, key=lambda i: (-row[i], i))
    expected = sorted(order.index(i) + 1.0 if i in order else np.inf for i in relevant)
    ranks = relevant_ranks([np.array([row], dtype=np.float32)], judged(relevant, excluded=[excluded]))
    assert ranks.ranks.tolist() == expected
    best = max((row[i] for i in relevant if not np.isnan(row[i])), default=None)
    if best is not None:
        others = [i for i in scored if i not in relevant and row[i] == best]
        higher = sum(row[i] > best for i in scored)
        assert ranks.first_optimistic.tolist() == [higher + 1]
        assert ranks.first_pessimistic.tolist() == [higher + 1 + len(others)]
        assert ranks.tied.tolist() == [len(others)]
        assert ranks.first_optimistic <= ranks.ranks[0] <= ranks.first_pessimistic


def test_equal_scores_rank_by_candidate_position():
    ranks = relevant_ranks([np.full((2, 5), 0.5, dtype=np.float32)], judged([3], [1, 4]))
    assert ranks.ranks.tolist() == [4, 2, 5]
    assert ranks.first_optimistic.tolist() == [1, 1]
    assert ranks.first_pessimistic.tolist() == [5, 4]
    assert ranks.tied.tolist() == [4, 3]


def test_permuting_the_candidates_keeps_the_ranks_without_ties():
    rng = np.random.default_rng(0)
    scores = rng.permuted(np.tile(np.arange(50, dtype=np.float32), (8, 1)), axis=1)
    relevant = [rng.choice(50, 3, replace=False) for _ in range(8)]
    permutation = rng.permutation(50)
    moved = [np.argsort(permutation)[positions] for positions in relevant]
    before = relevant_ranks([scores.copy()], judged(*relevant))
    after = relevant_ranks([scores[:, permutation]], judged(*moved))
    assert before.ranks.tolist() == after.ranks.tolist()


@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
def test_ranks_are_the_places_in_fastret_search(metric):
    rng = np.random.default_rng(1)
    # Small integers and doubled rows: exact ties in every metric.
    candidates = torch.from_numpy(rng.integers(-2, 3, (60, 4)).astype(np.float32)).repeat(2, 1)
    queries = torch.from_numpy(rng.integers(-2, 3, (25, 4)).astype(np.float32))
    relevant = [rng.choice(120, 4, replace=False) for _ in range(25)]
    ranks = relevant_ranks(score_chunks(queries, candidates, metric), judged(*relevant))
    _, ids = fastret.search(queries, candidates, 120, metric=metric)
    expected = [np.sort([ids[q].tolist().index(i) + 1.0 for i in relevant[q]]) for q in range(25)]
    assert ranks.ranks.tolist() == np.concatenate(expected).tolist()
    assert (ranks.tied > 0).any()


def test_chunks_of_queries_give_the_same_ranks():
    torch.manual_seed(0)
    queries, candidates = torch.randn(11, 6), torch.randn(30, 6)
    relevant = judged(*[[q, q + 7] for q in range(11)])
    whole = relevant_ranks(score_chunks(queries, candidates, "cosine"), relevant)
    chunks = [len(chunk) for chunk in score_chunks(queries, candidates, "cosine", scores_per_chunk=100)]
    parts = relevant_ranks(score_chunks(queries, candidates, "cosine", scores_per_chunk=100), relevant)
    assert chunks == [3, 3, 3, 2]
    assert whole.ranks.tolist() == parts.ranks.tolist()


def collection(*ids):
    return Collection(list(ids), list(ids), [None] * len(ids))


def test_only_positive_grades_are_relevant_and_the_query_itself_is_not():
    qrels = {"a": {"a": 1, "b": 2, "c": 0}, "b": {"c": -1}, "c": {"c": 1}}
    dataset = Dataset("d", "t2t", collection("a", "b", "c"), collection("c", "b", "a"), qrels, exclude_self=True)
    found = judgements(dataset)
    assert found.query_rows.tolist() == [0]
    assert found.relevant[0].tolist() == [1] and found.grades[0].tolist() == [2.0]
    assert found.excluded.tolist() == [2]


def test_no_relevant_candidate_anywhere_is_an_error():
    dataset = Dataset("d", "t2t", collection("q"), collection("c"), {"q": {"c": 0}})
    with pytest.raises(
        ValueError,
        match=r"^evaluate: at least one query must have a relevant candidate, got none among 1 queries of d \(t2t\)$",
    ):
        judgements(dataset)


def test_a_data_set_refuses_ids_that_it_does_not_have():
    with pytest.raises(ValueError, match=r"^Dataset: qrels must name known ids, got the query 'z'$"):
        Dataset("d", "t2t", collection("q"), collection("c"), {"z": {"c": 1}})
    with pytest.raises(ValueError, match=r"known ids, got the candidate 'z' of query 'q'$"):
        Dataset("d", "t2t", collection("q"), collection("c"), {"q": {"z": 1}})
    with pytest.raises(ValueError, match=r"^Collection: ids must be distinct, got 'a' twice$"):
        collection("a", "b", "a")
    with pytest.raises(ValueError, match=r"^Collection: ids, texts and images must be of one length, got 1, 2 and 0$"):
        Collection(["a"], ["x", "y"], [])
    with pytest.raises(ValueError, match=r"^task: a name is <queries>2<candidates> .*, got 'text2image'$"):
        Dataset("d", "text2image", collection("q"), collection("c"), {})
