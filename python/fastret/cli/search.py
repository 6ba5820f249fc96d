"""fastret search: the nearest keys of each query, from files."""

from __future__ import annotations

import json
import math
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

if TYPE_CHECKING:
    from torch import Tensor

    from ..ops.arrays import Metric

EXAMPLES = """Examples:

fastret search --keys keys.npy --queries queries.npy -k 10 --metric cosine --out neighbours.npz

fastret search --keys corpus.index --queries queries.safetensors --json

fastret search --keys stores/captions --text "a red bicycle" --model minilm"""


class MetricName(str, Enum):
    ip = "ip"
    cosine = "cosine"
    l2 = "l2"


class Vectors(NamedTuple):
    rows: Tensor  # [n, D]
    names: list[str] | None = None  # [n], of a store or of --text
    ids: Tensor | None = None  # [n] int64, of an index file
    metric: Metric | None = None  # of an index file


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
    model: Annotated[str | None, typer.Option(help="The encoder of --text: a name or a folder.")] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Neighbours per query.")] = 10,
    metric: Annotated[
        MetricName | None, typer.Option(help="Default: cosine; for an index file, the one it was built for.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the result here: .npz, .json or .trec.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Find the nearest keys of each query, exactly."""
    if out is not None and out.suffix not in _WRITERS:
        raise typer.BadParameter(f"--out must end in .npz, .json or .trec, got {out.name}")

    query_vectors = read_queries(queries, text, model)
    key_vectors = read_vectors(keys)
    neighbours = find_neighbours(query_vectors, key_vectors, k, metric.value if metric else None)
    if out is not None:
        _WRITERS[out.suffix](neighbours, out)
    if as_json:
        typer.echo(json.dumps(as_object(neighbours)))
    elif out is not None:
        typer.echo(f"{len(query_vectors.rows)} queries, {len(key_vectors.rows)} keys: {out}")
    else:
        typer.echo("query\trank\tid\tscore")
        for query, name in enumerate(neighbours.query_names):
            for rank, (key, score) in enumerate(neighbours.of_query(query), start=1):
                typer.echo(f"{name}\t{rank}\t{key}\t{score:.6f}")


def read_queries(queries: Path | None, text: list[str] | None, model: str | None) -> Vectors:
    """Query vectors from a file, or from words, which then are their names."""
    if queries is not None and not text and model is None:
        return read_vectors(queries)
    if queries is None and text and model is not None:
        from ..embed import load_encoder

        return Vectors(load_encoder(model).encode_texts(text), names=text)
    raise typer.BadParameter("give either --queries, or --text and --model")


def read_vectors(path: Path) -> Vectors:
    """Vectors from a file or folder; what it is, its first bytes tell.

    Raises OSError if it cannot be opened, ValueError, naming it, if it holds no [n, D] floating-point vectors.
    """
    from ..faiss import METRIC_L2, read_index
    from ..index import FlatIndex
    from ..index.file_format import is_index_file

    if path.is_dir():
        from ..embed.store import open_store

        store = open_store(path)
        return Vectors(store.embeddings, names=list(store.ids))
    with path.open("rb") as file:
        magic = file.read(6)
    if magic == b"\x93NUMPY":
        return Vectors(_read_npy(path))
    if magic[:3] == b"IxF":
        flat = read_index(path)
        return Vectors(flat.vectors, metric="l2" if flat.metric_type == METRIC_L2 else "ip")
    if is_index_file(path):
        index = FlatIndex.load(path)
        return Vectors(index.vectors, ids=index.ids, metric=index.metric)
    return Vectors(_read_safetensors(path))


def _read_npy(path: Path) -> Tensor:
    import numpy as np
    import torch

    try:
        # Copy on write: torch wants writable memory, and nothing is read before it is searched.
        array = np.load(path, mmap_mode="c", allow_pickle=False)
    except ValueError as error:
        raise ValueError(f"{path} is truncated, altered or no array of numbers: {error}") from error
    if array.ndim != 2 or array.dtype.kind != "f":
        raise ValueError(f"{path} must hold [n, D] floating point, got {array.dtype} {list(array.shape)}")
    half_or_single = array.dtype in (np.float16, np.float32)
    return torch.from_numpy(array if half_or_single else array.astype(np.float32))


def _read_safetensors(path: Path) -> Tensor:
    import torch
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            names = list(file.keys())
            if "embeddings" not in names and len(names) != 1:
                raise ValueError(f"{path} must hold one tensor or one called 'embeddings', got {names}")
            vectors: Tensor = file.get_tensor("embeddings" if "embeddings" in names else names[0])
    except SafetensorError as error:
        raise ValueError(f"{path} is no .npy, no index file and no whole .safetensors: {error}") from error
    if vectors.dim() != 2 or not vectors.is_floating_point():
        raise ValueError(f"{path} must hold [n, D] floating point, got {vectors.dtype} {list(vectors.shape)}")
    return vectors.to(torch.float32) if vectors.dtype == torch.float64 else vectors


def find_neighbours(queries: Vectors, keys: Vectors, k: int, metric: Metric | None) -> Neighbours:
    """Search; raises ValueError if the metric is not the one that an index file was built for."""
    import torch

    from ..ops import search

    if keys.metric and metric and keys.metric != metric:
        raise ValueError(f"--metric {metric} was asked for, the index was built for {keys.metric}")
    metric = metric or keys.metric or "cosine"
    scores, ids = search(queries.rows, keys.rows, k, metric)
    if keys.ids is not None:
        ids = torch.nn.functional.pad(keys.ids, (0, 1), value=-1)[ids]  # nothing found, -1, stays -1
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
