"""The results of a GPU run as Markdown: python -m benchmarks.gpu.table benchmarks/results/gpu"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"rows": []}
    return content


def stage_lines(folder: Path) -> list[str]:
    lines = ["| stage | result | seconds |", "|---|---|--:|"]
    for line in (folder / "stages.jsonl").read_text().splitlines():
        stage = json.loads(line)
        lines.append(f"| {stage['stage']} | {stage['result']} | {stage['wall_s']} |")
    return lines


def correctness_lines(rows: list[dict[str, Any]]) -> list[str]:
    failed = [row for row in rows if not row["ok"]]
    return [f"{len(rows) - len(failed)} of {len(rows)} checks passed, bit for bit."] + [
        f"- FAILED {row['check']}: {row['error']}" for row in failed
    ]


def speed_lines(rows: list[dict[str, Any]]) -> list[str]:
    lines = [
        "| op | work | contestant | ms | of fastret's time | TFLOP/s | equal to fastret |",
        "|---|---|---|--:|--:|--:|--:|",
    ]
    left_out = {}
    for row in rows:
        if "median_s" not in row:
            left_out[row.get("contestant", row["work"])] = row.get("error") or row["skipped"]
            continue
        rate = "" if row["op"] == "select_k" else f"{row['tflop_per_s']:.1f}"
        lines.append(
            f"| {row['op']} | {row['work']} | {row['contestant']} | {row['median_s'] * 1e3:.3f} "
            f"| {row['ratio']:.2f} | {rate} | {row['share_equal']:.4f} |"
        )
    return lines + [""] + [f"- left out: {name}: {reason}" for name, reason in left_out.items()]


def report(folder: Path) -> str:
    correctness, speed = read(folder / "correctness.json"), read(folder / "speed.json")
    machine = correctness.get("machine") or speed.get("machine") or {}
    facts = ", ".join(f"{name} {value}" for name, value in machine.items())
    parts = [
        [facts],
        stage_lines(folder),
        correctness_lines(correctness["rows"]),
        speed_lines(speed["rows"]),
    ]
    return "\n\n".join("\n".join(lines) for lines in parts)


if __name__ == "__main__":
    print(report(Path(sys.argv[1])))
