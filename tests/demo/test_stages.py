from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from fastret.demo.emoji import Emoji, read_emoji, words
from fastret.demo.encoders import DemoEncoders
from fastret.demo.faiss_search import compare_with_faiss
from fastret.demo.features import Features
from fastret.demo.heads import ProjectionHeads, train_heads
from fastret.demo.keywords import compare_keywords, evaluate_corrected, evaluate_raw, keyword_task
from fastret.demo.near_duplicates import (
    CONCEPT,
    EXACT,
    WITHIN,
    chance_within,
    evaluate_near_duplicates,
    near_duplicates,
)
from fastret.demo.pictures import picture_collection, split_concepts, train_on, wording_collection
from fastret.evaluate import embed_collection
from fastret.evaluate.postprocess import Centring, ReAlign


def test_labels_and_keywords_share_no_word_and_support_no_concept() -> None:
    task = keyword_task(read_emoji(), queries=400, support=300, seed=0)
    texts = zip(task.dataset.queries.texts, task.dataset.candidates.texts, strict=True)
    assert all(label and keywords and not words(label) & words(keywords) for label, keywords in texts)
    assert len(task.support_ids) == 300
    assert not set(task.dataset.queries.ids) & set(task.support_ids)
    text_of = dict(zip(task.texts.ids, task.texts.texts, strict=True))
    support = {text_of[f"keywords/{id_}"] for id_ in task.support_ids}
    assert len(support) == 300
    assert len(support | set(task.dataset.candidates.texts)) == 700


def test_the_seed_decides_which_concepts_are_asked_for(few_emoji: list[Emoji]) -> None:
    chosen = [keyword_task(few_emoji, queries=10, support=10, seed=seed).dataset.queries.ids for seed in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2]


def test_more_concepts_than_there_are_is_an_error(few_emoji: list[Emoji]) -> None:
    with pytest.raises(ValueError, match=r"keyword_task: 50 \+ 60 concepts were asked for, the data hold \d+"):
        keyword_task(few_emoji, queries=50, support=60, seed=0)


def test_corrections_are_fitted_on_the_support_unless_transductive(
    few_emoji: list[Emoji], make_encoders: Callable[[], DemoEncoders]
) -> None:
    encoder = make_encoders().retriever
    task = keyword_task(few_emoji, queries=15, support=15, seed=0)
    texts = Features(task.texts.ids, embed_collection(encoder, task.texts, progress=False))
    raw = evaluate_raw(task, texts, "hashed", seed=0)
    held_out = evaluate_corrected(task, texts, "hashed", ReAlign, seed=0)
    transductive = evaluate_corrected(task, texts, "hashed", ReAlign, seed=0, transductive=True)
    assert (raw.model, held_out.model) == ("hashed", "hashed + ReAlign")
    assert transductive.model == "hashed + ReAlign (transductive)"
    for evaluation, fitted_on in ((held_out, task.support_ids), (transductive, task.dataset.queries.ids)):
        labels, keywords = (
            ReAlign().fit(texts.of(kind, fitted_on))(texts.of(kind, task.dataset.queries.ids))
            for kind in ("label", "keywords")
        )
        np.testing.assert_allclose(evaluation.run.scores[:, 0], (labels @ keywords.T).max(1).values, atol=1e-5)


def test_six_questions_are_asked_of_the_keyword_evaluations(
    few_emoji: list[Emoji], make_encoders: Callable[[], DemoEncoders]
) -> None:
    encoders = make_encoders()
    task = keyword_task(few_emoji, queries=15, support=15, seed=0)
    raw, corrected = [], []
    for encoder in (encoders.retriever, encoders.generator_mean, encoders.generator_last):
        texts = Features(task.texts.ids, embed_collection(encoder, task.texts, progress=False))
        raw.append(evaluate_raw(task, texts, encoder.name, seed=0))
        corrected += [evaluate_corrected(task, texts, encoder.name, way, seed=0) for way in (Centring, ReAlign)]
    comparisons = compare_keywords(raw, corrected, seed=0)
    assert [(c.model_a, c.model_b) for c in comparisons] == [
        ("generator last", "retriever"),
        ("generator mean", "generator last"),
        ("generator last + Centring", "generator last"),
        ("generator last + ReAlign", "generator last"),
        ("generator last + ReAlign", "retriever"),
        ("retriever + ReAlign", "retriever"),
    ]
    assert all(c.p_value_holm >= c.p_value for c in comparisons)


def test_held_out_concepts_share_no_near_duplicate_with_trained_ones() -> None:
    split = split_concepts(read_emoji(), 0.2, seed=0)
    assert not {one.base for one in split.trained} & {one.base for one in split.held_out}
    assert not {one.id for one in split.trained} & {one.id for one in split.held_out}
    assert all(one.group != "flags" for one in (*split.trained, *split.held_out))
    assert len({one.base for one in split.held_out}) == round(0.2 * 1411)
    assert split == split_concepts(read_emoji(), 0.2, seed=0)
    assert split != split_concepts(read_emoji(), 0.2, seed=1)


