"""fastret search: the nearest keys of each query, from files."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, cast

import typer

from .options import MetricName

if TYPE_CHECKING:
    from torch import Tensor

    from ..index import FlatIndex
    from ..ops.arrays import Metric

EXAMPLES = """Examples:

fastret search --keys keys.npy --queries queries.npy -k 10 --metric cosine --out neighbours.npz

fastret search --keys corpus.index --mmap --queries queries.safetensors --json

fastret search --keys stores/captions --text "a red bicycle"

fastret search --keys captions.npy --text "a red bicycle" --model minilm"""


class Vectors(NamedTuple):
    rows: Tensor  # [n, D]
    names: list[str] | None = None  # [n], of a store or of --text
    metric: Metric | None = None  # of an index file
    flat_index: FlatIndex | None = None  # of an index file of fastret
    model: Mapping[str, str] | None = None  # `Encoder.describe()` of what made them, of a store or of --text


class Neighbours(NamedTuple):
    metric: Metric
    query_names: list[str]  # [Q]
    key_names: list[str] | None  # [N]
    scores: Tensor  # [Q, K] float32, best first
    ids: Tensor  # [Q, K] int64, -1 where nothing was found

    def of_query(self, query: int) -> list[tuple[str, float]]:
        """Names (without names: ids) and scores of what was found, best first."""
        found = zip(self.ids[query].tolist(), self.scores[query].tolist(), strict=True)
        return [(self.key_names[i] if self.key_names else str(i), score) for i, score in found if i >= 0]


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("search", epilog=EXAMPLES)(search_files)


def search_files(
    keys: Annotated[
        Path,
        typer.Option(help="What to search: .npy, .safetensors, a store, or an index file of fastret or FAISS."),
    ],
    queries: Annotated[Path | None, typer.Option(help="Query vectors: .npy, .safetensors or a store.")] = None,
    text: Annotated[list[str] | None, typer.Option(help="A query in words; may be repeated.")] = None,
    model: Annotated[
        str | None,
        typer.Option(help="The encoder of --text: a name or a folder. Default: the one that made the store."),
    ] = None,
    pooling: Annotated[
        str | None, typer.Option(help="Of --text: last, mean, eos or cls. Default: the store's, or the model's own.")
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option(help="Of --text: a preset, a template with {}, or an instruction. Default: the store's."),
    ] = None,
    dtype: Annotated[
        str | None, typer.Option(help="Of --text: float32, bfloat16, float16 or auto. Default: the store's, or auto.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="Of --text: cpu, cuda ... or auto, the first accelerator.")] = None,
    k: Annotated[int, typer.Option("--k", "-k", min=1, help="Neighbours per query.")] = 10,
    metric: Annotated[
        MetricName | None, typer.Option(help="Default: cosine; for an index file, the one it was built for.")
    ] = None,
    mmap: Annotated[
        bool,
        typer.Option("--mmap", help="Search an index file of fastret where it lies: it may be larger than memory."),
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Write the result here: .npz, .json or .trec.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Find the nearest keys of each query, exactly.

    Words are embedded by the model that made the store, as it was used there, unless --model says otherwise.
    """
    if out is not None and out.suffix not in _WRITERS:
        raise typer.BadParameter(f"--out must end in .npz, .json or .trec, got {out.name}")

    options = {"model": model, "pooling": pooling, "prompt": prompt, "dtype": dtype, "device": device}
    check_queries(keys, queries, text, options)
    key_vectors = read_vectors(keys, mmap)
    if mmap and key_vectors.flat_index is None:
        raise typer.BadParameter(f"--mmap goes with an index file of fastret, which {keys} is not")
    query_vectors = embed_words(text, key_vectors, options) if text else read_vectors(cast(Path, queries))
    check_same_model(query_vectors.model, key_vectors.model)
    neighbours = find_neighbours(query_vectors, key_vectors, k, metric.value if metric else None)
    if out is not None:
        _WRITERS[out.suffix](neighbours, out)
    if as_json:
        typer.echo(json.dumps(as_object(neighbours)))
    elif out is not None:
        typer.echo(f"written: {out} (queries: {len(query_vectors.rows)}, keys: {len(key_vectors.rows)})")
    else:
        typer.echo("query\trank\tid\tscore")
        for query, name in enumerate(neighbours.query_names):
            for rank, (key, score) in enumerate(neighbours.of_query(query), start=1):
                typer.echo(f"{name}\t{rank}\t{key}\t{score:.6f}")


def check_queries(keys: Path, queries: Path | None, text: list[str] | None, options: Mapping[str, str | None]) -> None:
    """Raises typer.BadParameter unless there are vectors, or words and a model to embed them."""
    if (queries is None) == (not text):
        raise typer.BadParameter("give either --queries or --text")
    given = [f"--{name}" for name, value in options.items() if value is not None]
    if queries is not None and given:
        raise typer.BadParameter(f"{given[0]} goes with --text")
    if text and options["model"] is None and not keys.is_dir():
        raise typer.BadParameter("--text needs --model, unless --keys is a store")


