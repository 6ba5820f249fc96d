"""The tables of README.md, made from the JSON that `make bench` writes.

    python -m benchmarks.table benchmarks/results/mine.json   # write the tables between README.md's markers
    python -m benchmarks.table --check                        # exit 1 unless README.md is what its files give

The markers remember the files, so that a table can be made again, or checked, without naming them.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from fastret.replacing import replacing

from .comparisons import Comparison, Machine, Record, comparisons, read_result
from .goals import goals_table
from .markdown import markdown_table

README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- benchmark table: {} -->", "<!-- end of benchmark table -->"
BETWEEN = re.compile(r"<!-- benchmark table: (?P<files>.*?) -->\n.*?<!-- end of benchmark table -->", re.DOTALL)
NOT_MEASURED = "Nothing is measured here yet: run `make bench`."

HEADER = (
    "work",
    "threads",
    "peer",
    "fastret, ms",
    "peer, ms",
    "ratio of medians",
    "ratio of minima",
    "fastret exact",
    "peer exact",
)
TEXTS = ("work", "peer")
LEGEND = (
    "Times are medians over rounds in which the contestants took turns. A ratio is the peer's time over fastret's: "
    "above 1, fastret is the faster. Exact is the share of ids that equal the float64 ranking; for cosine_scores, of "
    "scores that are the correctly rounded ones. Sizes are Q x N x D (cosine_scores: B x Q x N x D where batched; "
    "select_k: rows x columns)."
)
GOALS_LEGEND = (
    "What fastret is to reach. Where a peer has several settings, the one that does best against fastret counts."
)
OPTIONAL_PEERS = ("faiss", "usearch", "scann-core")


def paragraphs(machine: Machine, records: Sequence[Record]) -> list[str]:
    """Machine, legend and tables."""
    compared = comparisons(records)
    return [describe_machine(machine, records), LEGEND, *_tables(compared)]


def describe_machine(machine: Machine, records: Sequence[Record]) -> str:
    """One paragraph: the machine, the versions, and how quiet the machine was."""
    cpu = machine["cpu"]
    model = ", ".join(f"{name} {cpu[name]}" for name in ("family", "model") if name in cpu)
    name = f"{cpu.get('brand_raw', 'unknown CPU')}" + (f" ({model})" if model else "")
    peers = "".join(
        f", {name} {machine[name]}" if machine[name] else f", {name} not installed, its rows left out"
        for name in OPTIONAL_PEERS
        if name in machine
    )
    text = (
        f"{name}, {machine['cores']} cores, {machine['system']}. "
        f"fastret {machine['fastret']} ({machine['isa']}, {machine['compiler']}){peers}, torch {machine['torch']}, "
        f"numpy {machine['numpy']}, Python {machine['python']}. Load average at the start: {machine['load_average']}."
    )
    shares = [r["extra_info"]["cores_used"] for r in records if r["extra_info"]["threads"] == 1]
    if shares:
        text += f" Contestants on one thread had {min(shares):.2f} to {max(shares):.2f} of a core."
    return text


def _tables(compared: Sequence[Comparison]) -> list[str]:
    """The goals, then per op every comparison: one row per work, number of threads and peer."""
    goals = goals_table(compared)
    found = [f"### Goals\n\n{GOALS_LEGEND}\n\n{goals}"] if goals else []
    for op in dict.fromkeys(one.op for one in compared):
        rows = [_row(one) for one in compared if one.op == op]
        found.append(f"### {op}\n\n{markdown_table(HEADER, rows, TEXTS)}")
    return found


def _row(one: Comparison) -> tuple[str, ...]:
    return (
        one.work,
        str(one.threads),
        one.peer,
        _milliseconds(one.ours["stats"]["median"]),
        _milliseconds(one.theirs["stats"]["median"]),
        f"{one.ratio:.2f}",
        f"{one.ratio_of_minima:.2f}",
        _percent(one.ours["extra_info"]["exact_share"]),
        _percent(one.theirs["extra_info"]["exact_share"]),
    )


def _milliseconds(seconds: float) -> str:
    value = seconds * 1e3
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _percent(share: float) -> str:
    # 100 % only where all are equal: 99.999 % is another answer.
    return "100 %" if share == 1 else f"{min(share, 0.9999):.2%}".replace("%", " %")


def section(path: Path) -> str:
    """Machine and tables of one JSON file.

    Raises:
        ValueError: the file is not of these benchmarks, or of a quick run, whose figures mean nothing.
    """
    result = read_result(path)
    try:
        described = describe_machine(result.machine, result.records)
    except KeyError as error:
        raise ValueError(f"{path} is not a JSON file that these benchmarks wrote ({error})") from error
    measured = f"{described} Measured on {result.date} at commit {result.commit}."
    return "\n\n".join([measured, *_tables(comparisons(result.records))])


def with_table(text: str, folder: Path, paths: Sequence[Path] | None = None) -> str:
    """`text` with the table of `paths` between its markers; without paths, of the files that the marker names.

    Raises:
        ValueError: the text has not exactly one pair of markers.
    """
    found = list(BETWEEN.finditer(text))
    if len(found) != 1:
        raise ValueError(f"the text must have one pair of markers, got {len(found)}")
    if paths is None:
        named = found[0]["files"]
        paths = [] if named == "none" else [folder / name for name in named.split(", ")]
    names = ", ".join(Path(os.path.relpath(path, folder)).as_posix() for path in paths) or "none"
    body = "\n\n".join([LEGEND, *map(section, paths)]) if paths else NOT_MEASURED
    return text[: found[0].start()] + f"{BEGIN.format(names)}\n{body}\n{END}" + text[found[0].end() :]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("json", nargs="*", type=Path, help="results; without: the files that the marker names")
    parser.add_argument("--into", type=Path, default=README, metavar="FILE.md", help="default: benchmarks/README.md")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where the table would change")
    options = parser.parse_args(arguments)
    try:
        before = options.into.read_text()
        after = with_table(before, options.into.parent, options.json or None)
    except (OSError, ValueError) as error:
        print(f"table: {error}", file=sys.stderr)
        return 1
    if options.check and after != before:
        print(f"table: {options.into} is not what its results give; run python -m benchmarks.table", file=sys.stderr)
    elif after != before:
        with replacing(options.into) as temporary:
            temporary.write_text(after)
            temporary.chmod(options.into.stat().st_mode)
    return int(options.check and after != before)


if __name__ == "__main__":
    sys.exit(main())
