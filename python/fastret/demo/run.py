"""The demo from end to end: five stages, their evaluations, and what they come to."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from fastret.evaluate import Comparison, Evaluation, compare, write_results
from fastret.evaluate.cached_embeddings import CollectionEmbedder
from fastret.evaluate.postprocess import Centring, ReAlign
from fastret.evaluate.significance import holm
from fastret.replacing import replacing

from .emoji import Emoji, read_emoji
from .encoders import DemoEncoders, demo_encoders
from .faiss_search import SearchComparison, compare_with_faiss
from .features import Features, default_cache
from .keywords import KeywordTask, embed_keywords, evaluate_corrected, evaluate_raw, keyword_task
from .near_duplicates import chance_within, evaluate_near_duplicates
from .pictures import evaluate_concepts, picture_collection, split_concepts, train_on, wording_collection
from .summary import faiss_sentence, keywords_sentences, near_duplicates_sentence, pictures_sentence

COMPARED_BY = "recall@1"


@dataclass(frozen=True)
class Settings:
    """The size of each stage; the defaults take two to three minutes on two cores, and seconds when cached."""

    seed: int = 0
    keyword_queries: int = 400
    keyword_support: int = 300
    held_out_share: float = 0.2
    head_steps: int = 300
    faiss_k: int = 10


@dataclass(frozen=True)
class Stage:
    title: str
    evaluations: list[Evaluation]


@dataclass(frozen=True)
class DemoReport:
    """Everything that the demo measured. `summary` is computed from the rest."""

    settings: Settings
    stages: list[Stage]
    comparisons: list[Comparison]
    faiss: SearchComparison | None
    summary: str
    elapsed_s: float
    results: dict[str, Any] = field(repr=False)  # what results.json holds

    def as_dict(self) -> dict[str, Any]:
        """Without the evaluations, which results.json has: the content of demo.json."""
        return {
            "summary": self.summary,
            "settings": asdict(self.settings),
            "stages": [
                {"title": s.title, "evaluations": [f"{e.model} {e.task}" for e in s.evaluations]} for s in self.stages
            ],
            "faiss": asdict(self.faiss) if self.faiss else None,
            "elapsed_s": round(self.elapsed_s, 3),
        }


def run_demo(
    out: Path,
    *,
    cache: Path | None = None,
    settings: Settings | None = None,
    encoders: DemoEncoders | None = None,
    emoji: Sequence[Emoji] | None = None,
    progress: bool | None = None,
    announce: Callable[[str], None] = lambda stage: None,
) -> DemoReport:
    """Run every stage and write results.json, runs/, per_query/ and demo.json to `out`.

    cache: keeps embeddings between runs; None is `default_cache()`. encoders, emoji: others than the demo's own.
    progress: bars as in `fastret.embed`. announce: is told what starts.

    Raises RuntimeError where weights are not installed, ValueError where the emoji are too few for the settings, and
    OSError where a file cannot be written.
    """
    start = time.perf_counter()
    settings = settings or Settings()
    encoders = encoders or demo_encoders()
    emoji = read_emoji() if emoji is None else emoji
    cache = cache or default_cache()
    out.mkdir(parents=True, exist_ok=True)

    task = keyword_task(emoji, queries=settings.keyword_queries, support=settings.keyword_support, seed=settings.seed)
    raw, corrected, comparisons = _keyword_stages(task, encoders, cache, settings.seed, progress, announce)
    pictures, duplicates, chance, search = _picture_stages(emoji, encoders, cache, settings, progress, announce)

    stages = [
        Stage("1  text -> text: a label finds keywords that share no word with it", raw),
        Stage(f"2  the same after corrections fitted on {settings.keyword_support} other concepts", corrected),
        Stage("3  text -> image and back, on concepts that were not trained on", pictures),
        Stage("4  text -> image among near-duplicates: what counts as a hit", duplicates),
    ]
    evaluations = [evaluation for stage in stages for evaluation in stage.evaluations]
    summary = " ".join(
        [
            keywords_sentences(raw, comparisons, settings.keyword_support),
            pictures_sentence(pictures),
            near_duplicates_sentence(duplicates, chance),
            faiss_sentence(search),
        ]
    )
    report = DemoReport(
        settings=settings,
        stages=stages,
        comparisons=comparisons,
        faiss=search,
        summary=summary,
        results=write_results(out, evaluations, comparisons),
        elapsed_s=time.perf_counter() - start,
    )
    with replacing(out / "demo.json") as temporary:
        temporary.write_text(json.dumps(report.as_dict(), indent=2) + "\n", encoding="utf-8")
    return report


def _keyword_stages(
    task: KeywordTask,
    encoders: DemoEncoders,
    cache: Path,
    seed: int,
    progress: bool | None,
    announce: Callable[[str], None],
) -> tuple[list[Evaluation], list[Evaluation], list[Comparison]]:
    """Stages 1 and 2: raw and corrected evaluations, and the pairs that answer a question."""
    raw, corrected = [], []
    for encoder in (encoders.retriever, encoders.generator_mean, encoders.generator_last):
        announce(f"{encoder.name}: labels and keywords")
        embedder = CollectionEmbedder(encoder, cache, progress=progress)
        made = embed_keywords(task, embedder, encoder.name)
        raw.append(evaluate_raw(task, made, encoder.name, seed))
        corrected += [evaluate_corrected(task, made, encoder.name, way, seed) for way in (Centring, ReAlign)]
        if encoder is not encoders.retriever:
            corrected.append(evaluate_corrected(task, made, encoder.name, ReAlign, seed, transductive=True))

    by_model = {evaluation.model: evaluation for evaluation in raw + corrected}
    retriever, last = encoders.retriever.name, encoders.generator_last.name
    questions = [
        (retriever, last),
        (last, encoders.generator_mean.name),
        (f"{last} + Centring", last),
        (f"{last} + ReAlign", last),
        (retriever, f"{last} + ReAlign"),
        (f"{retriever} + ReAlign", retriever),
    ]
    compared = [compare(by_model[a], by_model[b], COMPARED_BY, seed=seed) for a, b in questions]
    adjusted = holm([comparison.p_value for comparison in compared])
    return raw, corrected, [replace(c, p_value_holm=p) for c, p in zip(compared, adjusted, strict=True)]


def _picture_stages(
    emoji: Sequence[Emoji],
    encoders: DemoEncoders,
    cache: Path,
    settings: Settings,
    progress: bool | None,
    announce: Callable[[str], None],
) -> tuple[list[Evaluation], list[Evaluation], float, SearchComparison | None]:
    """Stages 3, 4 and 5: concepts, near-duplicates, what guessing gives among them, and FAISS."""
    split = split_concepts(emoji, settings.held_out_share, settings.seed)
    both = [*split.trained, *split.held_out]
    images, wordings = picture_collection(both), wording_collection(both)
    announce(f"{encoders.images.name}: {len(images)} images")
    pictures = Features(images.ids, CollectionEmbedder(encoders.images, cache, progress=progress)(images, "images"))
    announce(f"{encoders.retriever.name}: {len(wordings)} labels and captions")
    texts = Features(wordings.ids, CollectionEmbedder(encoders.retriever, cache, progress=progress)(wordings, "texts"))

    announce(f"training two heads on {len(split.trained)} emoji, {settings.head_steps} steps")
    heads = train_on(split.trained, pictures, texts, steps=settings.head_steps, seed=settings.seed)
    announce("ranking held-out concepts and near-duplicates")
    concepts = evaluate_concepts(split.held_out, heads, pictures, texts, settings.seed)
    duplicates = evaluate_near_duplicates(split.held_out, heads, pictures, texts, settings.seed)
    announce("the same search through FAISS")
    with torch.inference_mode():
        search = compare_with_faiss(
            heads.project_texts(texts.embeddings), heads.project_images(pictures.embeddings), settings.faiss_k
        )
    return concepts, duplicates, chance_within(split.held_out), search
