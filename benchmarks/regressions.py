"""Compares the ratios of a new run with those that are stored for the same machine.

    python -m benchmarks.regressions             # say which stored file is of this machine; exit 1 where none is
    python -m benchmarks.regressions NEW.json    # exit 1 where a ratio fell by more than the tolerance

`make bench-check` does both, and measures in between. A time depends on how busy the machine is; a ratio of two times
that were measured in turns depends on it much less.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .comparisons import Comparison, Machine, Result, comparisons, read_result
from .markdown import markdown_table

RESULTS = Path(__file__).with_name("results")
TOLERANCE = 0.15
# Of machine.py's facts. Versions may change, and the instruction set is fastret's choice, which may get worse.
IDENTITY = ("cpu", "cores", "thread_counts", "system")
MAY_EXPLAIN = ("isa", "faiss", "usearch", "scann-core", "torch")

HEADER = ("op", "work", "threads", "peer", "stored ratio", "new ratio", "change", "verdict")
TEXTS = ("op", "work", "peer", "verdict")


@dataclass(frozen=True)
class Change:
    stored: Comparison
    new: Comparison

    @property
    def relative(self) -> float:
        """-0.2: the ratio fell by 20 %."""
        return self.new.ratio / self.stored.ratio - 1

    def fell(self, tolerance: float) -> bool:
        return self.relative < -tolerance


def stored_result(machine: Machine, folder: Path = RESULTS) -> Result:
    """The newest result in a folder that was measured on this machine.

    Raises:
        ValueError: there is none, or a file in the folder is not of these benchmarks.
    """
    same = [
        result
        for result in map(read_result, sorted(folder.glob("*.json")))
        if all(result.machine.get(fact) == machine[fact] for fact in IDENTITY)
    ]
    if not same:
        raise ValueError(
            f"nothing in {folder} was measured on this machine ({machine['cpu'].get('brand_raw', 'unknown CPU')}, "
            f"{machine['cores']} cores, threads {machine['thread_counts']}): "
            f"store a run with `make bench BENCH=--benchmark-json={folder}/NAME.json`"
        )
    return max(same, key=lambda result: result.date)


def changes(stored: Sequence[Comparison], new: Sequence[Comparison]) -> list[Change]:
    """What both runs measured, in the order of the stored one.

    Raises:
        ValueError: they have nothing in common.
    """
    now = {one.what: one for one in new}
    found = [Change(before, now[before.what]) for before in stored if before.what in now]
    if not found:
        raise ValueError("the new run measured nothing that is stored")
    return found


def changes_table(found: Sequence[Change], tolerance: float) -> str:
    rows = [
        (
            change.stored.op,
            change.stored.work,
            str(change.stored.threads),
            change.stored.peer,
            f"{change.stored.ratio:.2f}",
            f"{change.new.ratio:.2f}",
            f"{change.relative:+.0%}".replace("%", " %"),
            "fell" if change.fell(tolerance) else "",
        )
        for change in found
    ]
    return markdown_table(HEADER, rows, TEXTS)


def report(stored: Result, new: Result, tolerance: float) -> tuple[str, bool]:
    """What changed, and whether a ratio fell by more than the tolerance."""
    before = comparisons(stored.records)
    found = changes(before, comparisons(new.records))
    fallen = sum(change.fell(tolerance) for change in found)
    lines = [
        changes_table(found, tolerance),
        "",
        f"Stored: {stored.path}, measured on {stored.date} at commit {stored.commit}.",
        f"{fallen} of {len(found)} ratios fell by more than {tolerance:.0%}.".replace("%", " %"),
    ]
    if len(before) > len(found):
        lines.append(f"{len(before) - len(found)} stored ratios were not measured now.")
    lines += [
        f"{name} was {stored.machine[name]} and is {new.machine.get(name)}, which may explain changes."
        for name in MAY_EXPLAIN
        if name in stored.machine and stored.machine[name] != new.machine.get(name)
    ]
    return "\n".join(lines), fallen > 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("json", nargs="?", type=Path, metavar="NEW.json", help="what `--benchmark-json` wrote")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FOLDER", help="default: benchmarks/results")
    parser.add_argument("--tolerance", type=float, default=TOLERANCE, help="how far a ratio may fall (default: 0.15)")
    options = parser.parse_args(arguments)
    try:
        if options.json is None:
            from .machine import machine_facts

            print(f"compared with {stored_result(machine_facts(), options.results).path}", file=sys.stderr)
            return 0
        new = read_result(options.json)
        text, fell = report(stored_result(new.machine, options.results), new, options.tolerance)
    except (OSError, ValueError) as error:
        print(f"regressions: {error}", file=sys.stderr)
        return 1
    print(text)
    return int(fell)


if __name__ == "__main__":
    sys.exit(main())
