from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fastret.demo.faiss_search import SearchComparison
from fastret.demo.features import text_collection
from fastret.demo.near_duplicates import CONCEPT, EXACT, WITHIN
from fastret.demo.summary import (
    against_chance,
    change,
    faiss_sentence,
    in_short,
    near_duplicates_sentence,
    pictures_sentence,
)
from fastret.evaluate import Comparison, Dataset, Evaluation, evaluate_embeddings

COMPARISON = Comparison(
    model_a="new",
    model_b="old",
    task="t2t",
    measure="recall@1",
    value_a=0.3,
    value_b=0.1,
    difference=0.2,
    interval=(0.15, 0.26),
    p_value=0.0001,
    p_value_holm=0.0006,
    queries=400,
    seed=0,
)
SEARCH = SearchComparison(
    queries=20,
    keys=30,
    dim=8,
    k=5,
    threads=2,
    faiss_version="1.2.3",
    fastret_ms=1.25,
    faiss_ms=2.5,
    equal_ids=1.0,
    explained_ids=1.0,
    largest_score_difference=3e-7,
)


def evaluation(model: str, right: int, of: int = 100) -> Evaluation:
    """An evaluation in which exactly `right` of `of` queries find their candidate first."""
    candidates = torch.eye(of)
    queries = candidates.roll(1, 0)  # every query is at another one's candidate
    queries[:right] = candidates[:right]
    ids = [str(i) for i in range(of)]
    texts = text_collection(ids, ids)
    dataset = Dataset("made", "t2t", texts, texts, {id_: {id_: 1} for id_ in ids})
    return evaluate_embeddings(queries, candidates, dataset, model=model)


def test_a_gain_a_loss_and_no_difference_are_told_apart() -> None:
    assert change(COMPARISON) == "20.0 points more (15.0 to 26.0)"
    loss = replace(COMPARISON, difference=-0.2, interval=(-0.26, -0.15), p_value_holm=0.012)
    assert change(loss) == "20.0 points fewer (15.0 to 26.0)"
    chance = replace(COMPARISON, difference=-0.01, interval=(-0.03, 0.02), p_value_holm=0.4)
    assert change(chance) == "no difference that 400 queries could show (-1.0 points, -3.0 to +2.0)"


def compared(difference: float, p_value: float, a: str = "generator", b: str = "retriever") -> Comparison:
    return replace(COMPARISON, model_a=a, model_b=b, difference=difference, p_value_holm=p_value)


@pytest.mark.parametrize(
    ("generator", "realign", "realigned", "said"),
    [
        (
            (-0.4, 0.001),
            (0.1, 0.001),
            (-0.3, 0.001),
            "generator retrieves worse than retriever; ReAlign, without any training, closes 25 % of the distance",
        ),
        ((-0.4, 0.001), (0.4, 0.001), (0.0, 0.9), "ReAlign, without any training, brings it level with retriever"),
        ((-0.1, 0.001), (0.4, 0.001), (0.3, 0.01), "ReAlign, without any training, brings it past retriever"),
        ((-0.4, 0.001), (0.01, 0.5), (-0.3, 0.001), "ReAlign does not measurably change that"),
        ((-0.1, 0.001), (-0.1, 0.02), (-0.2, 0.001), "ReAlign makes it worse"),
        ((0.2, 0.001), (-0.1, 0.02), (0.1, 0.3), "generator retrieves better than retriever; ReAlign makes it worse"),
        ((0.2, 0.001), (0.1, 0.02), (0.3, 0.001), "ReAlign, without any training, takes it further"),
        ((-0.01, 0.7), (0.01, 0.5), (0.0, 0.9), "generator and retriever are not told apart"),
    ],
)
def test_the_short_form_follows_the_tests(
    generator: tuple[float, float], realign: tuple[float, float], realigned: tuple[float, float], said: str
) -> None:
    assert said in in_short(compared(*generator), compared(*realign), compared(*realigned))


@pytest.mark.parametrize(
    ("right", "chance", "said"),
    [
        (50, 0.01, "50 times what guessing gives, 1 %"),
        (2, 0.01, "no better than by guessing, as far as these queries tell: guessing gives 1 %"),
        (2, 0.5, "fewer than by guessing: guessing gives 50 %"),
    ],
)
def test_guessing_is_the_yardstick(right: int, chance: float, said: str) -> None:
    assert against_chance(evaluation("any", right), "recall@1", chance) == said


def test_the_picture_sentence_follows_the_numbers() -> None:
    sentence = pictures_sentence([evaluation("heads", 40), evaluation("heads", 10)])
    assert "for 100 concepts" in sentence
    assert "first for 40.0 % (" in sentence
    assert "40 times what guessing gives, 1 %" in sentence
    assert "the label of an image first for 10.0 % (" in sentence
    assert "no better than by guessing" in pictures_sentence([evaluation("heads", 1), evaluation("heads", 1)])


@pytest.mark.parametrize(
    ("concept", "exact", "weaker"),
    [(20, 15, "the concept more often than the variant"), (90, 20, "the variant at least as often as the concept")],
)
def test_near_duplicates_are_blamed_on_what_they_miss(concept: int, exact: int, weaker: str) -> None:
    sentence = near_duplicates_sentence(
        [evaluation(EXACT, exact), evaluation(CONCEPT, concept), evaluation(WITHIN, 50)], chance=0.25
    )
    assert f"they miss {weaker}" in sentence
    assert "2 times what guessing gives, 25 %" in sentence


def test_the_faiss_sentence_tells_equal_answers_ties_and_absence_apart() -> None:
    equal = faiss_sentence(SEARCH)
    assert "FAISS 1.2.3 gives the same ids in all 20 x 5 places, with scores at most 3e-07 apart" in equal
    assert "For Q = 20, N = 30, D = 8 on 2 threads fastret took 1.2 ms and FAISS 2.5 ms" in equal
    tied = faiss_sentence(replace(SEARCH, equal_ids=0.99))
    assert "the same ids in 99.00 % of 20 x 5 places; of the others each is a tie within float32 rounding" in tied
    wrong = faiss_sentence(replace(SEARCH, equal_ids=0.9, explained_ids=0.25))
    assert "of the others 25.0 % is a tie" in wrong
    assert faiss_sentence(None) == "faiss-cpu is not installed, so the search was not compared with it."
