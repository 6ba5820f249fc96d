"""Records of JSON Lines and parquet files, each with the place that an error names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from .bad_records import DUPLICATE_ID, MALFORMED, BadRecords


class Record(NamedTuple):
    """A row of a JSON Lines or parquet file."""

    place: str  # "metadata.jsonl line 3"
    fields: dict[str, Any]


def read_records(path: Path, bad: BadRecords) -> Iterator[Record]:
    """The rows of a .jsonl or .parquet file, as they are needed."""
    return _parquet_rows(path) if path.suffix == ".parquet" else _json_lines(path, bad)


def _json_lines(path: Path, bad: BadRecords) -> Iterator[Record]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            place = f"{path} line {number}"
            try:
                fields = json.loads(line)
            except ValueError as error:  # not JSON, or not UTF-8
                bad.found(MALFORMED, f"{place}: not valid JSON: {error}")
                continue
            if isinstance(fields, dict):
                yield Record(place, fields)
            else:
                bad.found(MALFORMED, f"{place}: must be a JSON object, got {type(fields).__name__}")


def _parquet_rows(path: Path) -> Iterator[Record]:
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as table:
            for batch in table.iter_batches(batch_size=1024):
                for fields in batch.to_pylist():
                    number += 1
                    yield Record(f"{path} row {number}", fields)
    except pyarrow.ArrowInvalid as error:
        raise ValueError(f"{path}: not a parquet file that can be read: {error}") from error


def id_of(record: Record, *names: str) -> str | None:
    """The first of the named fields that is there, as a string."""
    for name in names:
        if record.fields.get(name) is not None:
            return str(record.fields[name])
    return None


class DistinctIds:
    """Reports an id that was seen before, with both places."""

    def __init__(self, bad: BadRecords) -> None:
        self._bad = bad
        self._first_place: dict[str, str] = {}

    def accepts(self, id_: str, place: str) -> bool:
        first_place = self._first_place.get(id_)
        if first_place is None:
            self._first_place[id_] = place
            return True
        self._bad.found(DUPLICATE_ID, f"{place}, id {id_!r}: the id was used before, at {first_place}")
        return False
