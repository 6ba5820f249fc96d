"""The demo from end to end: five stages, their evaluations, and what they come to."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fastret.embed import Encoder
from fastret.evaluate import Collection, Comparison, Evaluation, write_results
from fastret.evaluate.postprocess import Centring, ReAlign
from fastret.replacing import replacing

from .emoji import Emoji, read_emoji
from .encoders import DemoEncoders, demo_encoders
from .faiss_search import SearchComparison, compare_with_faiss
from .features import Features, default_cache, embed_features
from .keywords import KeywordTask, compare_keywords, evaluate_corrected, evaluate_raw, keyword_task
from .near_duplicates import chance_within, evaluate_near_duplicates
from .pictures import evaluate_concepts, picture_collection, split_concepts, train_on, wording_collection
from .summary import faiss_sentence, keywords_sentences, near_duplicates_sentence, pictures_sentence

Embed = Callable[[Encoder, Collection], Features]
Announce = Callable[[str], None]


@dataclass(frozen=True)
class Settings:
    """The size of each stage; the defaults take two to three minutes on two cores, and seconds when cached."""

    seed: int = 0
    keyword_queries: int = 400
    keyword_support: int = 300
    held_out_share: float = 0.2
    head_steps: int = 200
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
    announce: Announce = lambda stage: None,
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

    def embed(encoder: Encoder, collection: Collection) -> Features:
        announce(f"{encoder.name}: {len(collection)} {'images' if 'image' in encoder.inputs else 'texts'}")
        return embed_features(encoder, collection, cache, progress)

    task = keyword_task(emoji, queries=settings.keyword_queries, support=settings.keyword_support, seed=settings.seed)
    raw, corrected, comparisons = _keyword_stages(task, encoders, embed, settings.seed)
    pictures, duplicates, chance, search = _picture_stages(emoji, encoders, embed, settings, progress, announce)

    stages = [
        Stage("1  text -> text: a label finds keywords that share no word with it", raw),
        Stage(f"2  the same after corrections fitted on {settings.keyword_support} other concepts", corrected),
        Stage("3  text -> image and back, on concepts that were not trained on", pictures),
        Stage("4  text -> image among near-duplicates: what counts as a hit", duplicates),
    ]
    evaluations = [evaluation for stage in stages for evaluation in stage.evaluations]
    summary = " ".join(
        [
            keywords_sentences(raw, corrected, comparisons, settings.keyword_support),
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
    task: KeywordTask, encoders: DemoEncoders, embed: Embed, seed: int
) -> tuple[list[Evaluation], list[Evaluation], list[Comparison]]:
    """Stages 1 and 2: evaluations before and after the corrections, and their comparisons."""
    raw, corrected = [], []
    for encoder in (encoders.retriever, encoders.generator_mean, encoders.generator_last):
        texts = embed(encoder, task.texts)
        raw.append(evaluate_raw(task, texts, encoder.name, seed))
        corrected += [evaluate_corrected(task, texts, encoder.name, way, seed) for way in (Centring, ReAlign)]
        if encoder is not encoders.retriever:
            corrected.append(evaluate_corrected(task, texts, encoder.name, ReAlign, seed, transductive=True))
    return raw, corrected, compare_keywords(raw, corrected, seed)


def _picture_stages(
    emoji: Sequence[Emoji],
    encoders: DemoEncoders,
    embed: Embed,
    settings: Settings,
    progress: bool | None,
    announce: Announce,
) -> tuple[list[Evaluation], list[Evaluation], float, SearchComparison | None]:
    """Stages 3 to 5: concepts, near-duplicates, what guessing gives among them, and FAISS."""
    split = split_concepts(emoji, settings.held_out_share, settings.seed)
    both = [*split.trained, *split.held_out]
    pictures = embed(encoders.images, picture_collection(both))
    wordings = embed(encoders.retriever, wording_collection(both))
    announce(f"two heads: {settings.head_steps} steps on {len(split.trained)} emoji")
    heads = train_on(
        split.trained, pictures, wordings, steps=settings.head_steps, seed=settings.seed, progress=progress
    )
    concepts = evaluate_concepts(split.held_out, heads, pictures, wordings, settings.seed)
    duplicates = evaluate_near_duplicates(split.held_out, heads, pictures, wordings, settings.seed)
    announce("FAISS: the same search")
    search = compare_with_faiss(
        heads.project_texts(wordings.embeddings), heads.project_images(pictures.embeddings), settings.faiss_k
    )
    return concepts, duplicates, chance_within(split.held_out), search
