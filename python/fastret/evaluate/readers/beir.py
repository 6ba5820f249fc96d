"""BEIR folders: corpus.jsonl, queries.jsonl and qrels/<split>.tsv; and the same tables as parquet files.

Corpus and queries have `_id`, `title` and `text`; an `image` beside or instead of the text makes an item
multimodal. Only the queries that the qrels of the split name are used.
https://github.com/beir-cellar/beir/wiki/Load-your-custom-dataset
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from .bad_records import MALFORMED, BadRecords
from .items import QueriesAndCandidates, read_items
from .qrels import Judgement, integer_grade, known_qrels, read_qrels
from .records import Record, id_of, read_records
from .splits import choose_split


def recognises(path: Path) -> bool:
    return path.is_dir() and bool(_tables(path, "corpus"))


def read(path: Path, split: str | None, bad: BadRecords) -> QueriesAndCandidates:
    query_tables = _tables(path, "queries")
    if not query_tables:
        raise ValueError(f"{path}: must hold queries.jsonl beside corpus.jsonl, got none")
    candidates = read_items(_records(_tables(path, "corpus"), bad), path, bad)
    queries = read_items(_records(query_tables, bad), path, bad)
    qrels = known_qrels(
        chain.from_iterable(_judgements(file, bad) for file in _qrels_files(path, split)),
        {item.id for item in queries},
        {item.id for item in candidates},
        bad,
    )
    return QueriesAndCandidates(path, [item for item in queries if item.id in qrels], candidates, qrels, bad)


def _tables(path: Path, name: str) -> list[Path]:
    for file in (path / f"{name}.jsonl", path / f"{name}.parquet"):
        if file.is_file():
            return [file]
    return sorted((path / name).glob("*.parquet"))


def _records(tables: list[Path], bad: BadRecords) -> Iterator[Record]:
    return chain.from_iterable(read_records(table, bad) for table in tables)


def _qrels_files(path: Path, split: str | None) -> list[Path]:
    files = sorted([*(path / "qrels").glob("*.tsv"), *(path / "qrels").glob("*.parquet")])
    files = files or [file for file in (path / "qrels.tsv", path / "qrels.parquet") if file.is_file()]
    if not files:
        raise ValueError(f"{path}: must hold qrels/<split>.tsv, got none")
    splits: dict[str, list[Path]] = {}
    for file in files:
        splits.setdefault(split_of(file), []).append(file)
    return choose_split(path / "qrels", splits, split)


def split_of(file: Path) -> str:
    """The split of a file called test.tsv or test-00000-of-00001.parquet."""
    return file.stem.split("-")[0]


def _judgements(file: Path, bad: BadRecords) -> Iterator[Judgement]:
    if file.suffix == ".tsv":
        yield from read_qrels(file, bad)
        return
    for record in read_records(file, bad):
        query_id, candidate_id = id_of(record, "query-id", "query_id"), id_of(record, "corpus-id", "corpus_id")
        grade = integer_grade(str(record.fields.get("score")))
        if query_id is None or candidate_id is None or grade is None:
            bad.found(MALFORMED, f"{record.place}: must have query-id, corpus-id and an integer score")
        else:
            yield Judgement(record.place, query_id, candidate_id, grade)
