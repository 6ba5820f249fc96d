"""Folders of plain embeddings: queries and candidates as .npy or .safetensors, with qrels.

    queries.npy, candidates.npy            [Q, D] and [N, D]
    queries.safetensors and the same       instead: files of one tensor each
    embeddings.safetensors                 instead: tensors `queries` and `candidates`
    queries.ids.txt, candidates.ids.txt    optional, an id per line; else the row numbers "0", "1", ...
    qrels.tsv or qrels.txt                 BEIR's or TREC's form; without a file row i answers query i

float64 is rounded to float32; float32, bfloat16 and float16 are taken as they are.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from ..dataset import Collection, Dataset
from ..tasks import Task
from .bad_records import BadRecords
from .images import FaultFinder
from .qrels import known_qrels, read_qrels
from .records import DistinctIds
from .vector_files import read_npy, read_safetensors

SUFFIXES = (".npy", ".safetensors")
BOTH = "embeddings.safetensors"


def recognises(path: Path) -> bool:
    return path.is_dir() and ((path / BOTH).is_file() or _file(path, "queries") is not None)


def read(path: Path, split: str | None, bad: BadRecords) -> PlainEmbeddings:
    if split is not None:
        raise ValueError(f"{path}: plain embeddings have no splits, got split={split!r}")
    queries, candidates = _load(path, "queries"), _load(path, "candidates")
    if queries.shape[1] != candidates.shape[1]:
        raise ValueError(
            f"{path}: queries and candidates must share D, got {list(queries.shape)} and {list(candidates.shape)}"
        )
    query_ids = _ids(path / "queries.ids.txt", len(queries))
    candidate_ids = _ids(path / "candidates.ids.txt", len(candidates))
    qrels_file = next((file for file in (path / "qrels.tsv", path / "qrels.txt") if file.is_file()), None)
    if qrels_file is not None:
        qrels = known_qrels(read_qrels(qrels_file, bad), set(query_ids), set(candidate_ids), bad)
    elif len(queries) == len(candidates):
        qrels = {query_id: {id_: 1} for query_id, id_ in zip(query_ids, candidate_ids, strict=True)}
    else:
        raise ValueError(
            f"{path}: without qrels.tsv there must be as many queries as candidates, "
            f"got {len(queries)} and {len(candidates)}"
        )
    return PlainEmbeddings(path, query_ids, candidate_ids, qrels, (queries, candidates), bad)


class PlainEmbeddings:
    """A source of data sets whose items are known by their embeddings alone, so that any task will do.

    `exclude_self` stays off: equal ids may be mere row numbers.
    """

    def __init__(
        self,
        path: Path,
        query_ids: list[str],
        candidate_ids: list[str],
        qrels: dict[str, dict[str, int]],
        embeddings: tuple[Tensor, Tensor],
        bad: BadRecords,
    ) -> None:
        self.name = path.resolve().name
        self._query_ids, self._candidate_ids = query_ids, candidate_ids
        self._qrels, self._embeddings, self._bad = qrels, embeddings, bad

    def leave_out_images(self, find_faults: FaultFinder, reason: str) -> None:
        """There are none."""

    def dataset(self, task: Task | None = None) -> Dataset:
        """The same data whatever the task, which is called "embeddings" without one."""
        return Dataset(
            name=self.name,
            task=task.name if task else "embeddings",
            queries=_without_content(self._query_ids),
            candidates=_without_content(self._candidate_ids),
            qrels=self._qrels,
            skipped=dict(self._bad.skipped),
            embeddings=self._embeddings,
        )


def _without_content(ids: list[str]) -> Collection:
    return Collection(ids=ids, texts=[None] * len(ids), images=[None] * len(ids))


def _file(path: Path, name: str) -> Path | None:
    return next((file for file in (path / f"{name}{suffix}" for suffix in SUFFIXES) if file.is_file()), None)


def _load(path: Path, name: str) -> Tensor:
    """The embeddings called `queries` or `candidates`. Raises ValueError unless a matrix of floats."""
    file = _file(path, name) or path / BOTH
    if not file.is_file():
        raise ValueError(f"{path}: must hold {name}.npy or {name}.safetensors, got neither")
    return read_npy(file) if file.suffix == ".npy" else read_safetensors(file, name, or_the_only=file.name != BOTH)


def _ids(file: Path, rows: int) -> list[str]:
    if not file.is_file():
        return [str(row) for row in range(rows)]
    ids = file.read_text(encoding="utf-8").splitlines()
    if len(ids) != rows:
        raise ValueError(f"{file}: must have an id for each of the {rows} embeddings, got {len(ids)}")
    # A row cannot be left out without moving the others, so a repeated id is an error under skip_bad too.
    distinct = DistinctIds(BadRecords(skip_bad=False))
    for number, id_ in enumerate(ids, start=1):
        distinct.accepts(id_, f"{file} line {number}")
    return ids
