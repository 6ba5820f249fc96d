"""The measures against pytrec_eval and ir_measures, the reference implementations of trec_eval's definitions."""

from __future__ import annotations

import ir_measures
import numpy as np
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st

from fastret.evaluate.dataset import Judgements
from fastret.evaluate.metrics import check_ks, measure_queries, metric_names, per_query_values
from fastret.evaluate.ranks import RelevantRanks, relevant_ranks

KS = (1, 3, 10)
TREC_NAMES = {
    **{f"recall@{k}": f"recall_{k}" for k in KS},
    **{f"hit@{k}": f"success_{k}" for k in KS},
    **{f"precision@{k}": f"P_{k}" for k in KS},
    **{f"ndcg@{k}": f"ndcg_cut_{k}" for k in KS},
    "average_precision": "map",
    "reciprocal_rank": "recip_rank",
}


def judge(grades: np.ndarray) -> tuple[Judgements, np.ndarray]:
    """Judgements of the queries of a [Q, N] matrix of grades that have a relevant candidate, and their rows."""
    rows = np.flatnonzero((grades > 0).any(axis=1))
    relevant = [np.flatnonzero(grades[row] > 0) for row in rows]
    chosen = [grades[row][positions].astype(np.float64) for row, positions in zip(rows, relevant, strict=True)]
    return Judgements(rows, relevant, chosen, np.full(len(rows), -1)), rows


def trec_run(scores: np.ndarray, rows: np.ndarray) -> dict[str, dict[str, float]]:
    """A run whose scores are strictly ordered as the contract orders them: by score, then by position."""
    run = {}
    for row in rows:
        order = np.lexsort((np.arange(scores.shape[1]), -scores[row]))
        run[str(row)] = {f"c{candidate}": float(-place) for place, candidate in enumerate(order)}
    return run


@st.composite
def scores_and_grades(draw):
    queries, candidates = draw(st.integers(1, 4)), draw(st.integers(1, 12))
    shape = (queries, candidates)
    # Few distinct values: ties are the rule.
    values = st.lists(st.integers(-2, 2), min_size=queries * candidates, max_size=queries * candidates)
    scores = np.array(draw(values), dtype=np.float32).reshape(shape)
    grades = np.array(draw(values)).reshape(shape)
    grades[0, draw(st.integers(0, candidates - 1))] = 2
    return scores, grades


@settings(max_examples=150, deadline=None)
@given(scores_and_grades())
def test_per_query_measures_agree_with_pytrec_eval(case):
    scores, grades = case
    judged, rows = judge(grades)
    measures = measure_queries(relevant_ranks([scores[rows].copy()], judged), KS)
    # pytrec_eval knows no negative gain; in both, a grade below 1 is not relevant.
    qrels = {str(r): {f"c{c}": max(0, int(g)) for c, g in enumerate(grades[r])} for r in rows}
    expected = pytrec_eval.RelevanceEvaluator(qrels, set(TREC_NAMES.values())).evaluate(trec_run(scores, rows))
    for name, trec_name in TREC_NAMES.items():
        oracle = [expected[str(row)][trec_name] for row in rows]
        np.testing.assert_allclose(measures[name], oracle, rtol=1e-12, err_msg=name)


def test_means_agree_with_ir_measures():
    rng = np.random.default_rng(7)
    scores = rng.integers(0, 6, (40, 60)).astype(np.float32)
    grades = rng.choice([0, 0, 0, 0, 1, 2, 3], (40, 60))
    judged, rows = judge(grades)
    per_query = measure_queries(relevant_ranks([scores[rows].copy()], judged), KS)
    qrels = [ir_measures.Qrel(str(r), f"c{c}", int(g)) for r in rows for c, g in enumerate(grades[r])]
    run = [ir_measures.ScoredDoc(q, c, s) for q, found in trec_run(scores, rows).items() for c, s in found.items()]
    ours = {
        "R@3": "recall@3",
        "Success@3": "hit@3",
        "P@3": "precision@3",
        "nDCG@10": "ndcg@10",
        "AP": "map",
        "RR": "mrr",
    }
    oracle = ir_measures.calc_aggregate([ir_measures.parse_measure(name) for name in ours], qrels, run)
    for measure, value in oracle.items():
        column, statistic = per_query_values(ours[str(measure)], per_query)
        assert statistic(column) == pytest.approx(value, rel=1e-12), measure


