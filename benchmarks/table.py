#!/usr/bin/env python
"""The table of README.md, made from the JSON that `make bench` writes.

    python benchmarks/table.py benchmarks/results/mine.json   # write the table between README.md's markers
    python benchmarks/table.py --check                        # exit 1 unless README.md is what its files give

The markers remember the files, so that a table can be made again, or checked, without naming them.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- benchmark table: {} -->", "<!-- end of benchmark table -->"
BETWEEN = re.compile(r"<!-- benchmark table: (?P<files>.*?) -->\n.*?<!-- end of benchmark table -->", re.DOTALL)
NOT_MEASURED = "Nothing is measured here yet: run `make bench`."

FASTRET = "fastret"
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

Record = dict[str, Any]  # an entry of pytest-benchmark's JSON: "stats" in seconds, and our "extra_info"


def describe_machine(machine: dict[str, Any], records: Sequence[Record]) -> str:
    """One paragraph: the machine, the versions, and how quiet the machine was."""
    cpu = machine["cpu"]
    model = ", ".join(f"{name} {cpu[name]}" for name in ("family", "model") if name in cpu)
    name = f"{cpu.get('brand_raw', 'unknown CPU')}" + (f" ({model})" if model else "")
    faiss = f"faiss {machine['faiss']}" if machine["faiss"] else "faiss not installed, its rows left out"
    text = (
        f"{name}, {machine['cores']} cores, {machine['system']}. "
        f"fastret {machine['fastret']} ({machine['isa']}, {machine['compiler']}), {faiss}, torch {machine['torch']}, "
        f"numpy {machine['numpy']}, Python {machine['python']}. Load average at the start: {machine['load_average']}."
    )
    shares = [r["extra_info"]["cores_used"] for r in records if r["extra_info"]["threads"] == 1]
    if shares:
        text += f" Contestants on one thread had {min(shares):.2f} to {max(shares):.2f} of a core."
    return text


def tables(records: Iterable[Record]) -> str:
    """A Markdown table per op, with one row per work, number of threads and peer of fastret.

    Raises:
        ValueError: no work was measured with both fastret and a peer.
    """
    contests: dict[tuple[str, str, int], dict[str, Record]] = {}
    for record in records:
        info = record["extra_info"]
        contests.setdefault((info["op"], info["work"], info["threads"]), {})[info["contestant"]] = record
    rows_by_op: dict[str, list[tuple[str, ...]]] = {}
    for (op, work, threads), contestants in contests.items():
        fastret = contestants.pop(FASTRET, None)
        if fastret and contestants:
            rows_by_op.setdefault(op, []).extend(
                (work, str(threads), peer, *_comparison(fastret, record)) for peer, record in contestants.items()
            )
    if not rows_by_op:
        raise ValueError("table: no work was measured with both fastret and a peer")
    return "\n\n".join(f"### {op}\n\n{_table(rows)}" for op, rows in rows_by_op.items())


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(HEADER, *rows, strict=True)]
    rule = ["-" * (width - 1) + ("-" if name in TEXTS else ":") for name, width in zip(HEADER, widths, strict=True)]
    return "\n".join(_line(cells, widths) for cells in (HEADER, rule, *rows))


def _comparison(fastret: Record, peer: Record) -> tuple[str, ...]:
    ours, theirs = fastret["stats"], peer["stats"]
    return (
        _milliseconds(ours["median"]),
        _milliseconds(theirs["median"]),
        f"{theirs['median'] / ours['median']:.2f}",
        f"{theirs['min'] / ours['min']:.2f}",
        _percent(fastret["extra_info"]["exact_share"]),
        _percent(peer["extra_info"]["exact_share"]),
    )


def _milliseconds(seconds: float) -> str:
    value = seconds * 1e3
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _percent(share: float) -> str:
    # 100 % only where all are equal: 99.999 % is another answer.
    return "100 %" if share == 1 else f"{min(share, 0.9999):.2%}".replace("%", " %")


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (
        cell.ljust(width) if name in TEXTS else cell.rjust(width)
        for name, cell, width in zip(HEADER, cells, widths, strict=True)
    )
    return f"| {' | '.join(padded)} |"


def section(path: Path) -> str:
    """Machine and table of one JSON file.

    Raises:
        ValueError: the file is not of these benchmarks, or of a quick run, whose figures mean nothing.
    """
    try:
        result = json.loads(path.read_text())
        machine, records = result["machine_info"], result["benchmarks"]
        if machine["quick"]:
            raise ValueError(f"table: {path} is of a quick run; its figures mean nothing")
        described = describe_machine(machine, records)
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"table: {path} is not a JSON file that these benchmarks wrote ({error})") from error
    commit = result["commit_info"]["id"][:10] + (" with changes" if result["commit_info"].get("dirty") else "")
    return f"{described} Measured on {result['datetime'][:10]} at commit {commit}.\n\n{tables(records)}"


def with_table(text: str, folder: Path, paths: Sequence[Path] | None = None) -> str:
    """`text` with the table of `paths` between its markers; without paths, of the files that the marker names.

    Raises:
        ValueError: the text has not exactly one pair of markers.
    """
    found = list(BETWEEN.finditer(text))
    if len(found) != 1:
        raise ValueError(f"table: the text must have one pair of markers, got {len(found)}")
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
        print(error, file=sys.stderr)
        return 1
    if options.check and after != before:
        print(f"table: {options.into} is not what its results give; run {Path(__file__).name}", file=sys.stderr)
    elif after != before:
        _replace(options.into, after)
    return int(options.check and after != before)


def _replace(path: Path, text: str) -> None:
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=path.name, delete=False) as file:
        file.write(text)
    Path(file.name).chmod(path.stat().st_mode)
    Path(file.name).replace(path)


if __name__ == "__main__":
    sys.exit(main())
