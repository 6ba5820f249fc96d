"""A whole study: models on tasks of one data set, compared with each other."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from fastret.ops.arrays import Metric

from .cached_embeddings import CollectionEmbedder
from .comparison import Comparison, compare_all
from .dataset import Dataset
from .encoding import check_inputs
from .evaluation import DEFAULT_KS, Evaluation, check_metric, evaluate_embeddings
from .metrics import check_ks
from .models import Model, find_models
from .readers import Source, read_source
from .readers.embeddings import PlainEmbeddings
from .tasks import parse_task

if TYPE_CHECKING:
    from fastret.embed import Encoder


@dataclass(frozen=True)
class Study:
    """What `run_study` found: evaluations by task and then model, and a comparison per pair of models, task, measure.

    `notes` are on options that did not apply to a model.
    """

    evaluations: list[Evaluation]
    comparisons: list[Comparison]
    notes: Sequence[str] = ()

    def remarks(self) -> list[str]:
        """What a reader of the table should know: options, sizes, what was left out, broken embeddings, ties."""
        remarks = dict.fromkeys(self.notes)  # a set in order: those of several models on a task are mostly the same
        for evaluation in self.evaluations:
            facts = evaluation.dataset
            of_task = f"{facts['name']}, {evaluation.task}"
            queries, candidates = _queries(facts["queries_evaluated"]), _candidates(facts["candidates"])
            remarks[f"{of_task}: {queries}, {candidates}"] = None
            if facts["queries_without_relevant"]:
                queries = _queries(facts["queries_without_relevant"])
                remarks[f"{of_task}: {queries} without relevant candidates left out"] = None
            for reason, count in cast("dict[str, int]", facts["skipped"]).items():
                remarks[f"{of_task}: {_counted(count, 'record', 'records')} left out: {reason}"] = None
            if facts["queries_not_finite"] or facts["candidates_not_finite"]:
                queries, candidates = _queries(facts["queries_not_finite"]), _candidates(facts["candidates_not_finite"])
                broken = f"NaN or infinity in the embeddings of {queries} and {candidates}"
                remarks[f"{of_task}, {evaluation.model}: {broken}"] = None
            if evaluation.tie_dependent_share:
                share = f"{100 * evaluation.tie_dependent_share:.1f} % of the first relevant ranks"
                remarks[f"{of_task}, {evaluation.model}: {share} depend on how ties are broken"] = None
        return list(remarks)


def _queries(count: object) -> str:
    return _counted(count, "query", "queries")


def _candidates(count: object) -> str:
    return _counted(count, "candidate", "candidates")


def _counted(count: object, one: str, several: str) -> str:
    return f"{count} {one if count == 1 else several}"


def evaluate_encoder(
    encoder: Encoder,
    dataset: Dataset,
    *,
    metric: Metric = "cosine",
    ks: Sequence[int] = DEFAULT_KS,
    seed: int = 0,
    batch_size: int = 32,
    cache: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
) -> Evaluation:
    """Embed queries and candidates with the encoder, then `evaluate_embeddings`.

    `cache` is a folder that keeps embeddings. `progress`: None shows bars where stderr is a terminal.
    Raises ValueError where the encoder does not take a kind of input that the data set has, before any work.
    """
    _check_dataset(encoder.name, encoder.inputs, dataset)
    embedder = CollectionEmbedder(encoder, cache, batch_size=batch_size, progress=progress)
    return _evaluate(embedder, dataset, {"metric": metric, "ks": ks, "seed": seed})


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
    """Read the data, embed each collection once per model, evaluate every task, compare every pair of models.

    data: what `read_dataset` reads. Plain embeddings need no models and may go without a task.
    models: names or folders for `fastret.embed.load_encoder`, or encoders.
    load_options: for `load_encoder`; pooling and prompt go to the models that take them.
    skip_bad: leave out and count bad records, and images that one of the models does not take.
    exclude_self: overrides `Dataset.exclude_self`.
    cache: a folder that keeps embeddings, so that a later or interrupted study does not embed again.

    Raises ValueError or OSError as `read_dataset`, `load_encoder` and `evaluate_embeddings` do. That a model is there,
    is supported and takes what the tasks have is found out before the first one embeds anything.
    """
    ks = check_ks(ks)  # and what else can be wrong, before hours of embedding
    check_metric(metric)
    parsed = [parse_task(task) for task in dict.fromkeys(tasks)]
    found, notes = find_models(models, load_options or {})
    source = read_source(data, split=split, skip_bad=skip_bad)
    options: dict[str, Any] = {"metric": metric, "ks": ks, "seed": seed}
    embedding: dict[str, Any] = {"cache": cache, "batch_size": batch_size, "progress": progress}
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
    for model in found:
        for dataset in datasets:
            _check_dataset(model.name, model.inputs, dataset)
    if skip_bad and _has_images(datasets):
        _leave_out_refused_images(source, found)
        datasets = [_with_exclude_self(source.dataset(task), exclude_self) for task in parsed]
    evaluations: list[Evaluation] = []
    for model in found:  # a call each, so that one model is freed before the next is loaded
        evaluations += _evaluate_model(model, datasets, embedding, options)
    order = [task.name for task in parsed]
    evaluations.sort(key=lambda evaluation: order.index(evaluation.task))  # the models of a task side by side
    return Study(evaluations, compare_all(evaluations, seed=seed), notes)


def _evaluate_model(
    model: Model, datasets: Sequence[Dataset], embedding: Mapping[str, Any], options: Mapping[str, Any]
) -> list[Evaluation]:
    embedder = CollectionEmbedder(model.load(), **embedding)
    return [_evaluate(embedder, dataset, options) for dataset in datasets]


def _check_dataset(name: str, inputs: frozenset[str], dataset: Dataset) -> None:
    check_inputs(name, inputs, dataset.queries)
    check_inputs(name, inputs, dataset.candidates)


def _evaluate(embedder: CollectionEmbedder, dataset: Dataset, options: Mapping[str, Any]) -> Evaluation:
    encoder = embedder.encoder
    start = time.perf_counter()
    queries = embedder(dataset.queries, f"{encoder.name} {dataset.task} queries")
    candidates = embedder(dataset.candidates, f"{encoder.name} {dataset.task} candidates")
    return evaluate_embeddings(
        queries,
        candidates,
        dataset,
        model=encoder.name,
        model_description=encoder.describe(),
        timings={"embed_s": time.perf_counter() - start},
        **options,
    )


def _leave_out_refused_images(source: Source, models: Sequence[Model]) -> None:
    """What one model refuses is left out for all, because they are compared on the same queries."""
    from fastret.embed.refused_images import REFUSED_IMAGE, image_faults

    for model in models:
        source.leave_out_images(partial(image_faults, model.load()), REFUSED_IMAGE)


def _has_images(datasets: Sequence[Dataset]) -> bool:
    sides = [side for dataset in datasets for side in (dataset.queries, dataset.candidates)]
    return any(image is not None for side in sides for image in side.images)


def _with_exclude_self(dataset: Dataset, exclude_self: bool | None) -> Dataset:
    return dataset if exclude_self is None else replace(dataset, exclude_self=exclude_self)


def _evaluate_given(dataset: Dataset, options: Mapping[str, Any]) -> Evaluation:
    assert dataset.embeddings is not None  # what PlainEmbeddings.dataset gives
    queries, candidates = dataset.embeddings
    return evaluate_embeddings(queries, candidates, dataset, model=dataset.name, **options)
