"""fastret against one peer in one contest, and the JSON files that hold what was measured."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FASTRET = "fastret"

Record = dict[str, Any]  # an entry of pytest-benchmark's JSON: "stats" in seconds, and our "extra_info"
Machine = dict[str, Any]  # what machine.py tells, and "quick"


@dataclass(frozen=True)
class Comparison:
    op: str
    work: str
    threads: int
    peer: str
    ours: Record
    theirs: Record

    @property
    def what(self) -> tuple[str, str, int, str]:
        """What is compared, to find the same in another run."""
        return self.op, self.work, self.threads, self.peer

    @property
    def ratio(self) -> float:
        """The peer's median time over fastret's: above 1, fastret is the faster."""
        return float(self.theirs["stats"]["median"] / self.ours["stats"]["median"])

    @property
    def ratio_of_minima(self) -> float:
        return float(self.theirs["stats"]["min"] / self.ours["stats"]["min"])


def comparisons(records: Iterable[Record]) -> list[Comparison]:
    """fastret with each of its peers, in the order in which they were measured.

    Raises:
        ValueError: no work was measured with both fastret and a peer.
    """
    contests: dict[tuple[str, str, int], dict[str, Record]] = {}
    for record in records:
        info = record["extra_info"]
        contests.setdefault((info["op"], info["work"], info["threads"]), {})[info["contestant"]] = record
    found = [
        Comparison(*contest, peer, contestants[FASTRET], record)
        for contest, contestants in contests.items()
        if FASTRET in contestants
        for peer, record in contestants.items()
        if peer != FASTRET
    ]
    if not found:
        raise ValueError("comparisons: no work was measured with both fastret and a peer")
    return found


@dataclass(frozen=True)
class Result:
    """A JSON file that these benchmarks wrote."""

    path: Path
    machine: Machine
    records: list[Record]
    commit: str
    date: str


def read_result(path: Path) -> Result:
    """The content of one JSON file.

    Raises:
        ValueError: the file is not of these benchmarks, or of a quick run, whose figures mean nothing.
    """
    try:
        written = json.loads(path.read_text())
        machine = written["machine_info"]
        if machine["quick"]:
            raise ValueError(f"{path} is of a quick run; its figures mean nothing")
        records, commit = written["benchmarks"], written["commit_info"]
        changed = " with changes" if commit.get("dirty") else ""
        return Result(path, machine, records, f"{commit['id'][:10]}{changed}", written["datetime"][:10])
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not a JSON file that these benchmarks wrote ({error})") from error
