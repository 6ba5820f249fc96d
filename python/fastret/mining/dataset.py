"""mine_dataset: hard negatives for every pair of a data set."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .candidates import Miner
from .formats import Format
from .options import OP, MiningOptions, OutputFormat, SamplingStrategy, Similarity
from .pairs import Cell, read_pairs
from .rescoring import Rescorer, rescorer_name
from .run import begin, mine_in_memory, mine_to_file, work_folder
from .sentence_transformer import process_pool
from .sides import corpus_side, query_side
from .sources import Embeddings


def mine_dataset(
    dataset: Any,
    model: Any = None,
    anchor_column_name: str | None = None,
    positive_column_name: str | None = None,
    corpus: Sequence[Cell] | None = None,
    cross_encoder: Rescorer | None = None,
    range_min: int = 0,
    range_max: int | None = None,
    max_score: float | None = None,
    min_score: float | None = None,
    absolute_margin: float | None = None,
    relative_margin: float | None = None,
    num_negatives: int = 3,
    sampling_strategy: SamplingStrategy = "top",
    query_prompt_name: str | None = None,
    query_prompt: str | None = None,
    corpus_prompt_name: str | None = None,
    corpus_prompt: str | None = None,
    include_positives: bool = False,
    output_format: OutputFormat = "triplet",
    output_scores: bool = False,
    batch_size: int = 32,
    faiss_batch_size: int = 1024,
    use_faiss: bool = False,
    use_multi_process: Sequence[str] | bool = False,
    verbose: bool = True,
    cache_folder: str | Path | None = None,
    *,
    query_embeddings: Embeddings | None = None,
    corpus_embeddings: Embeddings | None = None,
    corpus_model: Any = None,
    exclude_self: bool = False,
    metric: Similarity = "cosine",
    device: str = "cpu",
    seed: int = 0,
    out: str | Path | None = None,
    progress: bool | None = None,
) -> Any:
    """A data set with hard negatives: for each query, the documents that score best and are within every limit.

    Takes what sentence-transformers' `mine_hard_negatives` takes, by the same names, and finds the same negatives; the
    differences are at the end. Rows with the same query are its positives, none of which is its negative. Candidates
    are the documents of the positive column and of `corpus`, each once.

    Args:
        dataset: a `datasets.Dataset`, or a mapping of columns; cells are texts (str) or images (PIL, bytes, `Path`, or
            the struct of a `datasets` image).
        model: what embeds: a SentenceTransformer, an encoder of `fastret.embed`, or a name for `load_encoder`.
        anchor_column_name, positive_column_name: default: the first and the second column.
        corpus: more documents.
        cross_encoder: scores candidates and positives again: an object with sentence-transformers'
            `predict(pairs, batch_size=...)`, or any function from a list of (query, document) to a score each, such as
            the yes/no logit of a multimodal language model.
        range_min, range_max: of what the limits left, skip the first range_min; look at the range_max best documents.
        max_score, min_score: negatives score at most and at least this.
        absolute_margin: negatives score at most positive score - absolute_margin. Of several positives the least
            similar counts.
        relative_margin: negatives score at most positive score - relative_margin * |positive score|: TopK-PercPos of
            NV-Retriever, arXiv 2407.15831, whose 95 % is 0.05 here. `fastret.mining.PRESETS` has its other methods.
        num_negatives: per query.
        sampling_strategy: "top", the hardest, or "random" ones of the window.
        query_prompt, corpus_prompt: put before every text. query_prompt_name, corpus_prompt_name: of `model.prompts`.
        include_positives: let positives stay in the ranking, for reranking data; needs output_format="n-tuple".
        output_format: "triplet" (anchor, positive, negative), "n-tuple" (anchor, positive, negative_1, ...),
            "labeled-pair" (anchor, document, label) or "labeled-list" (anchor, documents, labels).
        output_scores: add `scores`, or put them in place of labels.
        batch_size: inputs embedded, or pairs given to a function, at once.
        faiss_batch_size: queries searched at once: what a kill loses.
        use_faiss: changes nothing: the search is exact and fast either way.
        use_multi_process: worker processes of a SentenceTransformer: True or a list of devices.
        verbose: print a summary to stderr. progress: bars; None shows them on terminals.
        cache_folder: keeps embeddings, which a run that was stopped goes on with and later runs read.
        query_embeddings: instead of a model, [rows, D], a row for each row of the data set.
        corpus_embeddings: a row for each of `corpus`, which then has every positive, or else for each row of the data
            set. A `FlatIndex` may be in a file or on devices; its ids are 0 ... n - 1, all documents differ.
        corpus_model: embeds documents, where another model embeds queries.
        exclude_self: a document that equals the query is no candidate.
        metric: "cosine" or "ip".
        device: where the corpus is searched; an index stays where it is.
        seed: of "random". A query's sample depends on nothing else.
        out: a .parquet or .jsonl file to write to, by blocks of queries. A run that was stopped, called again alike,
            goes on where it was, and the file has the bytes of one that was not. It is not told from another run by
            what its cross_encoder does, only by its name.

    Returns:
        The `datasets.Dataset` (`pip install datasets`); with `out` the `MiningSummary` instead:
        `datasets.load_dataset("parquet", data_files=out)` loads what was written.

    Raises:
        ValueError, TypeError: options, columns, cells, embeddings or scores that are none, in one sentence; a run in
            `out` that was begun with something else.

    Unlike sentence-transformers': with "top", without range_max and without cross_encoder, a query whose candidates do
    not have num_negatives within the limits gets more candidates until it has, or the corpus ends; a cross_encoder
    is asked also where there are no limits, not silently left out; include_positives with another format is refused,
    not changed; "random" does not depend on what was sampled before; deprecated arguments are gone.
    """
    options = MiningOptions(
        range_min=range_min,
        range_max=range_max,
        max_score=max_score,
        min_score=min_score,
        absolute_margin=absolute_margin,
        relative_margin=relative_margin,
        num_negatives=num_negatives,
        sampling_strategy=sampling_strategy,
        include_positives=include_positives,
        exclude_self=exclude_self,
        output_format=output_format,
        output_scores=output_scores,
        metric=metric,
        seed=seed,
    )
    for name, value in (("batch_size", batch_size), ("faiss_batch_size", faiss_batch_size)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{OP}: {name} must be a positive integer, got {value!r}")
    if out is not None:
        out = Path(out)
        work_folder(out)  # refuses other kinds of files before any work
    pairs = read_pairs(dataset, anchor_column_name, positive_column_name, corpus)
    form = Format(pairs, options)
    if out is not None and out.suffix == ".jsonl" and form.has_images:
        raise ValueError(f"{OP}: images need a .parquet file, got {out.name}")
    with process_pool(model, use_multi_process) as pool:
        queries = query_side(pairs, query_embeddings, model, query_prompt, query_prompt_name, pool)
        documents = corpus_side(
            pairs, corpus_embeddings, corpus_model or model, corpus_prompt, corpus_prompt_name, pool, metric
        )
        folder = None if cache_folder is None else Path(cache_folder)
        if out is not None:
            plan = {
                **asdict(options),
                "faiss_batch_size": faiss_batch_size,
                "dataset or corpus": pairs.sha256(),
                "model or embeddings of queries": queries.identity(),
                "model or embeddings of documents": documents.identity(),
                "cross_encoder": rescorer_name(cross_encoder),
            }
            begin(work_folder(out), plan)
            folder = folder or work_folder(out) / "embeddings"
        query_rows = queries.rows(folder, batch_size, progress)
        index = documents.index(folder, batch_size, progress, metric, device)
    if query_rows.dim != index.dim:
        raise ValueError(f"{OP}: queries and documents must share D, got {query_rows.dim} and {index.dim}")
    miner = Miner(pairs, options, query_rows, queries.positions, index, cross_encoder, batch_size)
    if out is not None:
        summary = mine_to_file(miner, form, len(pairs.queries), faiss_batch_size, progress, out)
    else:
        table, summary = mine_in_memory(miner, form, len(pairs.queries), faiss_batch_size, progress)
    if verbose:
        print(f"{OP}: {summary}", file=sys.stderr)
    return summary if out is not None else _as_dataset(table)


def _as_dataset(table: Any) -> Any:
    import datasets
    from datasets.table import InMemoryTable

    return datasets.Dataset(InMemoryTable(table))
