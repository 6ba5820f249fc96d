"""The results of a GPU run as Markdown: python -m benchmarks.gpu.table benchmarks/results/gpu

Needs neither fastret nor a GPU.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.markdown import markdown_table

from .goals import NOT_MEASURED, verdicts


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"rows": []}
    return content


def stages_table(folder: Path) -> str:
    stages = [json.loads(line) for line in (folder / "stages.jsonl").read_text().splitlines()]
    rows = [(stage["stage"], stage["result"], str(stage["wall_s"])) for stage in stages]
    return markdown_table(("stage", "result", "seconds"), rows, ("stage", "result"))


def correctness_lines(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return "No check was run."
    failed = [row for row in rows if not row["ok"]]
    lines = [f"{len(rows) - len(failed)} of {len(rows)} checks passed."]
    return "\n".join(lines + [f"- FAILED {row['check']}: {row['error']}" for row in failed])


def goals_table(rows: list[dict[str, Any]], rehearsal: bool) -> str:
    header = ("goal", "asked", "measured", "met")
    found = [(*row, "rehearsal" if rehearsal and met != NOT_MEASURED else met) for *row, met in verdicts(rows)]
    return markdown_table(header, found, header)


def speed_table(rows: list[dict[str, Any]]) -> str:
    header = ("op", "work", "contestant", "ms", "of fastret's time", "TFLOP/s", "GB/s", "same ids", "rounds")
    timed = [
        (
            *(row["op"], row["work"], row["contestant"], f"{row['median_s'] * 1e3:.3f}", f"{row['ratio']:.2f}"),
            *(_number(row.get("tflop_per_s"), ".1f"), _number(row.get("gb_per_s"), ".0f")),
            *(_number(row.get("share_equal"), ".4f"), str(row["rounds"])),
        )
        for row in rows
        if "median_s" in row
    ]
    left_out = [
        f"- left out: {row['op']} {row['work']}, {row.get('contestant', 'all')}: {row['left_out']}"
        for row in rows
        if "left_out" in row
    ]
    table = markdown_table(header, timed, header[:3]) if timed else "Nothing was measured."
    return "\n".join([table, "", *left_out] if left_out else [table])


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def report(folder: Path) -> str:
    correctness, speed = read(folder / "correctness.json"), read(folder / "speed.json")
    rehearsal = speed.get("settings", {}).get("shrink", 1) != 1
    machine = correctness.get("machine") or speed.get("machine") or {}
    parts = [
        ", ".join(f"{name} {value}" for name, value in machine.items()),
        stages_table(folder),
        correctness_lines(correctness["rows"]),
        goals_table(speed["rows"], rehearsal),
        speed_table(speed["rows"]),
    ]
    if rehearsal:
        parts.insert(0, "A rehearsal on shrunken works: these figures mean nothing.")
    return "\n\n".join(part for part in parts if part)


if __name__ == "__main__":
    print(report(Path(sys.argv[1])))
