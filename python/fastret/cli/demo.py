"""fastret demo: real models on real images and texts that come with fastret."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ..demo import DemoReport

EXAMPLES = """Examples:

fastret demo

fastret demo --out runs/demo --seed 1

fastret demo --json > demo.json"""


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("demo", epilog=EXAMPLES)(demo)


def demo(
    out: Annotated[
        Path, typer.Option(help="Folder for results.json, TREC runs, per-query CSV files and demo.json.")
    ] = Path("runs/demo"),
    cache: Annotated[
        Path | None, typer.Option(help="Folder that keeps embeddings between runs. Default: ~/.cache/fastret.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the split, the heads, the intervals and the tests.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Compare a retriever with a generator, before and after ReAlign; find unseen images by text; check FAISS.

    Minutes on two cores the first time, seconds after that.
    """
    from ..demo import Settings, run_demo

    report = run_demo(
        out, cache=cache, settings=Settings(seed=seed), announce=lambda stage: typer.echo(f"· {stage}", err=True)
    )
    if as_json:
        typer.echo(json.dumps({**report.as_dict(), "results": report.results}, allow_nan=False))
    else:
        _show(report, out)


def _show(report: DemoReport, out: Path) -> None:
    from ..evaluate import comparisons_table, results_table
    from .tables import stdout_console

    console = stdout_console()
    for stage in report.stages:
        table = results_table(stage.evaluations)
        table.title, table.title_justify, table.title_style = stage.title, "left", "bold"
        console.print(table)
    console.print(comparisons_table(report.comparisons))
    console.print(report.summary, markup=False, highlight=False)
    for file in ("results.json", "runs/*.trec", "per_query/*.csv", "demo.json"):
        console.print(f"written: {out / file}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"took {report.elapsed_s:.0f} s", markup=False, highlight=False)