def embed_words(text: list[str], keys: Vectors, options: Mapping[str, str | None]) -> Vectors:
    """Words as query vectors, which they then name.

    What made a store embeds its queries too: model, revision, pooling, prompt and dtype, unless the options say
    otherwise. Raises ValueError, as `check_same_model` does, before any work.
    """
    from ..embed import load_encoder

    made_with = keys.model or {}
    chosen: dict[str, Any] = {name: made_with[name] for name in ("pooling", "prompt", "dtype") if name in made_with}
    if chosen.get("pooling") == "model":  # a dual encoder pools by itself, and takes no pooling
        del chosen["pooling"]
    if options["model"] is None and made_with.get("revision"):
        chosen["revision"] = made_with["revision"]
    chosen |= {name: value for name, value in options.items() if name != "model" and value is not None}
    encoder = load_encoder(options["model"] or made_with["model"], **chosen)
    described = encoder.describe()
    check_same_model(described, keys.model)
    return Vectors(encoder.encode_texts(text), names=text, model=described)


def check_same_model(queries: Mapping[str, str] | None, keys: Mapping[str, str] | None) -> None:
    """Raises ValueError where two models are known that differ: their vectors have nothing in common.

    The pooling and the prompt may differ: some models have a prompt for queries and another for keys.
    """
    if queries is None or keys is None:
        return
    for fact in ("family", "revision"):
        if queries.get(fact) != keys.get(fact):
            raise ValueError(
                f"queries must be embedded by the model that made the store of keys, {keys['model']} of {fact} "
                f"{keys.get(fact)!r}, got {queries['model']} of {fact} {queries.get(fact)!r}"
            )


def read_vectors(path: Path, mmap: bool = False) -> Vectors:
    """Vectors from a file or folder; what it is, its first bytes tell. `mmap` leaves those of an index in their file.

    Raises OSError if it cannot be opened, ValueError or RuntimeError, naming it, if it was altered or holds no [n, D]
    floating-point vectors.
    """
    from ..evaluate.readers.vector_files import read_npy, read_safetensors
    from ..faiss import METRIC_L2, read_index
    from ..index import FlatIndex
    from ..index.file_format import is_index_file

    if path.is_dir():
        from ..embed.store import open_store

        store = open_store(path, verify=True)
        return Vectors(store.embeddings, names=list(store.ids), model=store.manifest.model)
    with path.open("rb") as file:
        magic = file.read(9)
    if magic[:6] == b"\x93NUMPY":
        return Vectors(read_npy(path))
    if magic[:1] == b"I" and magic[:4].isalnum():  # the four letters of a FAISS index: IxFI, IHNf, IwFl ...
        flat = read_index(path)
        return Vectors(flat.vectors, metric="l2" if flat.metric_type == METRIC_L2 else "ip")
    if magic[8:] != b"{":  # safetensors: eight bytes of length, then JSON
        raise ValueError(f"{path}: must be .npy, .safetensors, a store, or an index file of fastret or FAISS")
    if is_index_file(path):
        index = FlatIndex.load(path, mmap=mmap)
        return Vectors(index.vectors, metric=index.metric, flat_index=index)
    return Vectors(read_safetensors(path, "embeddings"))


def find_neighbours(queries: Vectors, keys: Vectors, k: int, metric: Metric | None) -> Neighbours:
    """Search; raises ValueError if the metric is not the one that an index file was built for."""
    from ..ops import search

    if keys.metric and metric and keys.metric != metric:
        raise ValueError(f"--metric {metric} was asked for, the index was built for {keys.metric}")
    metric = metric or keys.metric or "cosine"
    if keys.flat_index is not None:
        scores, ids = keys.flat_index.search(queries.rows, k)
    else:
        scores, ids = search(queries.rows, keys.rows, k, metric)
    query_names = queries.names or [str(row) for row in range(len(queries.rows))]
    return Neighbours(metric, query_names, keys.names, scores, ids)


def as_object(neighbours: Neighbours) -> dict[str, Any]:
    """The result as JSON has it; an infinite score, which JSON cannot write, is null."""
    results = []
    for query, name in enumerate(neighbours.query_names):
        found = [
            {"id": key, "score": score if math.isfinite(score) else None} for key, score in neighbours.of_query(query)
        ]
        results.append({"query": name, "neighbours": found})
    return {"metric": neighbours.metric, "results": results}


def _write_json(neighbours: Neighbours, path: Path) -> None:
    from ..replacing import replacing

    with replacing(path) as temporary:
        temporary.write_text(json.dumps(as_object(neighbours)) + "\n", encoding="utf-8")


def _write_npz(neighbours: Neighbours, path: Path) -> None:
    import numpy as np

    from ..replacing import replacing

    arrays: dict[str, Any] = {
        "scores": neighbours.scores.numpy(),
        "ids": neighbours.ids.numpy(),
        "query_names": np.array(neighbours.query_names, dtype=np.str_),
    }
    if neighbours.key_names is not None:
        arrays["key_names"] = np.array(neighbours.key_names, dtype=np.str_)
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def _write_trec(neighbours: Neighbours, path: Path) -> None:
    """TREC's run format: query Q0 id rank score tag. Larger is better there, so L2 is written negated."""
    from ..replacing import replacing

    sign = -1.0 if neighbours.metric == "l2" else 1.0
    lines = []
    for query, name in enumerate(neighbours.query_names):
        for rank, (key, score) in enumerate(neighbours.of_query(query), start=1):
            if len(name.split()) != 1 or len(key.split()) != 1:
                raise ValueError(f"a TREC run has no room for blanks in names, got {name!r} and {key!r}")
            lines.append(f"{name} Q0 {key} {rank} {sign * score:.9g} fastret\n")
    with replacing(path) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")


_WRITERS = {".npz": _write_npz, ".json": _write_json, ".trec": _write_trec}