def linked_features(rows: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Image and text features that are two linear views of the same 4 numbers."""
    generator = torch.Generator().manual_seed(seed)
    views = torch.Generator().manual_seed(99)
    shared = torch.randn(rows, 4, generator=generator)
    return shared @ torch.randn(4, 30, generator=views), shared @ torch.randn(4, 20, generator=views)


def test_heads_learn_a_link_that_holds_for_unseen_rows() -> None:
    images, texts = linked_features(300, seed=0)
    heads = train_heads(images, texts[:, None], torch.arange(300), steps=60, seed=0)
    unseen_images, unseen_texts = linked_features(50, seed=1)

    def recall(model: ProjectionHeads) -> float:
        scores = model.project_texts(unseen_texts) @ model.project_images(unseen_images).T
        return float((scores.argmax(1) == torch.arange(50)).float().mean())

    torch.manual_seed(0)
    assert recall(heads) > 0.5 > 0.2 > recall(ProjectionHeads(images, 20).eval())


def test_training_follows_its_seed_and_leaves_the_global_one_alone() -> None:
    images, texts = linked_features(300, seed=0)
    torch.manual_seed(7)
    expected_next = torch.rand(1)
    torch.manual_seed(7)
    threads = torch.get_num_threads()
    first, again, other = (
        train_heads(images, texts[:, None], torch.arange(300), steps=3, seed=seed).project_images(images)
        for seed in (0, 0, 1)
    )
    assert torch.equal(torch.rand(1), expected_next)
    assert torch.get_num_threads() == threads
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.fixture
def trained(
    few_emoji: list[Emoji], make_encoders: Callable[[], DemoEncoders]
) -> tuple[list[Emoji], ProjectionHeads, Features, Features]:
    encoders, split = make_encoders(), split_concepts(few_emoji, 0.5, seed=0)
    both = [*split.trained, *split.held_out]
    pictures, wordings = picture_collection(both), wording_collection(both)
    picture_features = Features(pictures.ids, embed_collection(encoders.images, pictures, progress=False))
    wording_features = Features(wordings.ids, embed_collection(encoders.retriever, wordings, progress=False))
    heads = train_on(split.trained, picture_features, wording_features, steps=3, seed=0)
    return split.held_out, heads, picture_features, wording_features


def test_near_duplicates_are_scored_by_three_meanings_of_a_hit(
    trained: tuple[list[Emoji], ProjectionHeads, Features, Features],
) -> None:
    held_out, heads, pictures, wordings = trained
    exact, concept, within = evaluate_near_duplicates(held_out, heads, pictures, wordings, seed=0)
    assert [exact.model, concept.model, within.model] == [EXACT, CONCEPT, WITHIN]
    emoji = near_duplicates(held_out)
    assert all(one.variant or any(other.base == one.id and other != one for other in emoji) for one in emoji)

    ids = [one.id for one in emoji]
    scores = heads.project_texts(wordings.of("label", ids)) @ heads.project_images(pictures.of("noto", ids)).T
    same = torch.tensor([[a.base == b.base for b in emoji] for a in emoji])
    best = scores.argmax(1)
    assert exact.metrics["recall@1"] == pytest.approx((best == torch.arange(len(ids))).float().mean())
    assert concept.metrics["hit@1"] == pytest.approx(same[torch.arange(len(ids)), best].float().mean())
    best_within = scores.masked_fill(~same, -torch.inf).argmax(1)
    assert within.metrics["recall@1"] == pytest.approx((best_within == torch.arange(len(ids))).float().mean())
    assert chance_within(held_out) == pytest.approx(float((1 / same.sum(1)).mean()))


def test_near_duplicates_need_a_held_out_concept_that_has_some(
    trained: tuple[list[Emoji], ProjectionHeads, Features, Features],
) -> None:
    held_out, heads, pictures, wordings = trained
    alone = [one for one in held_out if one not in near_duplicates(held_out)]
    with pytest.raises(ValueError, match="near_duplicates: a held-out concept with near-duplicates is needed"):
        evaluate_near_duplicates(alone, heads, pictures, wordings, seed=0)


def test_faiss_agrees_and_differences_are_ties() -> None:
    generator = torch.Generator().manual_seed(0)
    keys = torch.randn(500, 16, generator=generator)
    keys[100:200] = keys[:100]  # ties, which FAISS orders by descending id and fastret by ascending
    found = compare_with_faiss(torch.randn(40, 16, generator=generator), keys, 5)
    assert found is not None
    assert (found.queries, found.keys, found.dim, found.k) == (40, 500, 16, 5)
    assert 0.5 < found.equal_ids < 1
    assert found.explained_ids == 1
    assert found.largest_score_difference < 1e-4
    assert found.fastret_ms > 0 and found.faiss_ms > 0


def test_without_faiss_there_is_no_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastret.demo.faiss_search.find_spec", lambda name: None)
    assert compare_with_faiss(torch.ones(1, 2), torch.ones(1, 2), 1) is None
