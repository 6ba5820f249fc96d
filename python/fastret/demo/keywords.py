"""Text to text: an emoji's label should find its keywords, though the two share no word."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from fastret.evaluate import Collection, Dataset, Evaluation, evaluate_embeddings
from fastret.evaluate.cached_embeddings import CollectionEmbedder
from fastret.evaluate.postprocess import Centring, ReAlign

from .emoji import Emoji, distinct_keywords
from .features import text_collection

KEYWORDS = 8  # the most that one candidate lists


@dataclass(frozen=True)
class KeywordTask:
    """The evaluated concepts, and others on which the corrections are fitted."""

    dataset: Dataset
    support_labels: Collection
    support_keywords: Collection


@dataclass(frozen=True)
class KeywordEmbeddings:
    """What one encoder makes of a task's four collections."""

    labels: Tensor  # [Q, D]
    keywords: Tensor  # [Q, D]
    support_labels: Tensor  # [S, D]
    support_keywords: Tensor  # [S, D]


def keyword_task(emoji: Sequence[Emoji], *, queries: int, support: int, seed: int) -> KeywordTask:
    """Draws disjoint concepts for evaluation and support: no flags, no near-duplicates, no keyword list twice.

    Raises ValueError where the emoji do not hold so many concepts with two keywords that share no word with the label.
    """
    by_keywords: dict[str, Emoji] = {}
    for one in emoji:
        distinct = distinct_keywords(one)
        if one.base == one.id and one.group != "flags" and len(distinct) >= 2:
            by_keywords.setdefault(", ".join(distinct[:KEYWORDS]), one)
    pairs = [(one, listed) for listed, one in by_keywords.items()]
    if queries + support > len(pairs):
        raise ValueError(f"keyword_task: {queries} + {support} concepts were asked for, the data hold {len(pairs)}")
    random.Random(seed).shuffle(pairs)

    def collections(chosen: Sequence[tuple[Emoji, str]]) -> tuple[Collection, Collection]:
        ids = [one.id for one, _ in chosen]
        return text_collection(ids, [one.label for one, _ in chosen]), text_collection(ids, [k for _, k in chosen])

    labels, keywords = collections(pairs[:queries])
    qrels = {id_: {id_: 1} for id_ in labels.ids}
    dataset = Dataset("emoji labels and keywords without a shared word", "t2t", labels, keywords, qrels)
    return KeywordTask(dataset, *collections(pairs[queries : queries + support]))


def embed_keywords(task: KeywordTask, embed: CollectionEmbedder, model: str) -> KeywordEmbeddings:
    return KeywordEmbeddings(
        embed(task.dataset.queries, f"{model} labels"),
        embed(task.dataset.candidates, f"{model} keywords"),
        embed(task.support_labels, f"{model} support labels"),
        embed(task.support_keywords, f"{model} support keywords"),
    )


def evaluate_raw(task: KeywordTask, made: KeywordEmbeddings, model: str, seed: int) -> Evaluation:
    return evaluate_embeddings(made.labels, made.keywords, task.dataset, model=model, seed=seed)


def evaluate_corrected(
    task: KeywordTask,
    made: KeywordEmbeddings,
    model: str,
    correction: type[Centring] | type[ReAlign],
    seed: int,
    *,
    transductive: bool = False,
) -> Evaluation:
    """The same search after a correction of queries and candidates, each with its own fit.

    The fit is on the support concepts, or, if `transductive`, on the evaluated embeddings themselves.
    """
    fit_labels, fit_keywords = (
        (made.labels, made.keywords) if transductive else (made.support_labels, made.support_keywords)
    )
    return evaluate_embeddings(
        correction().fit(fit_labels)(made.labels),
        correction().fit(fit_keywords)(made.keywords),
        task.dataset,
        model=f"{model} + {correction.__name__}{' (transductive)' if transductive else ''}",
        seed=seed,
    )
