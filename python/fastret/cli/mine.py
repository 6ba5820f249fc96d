"""fastret mine: hard negatives for a data set, written to a file that Hugging Face `datasets` loads."""

from __future__ import annotations

import json
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from .options import BatchSize, Device, Dtype, Pooling, Prompt, SkipBad, Split

EXAMPLES = """Examples:

fastret mine --data pairs.jsonl --model minilm --out mined.parquet --relative-margin 0.05

fastret mine --data beir/scifact --task t2t --model minilm --out mined.jsonl --num-negatives 8 --format n-tuple

fastret mine --data photos --task t2i --model my-mllm --out mined.parquet --preset topk-percpos --scores"""


class Sampling(str, Enum):
    top = "top"
    random = "random"


class Format(str, Enum):
    triplet = "triplet"
    n_tuple = "n-tuple"
    labeled_pair = "labeled-pair"
    labeled_list = "labeled-list"


class Similarity(str, Enum):
    cosine = "cosine"
    ip = "ip"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("mine", epilog=EXAMPLES)(mine)


def mine(
    data: Annotated[
        Path,
        typer.Option(
            help="A .jsonl or .parquet file of pairs; with --task any data set that `fastret evaluate` reads."
        ),
    ],
    out: Annotated[Path, typer.Option(help="A .parquet or .jsonl file. A run that was stopped goes on where it was.")],
    model: Annotated[
        str | None, typer.Option(help="A model's name or folder, a .gguf file, minilm or smollm2.")
    ] = None,
    corpus_model: Annotated[str | None, typer.Option(help="Of the documents. Default: --model.")] = None,
    query_embeddings: Annotated[
        Path | None, typer.Option(help="Instead of --model: .npy, .safetensors or a store, a row for each pair.")
    ] = None,
    corpus_embeddings: Annotated[
        Path | None,
        typer.Option(help="The same of the documents: a row for each pair, or for each line of --corpus."),
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="t2i, i2t, t2t ...: pairs of a query and its relevant items.")
    ] = None,
    split: Split = None,
    anchor_column_name: Annotated[str | None, typer.Option(help="Default: the first column.")] = None,
    positive_column_name: Annotated[str | None, typer.Option(help="Default: the second column.")] = None,
    corpus: Annotated[Path | None, typer.Option(help="More documents: a .txt file of one per line.")] = None,
    cross_encoder: Annotated[
        str | None, typer.Option(help="Scores candidates again: a CrossEncoder of sentence-transformers.")
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="naive-topk, topk-shifted, topk-abs, topk-marginpos, topk-percpos (NV-Retriever), unime."),
    ] = None,
    num_negatives: Annotated[int | None, typer.Option(min=1, help="For each query. Default: 3.")] = None,
    range_min: Annotated[int | None, typer.Option(min=0, help="Skip so many of the hardest. Default: 0.")] = None,
    range_max: Annotated[int | None, typer.Option(min=1, help="Look at so many. Default: as many as needed.")] = None,
    max_score: Annotated[float | None, typer.Option(help="The most that a negative scores.")] = None,
    min_score: Annotated[float | None, typer.Option(help="The least that a negative scores.")] = None,
    absolute_margin: Annotated[float | None, typer.Option(help="At least so far below the positive.")] = None,
    relative_margin: Annotated[
        float | None, typer.Option(help="At least so far below the positive, as a part of its score.")
    ] = None,
    sampling_strategy: Annotated[Sampling, typer.Option(help="The hardest, or any within the limits.")] = Sampling.top,
    include_positives: Annotated[
        bool, typer.Option("--include-positives", help="Leave them in the ranking; needs --format n-tuple.")
    ] = False,
    exclude_self: Annotated[
        bool, typer.Option("--exclude-self", help="A document that equals the query is no candidate.")
    ] = False,
    output_format: Annotated[Format, typer.Option("--format", help="How rows look.")] = Format.triplet,
    output_scores: Annotated[bool, typer.Option("--scores", help="With scores, or scores instead of labels.")] = False,
    query_prompt: Annotated[str | None, typer.Option(help="Put before every text that is a query.")] = None,
    corpus_prompt: Annotated[str | None, typer.Option(help="Put before every text that is a document.")] = None,
    metric: Annotated[Similarity, typer.Option(help="Similarity of two embeddings.")] = Similarity.cosine,
    pooling: Pooling = None,
    prompt: Prompt = None,
    batch_size: BatchSize = 32,
    block_size: Annotated[int, typer.Option(min=1, help="Queries mined at once: what a kill loses.")] = 1024,
    cache_folder: Annotated[Path | None, typer.Option("--cache", help="Folder that keeps embeddings.")] = None,
    dtype: Dtype = "auto",
    device: Device = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Of random sampling.")] = 0,
    skip_bad: SkipBad = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Mine hard negatives: what scores best for a query without being its positive, within the limits."""
    from ..mining import PRESETS, mine_dataset

    if preset is not None and preset not in PRESETS:
        raise typer.BadParameter(f"must be one of {', '.join(PRESETS)}", param_hint="--preset")
    if task is not None and (corpus or query_embeddings or corpus_embeddings):
        raise typer.BadParameter("a data set of a task has its own corpus, which --model embeds", param_hint="--task")
    limits = {
        "num_negatives": num_negatives,
        "range_min": range_min,
        "range_max": range_max,
        "max_score": max_score,
        "min_score": min_score,
        "absolute_margin": absolute_margin,
        "relative_margin": relative_margin,
    }
    # What is asked for goes before the preset's.
    chosen = {**PRESETS[preset or "naive-topk"], **{name: value for name, value in limits.items() if value is not None}}
    pairs, documents = _read(data, task, corpus, split=split, skip_bad=skip_bad)
    load = {"pooling": pooling, "prompt": prompt, "dtype": dtype, "device": device}
    summary = mine_dataset(
        pairs,
        _encoder(model, load),
        anchor_column_name,
        positive_column_name,
        documents,
        _cross_encoder(cross_encoder),
        **chosen,
        sampling_strategy=sampling_strategy.value,
        query_prompt=query_prompt,
        corpus_prompt=corpus_prompt,
        include_positives=include_positives,
        exclude_self=exclude_self,
        output_format=output_format.value,
        output_scores=output_scores,
        batch_size=batch_size,
        faiss_batch_size=block_size,
        verbose=False,
        cache_folder=cache_folder,
        query_embeddings=_embeddings(query_embeddings),
        corpus_embeddings=_embeddings(corpus_embeddings),
        corpus_model=_encoder(corpus_model, load),
        metric=metric.value,
        seed=seed,
        out=out,
    )
    if as_json:
        typer.echo(json.dumps({"out": str(out), **asdict(summary)}))
    else:
        typer.echo(f"{out}: {summary}")


def _read(
    data: Path, task: str | None, corpus: Path | None, *, split: str | None, skip_bad: bool
) -> tuple[dict[str, list[Any]], list[Any] | None]:
    """The columns of the pairs, and more documents."""
    if task is not None:
        return _of_task(data, task, split=split, skip_bad=skip_bad)
    from ..evaluate.readers.bad_records import BadRecords
    from ..evaluate.readers.records import read_records

    if data.suffix not in (".jsonl", ".parquet"):
        raise ValueError(f"{data}: pairs come in a .jsonl or .parquet file; other data need --task")
    columns: dict[str, list[Any]] = {}
    for record in read_records(data, BadRecords(skip_bad)):
        columns = columns or {name: [] for name in record.fields}
        if columns.keys() != record.fields.keys():
            raise ValueError(f"{record.place}: must have the columns {', '.join(columns)}, got {[*record.fields]}")
        for name, value in record.fields.items():
            columns[name].append(value)
    if corpus is None:
        return columns, None
    return columns, [line for line in corpus.read_text(encoding="utf-8").splitlines() if line.strip()]


def _of_task(data: Path, task: str, *, split: str | None, skip_bad: bool) -> tuple[dict[str, list[Any]], list[Any]]:
    """A row for each query and relevant candidate; every candidate is a document."""
    from ..evaluate import read_dataset
    from ..evaluate.dataset import judgements

    dataset = read_dataset(data, task, split=split, skip_bad=skip_bad)
    queries, candidates = _cells(data, dataset.queries), _cells(data, dataset.candidates)
    judged = judgements(dataset)
    rows = [
        (queries[query], candidates[document])
        for query, relevant in zip(judged.query_rows.tolist(), judged.relevant, strict=True)
        for document in relevant.tolist()
    ]
    return {"anchor": [query for query, _ in rows], "positive": [document for _, document in rows]}, candidates


def _cells(data: Path, collection: Any) -> list[Any]:
    kinds = set(collection.kinds())
    if not kinds <= {"text", "image"}:
        raise ValueError(f"{data}: hard negatives are mined among texts or images, got {max(kinds) or 'nothing'} items")
    return [text or image for text, image in zip(collection.texts, collection.images, strict=True)]


def _encoder(name: str | None, options: dict[str, Any]) -> Any:
    if name is None:
        return None
    from ..embed import load_encoder

    return load_encoder(name, **options)


def _cross_encoder(name: str | None) -> Any:
    if name is None:
        return None
    from sentence_transformers import CrossEncoder

    return CrossEncoder(name)


def _embeddings(path: Path | None) -> Any:
    """An index where the file is one, as it lies; else vectors."""
    if path is None or path.is_dir():
        return path  # a store, whose shards stay on the disk
    from .search import read_vectors

    vectors = read_vectors(path, mmap=True)
    return vectors.flat_index or vectors.rows
