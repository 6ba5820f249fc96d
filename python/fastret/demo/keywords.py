"""Text to text: an emoji's label should find its keywords, though the two share no word."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fastret.evaluate import Collection, Comparison, Dataset, Evaluation, compare, evaluate_embeddings
from fastret.evaluate.postprocess import Centring, ReAlign
from fastret.evaluate.significance import holm

from .emoji import Emoji, distinct_keywords
from .features import Features, text_collection

KEYWORDS = 8  # the most that one candidate lists


@dataclass(frozen=True)
class KeywordTask:
    """The evaluated concepts, others on which corrections are fitted, and the texts of both.

    `texts` has `label/id` and `keywords/id` for every concept.
    """

    dataset: Dataset
    support_ids: list[str]
    texts: Collection


def keyword_task(emoji: Sequence[Emoji], *, queries: int, support: int, seed: int) -> KeywordTask:
    """Draws disjoint concepts for evaluation and support: no flags, no near-duplicates, no keyword list twice.

    Raises ValueError where the emoji do not hold so many concepts with two keywords that share no word with the label.
    """
    by_keywords: dict[str, Emoji] = {}
    for one in emoji:
        distinct = distinct_keywords(one)
        if one.base == one.id and one.group != "flags" and len(distinct) >= 2:
            by_keywords.setdefault(", ".join(distinct[:KEYWORDS]), one)
    pairs = [(one, keywords) for keywords, one in by_keywords.items()]
    if queries + support > len(pairs):
        raise ValueError(f"keyword_task: {queries} + {support} concepts were asked for, the data hold {len(pairs)}")
    random.Random(seed).shuffle(pairs)
    pairs = pairs[: queries + support]

    ids = [one.id for one, _ in pairs]
    labels, keywords = [one.label for one, _ in pairs], [listed for _, listed in pairs]
    evaluated = ids[:queries]
    return KeywordTask(
        dataset=Dataset(
            name="emoji labels and keywords without a shared word",
            task="t2t",
            queries=text_collection(evaluated, labels[:queries]),
            candidates=text_collection(evaluated, keywords[:queries]),
            qrels={id_: {id_: 1} for id_ in evaluated},
        ),
        support_ids=ids[queries:],
        texts=text_collection([f"label/{i}" for i in ids] + [f"keywords/{i}" for i in ids], labels + keywords),
    )


def evaluate_raw(task: KeywordTask, texts: Features, model: str, seed: int) -> Evaluation:
    """The search with the embeddings as they are."""
    labels, keywords = (texts.of(kind, task.dataset.queries.ids) for kind in ("label", "keywords"))
    return evaluate_embeddings(labels, keywords, task.dataset, model=model, seed=seed)


def evaluate_corrected(
    task: KeywordTask,
    texts: Features,
    model: str,
    correction: type[Centring] | type[ReAlign],
    seed: int,
    *,
    transductive: bool = False,
) -> Evaluation:
    """The same search after a correction of labels and keywords, each with its own fit.

    The fit is on the support concepts, or, if `transductive`, on the evaluated embeddings themselves.
    """
    ids = task.dataset.queries.ids
    support_ids = ids if transductive else task.support_ids
    labels, keywords = (
        correction().fit(texts.of(kind, support_ids))(texts.of(kind, ids)) for kind in ("label", "keywords")
    )
    name = f"{model} + {correction.__name__}{' (transductive)' if transductive else ''}"
    return evaluate_embeddings(labels, keywords, task.dataset, model=name, seed=seed)


def compare_keywords(raw: Sequence[Evaluation], corrected: Sequence[Evaluation], seed: int) -> list[Comparison]:
    """Paired tests of recall@1 for six questions; p-values adjusted by Holm's method over them.

    raw: the retriever, the generator's mean and its last token. The answers, each as first minus second: last token
    and retriever; mean and last token; centred and raw last token; realigned and raw last token; realigned last token
    and retriever; realigned and raw retriever.
    """
    retriever, mean, last = raw
    by_model = {evaluation.model: evaluation for evaluation in corrected}
    realigned = by_model[f"{last.model} + ReAlign"]
    questions = [
        (last, retriever),
        (mean, last),
        (by_model[f"{last.model} + Centring"], last),
        (realigned, last),
        (realigned, retriever),
        (by_model[f"{retriever.model} + ReAlign"], retriever),
    ]
    compared = [compare(a, b, "recall@1", seed=seed) for a, b in questions]
    adjusted = holm([comparison.p_value for comparison in compared])
    return [replace(comparison, p_value_holm=p) for comparison, p in zip(compared, adjusted, strict=True)]
