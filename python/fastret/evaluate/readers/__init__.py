"""Readers of data sets: one file per format, found by looking at the path."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from ..dataset import Dataset
from ..tasks import Task, parse_task
from . import beir, embeddings, image_folder, karpathy, parquet
from .bad_records import BadRecords
from .images import FaultFinder


class Source(Protocol):
    """Data that were read once and give a data set per task."""

    name: str

    def dataset(self, task: Task) -> Dataset:
        """Raises ValueError for a task that the data do not give."""
        ...

    def leave_out_images(self, find_faults: FaultFinder, reason: str) -> None:
        """Leave out, and count under the reason, the items whose image has a fault. Raises ValueError if all have."""
        ...


class Format(Protocol):
    """A module of this folder."""

    def recognises(self, path: Path) -> bool:
        """Whether the file or folder looks like one of this format."""
        ...

    def read(self, path: Path, split: str | None, bad: BadRecords) -> Source:
        """Raises ValueError where nothing can be read, and, unless bad records are skipped, at the first bad one."""
        ...


# In the order in which a path is tried.
FORMATS: tuple[Format, ...] = (embeddings, beir, image_folder, karpathy, parquet)


def read_source(path: str | os.PathLike[str], *, split: str | None = None, skip_bad: bool = False) -> Source:
    """Read a folder or file of any known format, whatever the task. See `read_dataset`."""
    path = Path(path)
    if not path.exists():
        raise ValueError(f"{path}: there is no such file or folder")
    for format_ in FORMATS:
        if format_.recognises(path):
            return format_.read(path, split, BadRecords(skip_bad))
    raise ValueError(
        f"{path}: no known data set was found; looked for metadata.jsonl (image folder), corpus.jsonl with "
        "queries.jsonl and qrels/ (BEIR), dataset*.json (Karpathy), *.parquet, and queries and candidates as "
        ".npy or .safetensors (plain embeddings)"
    )


def read_dataset(
    path: str | os.PathLike[str], task: str, *, split: str | None = None, skip_bad: bool = False
) -> Dataset:
    """Read a data set for a task ("t2i", "i2t", "i2i", "t2t", "t2it", ...); the format is found by looking.

    `split` chooses among splits; without it "test" or the only one is read. `skip_bad` leaves out records
    that cannot be used (an image that does not decode, an empty caption, a duplicate id, a qrel with an
    unknown id, a broken line) and counts them in `Dataset.skipped`.

    Raises ValueError, naming file, line and id, at the first bad record unless `skip_bad`, and always where
    nothing usable is left or the task does not fit the data.
    """
    wanted = parse_task(task)
    return read_source(path, split=split, skip_bad=skip_bad).dataset(wanted)