@pytest.mark.parametrize("bug", ["rank off by one", "rank optimistic", "gain exponential", "recall as hit"])
def test_the_oracle_notices_a_planted_bug(bug):
    rng = np.random.default_rng(3)
    scores = rng.integers(0, 4, (30, 20)).astype(np.float32)
    grades = rng.choice([0, 0, 1, 3], (30, 20))
    judged, rows = judge(grades)
    ranks = relevant_ranks([scores[rows].copy()], judged)
    wrong = dict(vars(ranks))
    if bug == "rank off by one":
        wrong["ranks"] = ranks.ranks + 1
    elif bug == "rank optimistic":
        owner = np.repeat(np.arange(len(rows)), np.diff(ranks.starts, append=len(ranks.ranks)))
        wrong["ranks"] = np.where(
            ranks.ranks == ranks.ranks[ranks.starts][owner], ranks.first_optimistic[owner], ranks.ranks
        )
    elif bug == "gain exponential":
        wrong["grades"] = 2**ranks.grades - 1
    measures = measure_queries(RelevantRanks(**wrong), KS)
    if bug == "recall as hit":
        measures["recall@3"] = measures["hit@3"]
    qrels = {str(r): {f"c{c}": int(g) for c, g in enumerate(grades[r])} for r in rows}
    expected = pytrec_eval.RelevanceEvaluator(qrels, set(TREC_NAMES.values())).evaluate(trec_run(scores, rows))
    assert any(
        not np.allclose(measures[name], [expected[str(row)][trec_name] for row in rows])
        for name, trec_name in TREC_NAMES.items()
    )


@settings(max_examples=100, deadline=None)
@given(scores_and_grades())
def test_recall_of_the_whole_corpus_is_one_and_hit_is_at_least_recall(case):
    scores, grades = case
    judged, rows = judge(grades)
    ks = (1, 2, scores.shape[1])
    measures = measure_queries(relevant_ranks([scores[rows].copy()], judged), ks)
    assert (measures[f"recall@{scores.shape[1]}"] == 1).all()
    for k in ks:
        assert (measures[f"hit@{k}"] >= measures[f"recall@{k}"]).all()
    for name, column in measures.items():
        assert ((column >= 0) & (column <= 1)).all() or name == "first_rank"


def test_a_candidate_that_is_never_retrieved_counts_for_nothing():
    judged = Judgements(np.array([0]), [np.array([0, 1])], [np.array([1.0, 1.0])], np.array([-1]))
    ranks = relevant_ranks([np.array([[np.nan, 0.5, 0.7]], dtype=np.float32)], judged)
    measures = measure_queries(ranks, (3,))
    assert ranks.ranks.tolist() == [2.0, np.inf]
    assert measures["recall@3"] == 0.5
    assert measures["average_precision"] == 0.25
    lost = relevant_ranks([np.array([[np.nan, np.nan, 0.7]], dtype=np.float32)], judged)
    measures = measure_queries(lost, (3,))
    assert measures["first_rank"] == np.inf
    assert measures["reciprocal_rank"] == measures["hit@3"] == measures["ndcg@3"] == 0


def test_cut_offs_are_sorted_and_below_one_refused():
    assert check_ks([10, 1, 10]) == (1, 10)
    with pytest.raises(ValueError, match=r"^evaluate: the cut-offs k must be integers of at least 1, got \[0, 5\]$"):
        check_ks([0, 5])
    with pytest.raises(ValueError, match=r"must be integers of at least 1, got \[\]$"):
        check_ks([])


def test_an_unknown_metric_is_answered_with_the_known_ones():
    per_query = {"recall@1": np.ones(2), "first_rank": np.ones(2)}
    with pytest.raises(ValueError, match=r"one of recall@1, mrr, map, median_rank, mean_rank, got 'recal@1'$"):
        per_query_values("recal@1", per_query)


def test_every_metric_name_has_values():
    judged = Judgements(np.array([0]), [np.array([0])], [np.array([1.0])], np.array([-1]))
    per_query = measure_queries(relevant_ranks([np.array([[0.5, 0.7]], dtype=np.float32)], judged), (1, 2))
    values = {name: float(per_query_values(name, per_query)[0][0]) for name in metric_names((1, 2))}
    assert values["recall@1"] == 0 and values["recall@2"] == values["hit@2"] == 1
    assert values["mrr"] == values["map"] == 0.5
    assert values["mean_rank"] == values["median_rank"] == 2
