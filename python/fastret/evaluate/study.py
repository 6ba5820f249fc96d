"""A whole study: models on tasks of one data set, compared with each other."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from fastret.ops.arrays import Metric

from .cached_embeddings import CollectionEmbedder
from .comparison import Comparison, compare_all
from .dataset import Dataset
from .encoding import check_inputs
from .evaluation import DEFAULT_KS, Evaluation, evaluate_embeddings
from .readers import read_source
from .readers.embeddings import PlainEmbeddings
from .tasks import parse_task

if TYPE_CHECKING:
    from fastret.embed import Encoder


@dataclass(frozen=True)
class Study:
    evaluations: list[Evaluation]
    comparisons: list[Comparison]

    def remarks(self) -> list[str]:
        """What a reader of the table should know of each task: sizes, what was left out, ties."""
        remarks: dict[str, None] = {}  # those of several models on a task are mostly the same
        for evaluation in self.evaluations:
            facts = evaluation.dataset
            of_task = f"{facts['name']}, {evaluation.task}"
            remarks[f"{of_task}: {facts['queries_evaluated']} queries, {facts['candidates']} candidates"] = None
            if facts["queries_without_relevant"]:
                remarks[
                    f"{of_task}: {facts['queries_without_relevant']} queries without relevant candidates left out"
                ] = None
            for reason, count in cast("dict[str, int]", facts["skipped"]).items():
                remarks[f"{of_task}: {count} records left out: {reason}"] = None
            if evaluation.tie_dependent_share:
                share = f"{100 * evaluation.tie_dependent_share:.1f} % of the first relevant ranks"
                remarks[f"{of_task}, {evaluation.model}: {share} depend on how ties are broken"] = None
        return list(remarks)


def run_study(
    data: str | os.PathLike[str],
    models: Sequence[str | os.PathLike[str] | Encoder] = (),
    tasks: Sequence[str] = (),
    *,
    metric: Metric = "cosine",
    ks: Sequence[int] = DEFAULT_KS,
    split: str | None = None,
    skip_bad: bool = False,
    exclude_self: bool | None = None,
    seed: int = 0,
    batch_size: int = 32,
    cache: str | os.PathLike[str] | None = None,
    load_options: Mapping[str, Any] | None = None,
    progress: bool | None = None,
) -> Study:
    """Read the data once, embed each collection once per model, evaluate every task, compare every pair of
    models.

    data: what `read_dataset` reads. Plain embeddings need no models and may go without a task.
    models: names or folders for `fastret.embed.load_encoder` (with `load_options`), or encoders.
    exclude_self: overrides `Dataset.exclude_self`.
    cache: a folder that keeps embeddings, so that a later or interrupted study does not embed again.

    Raises ValueError as `read_dataset`, `load_encoder` and `evaluate_embeddings` do.
    """
    parsed = [parse_task(task) for task in tasks]
    source = read_source(data, split=split, skip_bad=skip_bad)
    options: dict[str, Any] = {"metric": metric, "ks": ks, "seed": seed}
    if isinstance(source, PlainEmbeddings):
        if models:
            raise ValueError(
                f"run_study: {source.name} holds embeddings already, so it takes no models, got {len(models)}"
            )
        given = [source.dataset(task) for task in parsed] or [source.dataset()]
        return Study([_evaluate_given(_with_exclude_self(d, exclude_self), options) for d in given], [])
    if not models or not parsed:
        raise ValueError(
            f"run_study: {source.name} holds texts or images, which need at least one model and one task, "
            f"got {len(models)} and {len(parsed)}"
        )
    datasets = [_with_exclude_self(source.dataset(task), exclude_self) for task in parsed]
    evaluations = []
    for model in models:
        encoder = _load(model, load_options or {})
        for dataset in datasets:
            check_inputs(encoder, dataset.queries)
            check_inputs(encoder, dataset.candidates)
        embedder = CollectionEmbedder(encoder, cache, batch_size=batch_size, progress=progress)
        for dataset in datasets:
            start = time.perf_counter()
            queries = embedder(dataset.queries, f"{encoder.name} {dataset.task} queries")
            candidates = embedder(dataset.candidates, f"{encoder.name} {dataset.task} candidates")
            evaluations.append(
                evaluate_embeddings(
                    queries,
                    candidates,
                    dataset,
                    model=encoder.name,
                    model_description=encoder.describe(),
                    timings={"embed_s": time.perf_counter() - start},
                    **options,
                )
            )
    return Study(evaluations, compare_all(evaluations, seed=seed))


def _load(model: str | os.PathLike[str] | Encoder, options: Mapping[str, Any]) -> Encoder:
    if not isinstance(model, (str, os.PathLike)):
        return model
    from fastret.embed import load_encoder

    return load_encoder(os.fspath(model), **options)


def _with_exclude_self(dataset: Dataset, exclude_self: bool | None) -> Dataset:
    return dataset if exclude_self is None else replace(dataset, exclude_self=exclude_self)


def _evaluate_given(dataset: Dataset, options: Mapping[str, Any]) -> Evaluation:
    assert dataset.embeddings is not None  # what PlainEmbeddings.dataset gives
    queries, candidates = dataset.embeddings
    return evaluate_embeddings(queries, candidates, dataset, model=dataset.name, **options)
