"""fastret evaluate: how well models retrieve on a data set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import BatchSize, Device, Dtype, MetricName, Pooling, Prompt, SkipBad, Split

if TYPE_CHECKING:
    from ..evaluate import Study

EXAMPLES = """Examples:

fastret evaluate --data photos --model openai/clip-vit-base-patch32 --model my-mllm --task t2i --task i2t --out runs/a

fastret evaluate --data beir/scifact --model minilm --task t2t --k 10 --k 100 --cache embeddings

fastret evaluate --data vectors --metric ip --json"""


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("evaluate", epilog=EXAMPLES)(evaluate)


def evaluate(
    data: Annotated[
        Path,
        typer.Option(
            help="An image folder with metadata.jsonl, a Karpathy JSON, parquet, a BEIR folder, or a folder with "
            "queries and candidates as .npy or .safetensors."
        ),
    ],
    model: Annotated[
        list[str] | None, typer.Option(help="A model's name or folder; may be repeated. None for plain embeddings.")
    ] = None,
    task: Annotated[list[str] | None, typer.Option(help="t2i, i2t, i2i, t2t, t2it, i2it ...; may be repeated.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for results.json, TREC runs and per-query CSV files.")
    ] = None,
    k: Annotated[
        list[int] | None, typer.Option("--k", "-k", min=1, help="A cut-off; may be repeated. Default: 1, 5, 10.")
    ] = None,
    metric: Annotated[MetricName, typer.Option(help="Similarity of two embeddings.")] = MetricName.cosine,
    split: Split = None,
    pooling: Pooling = None,
    prompt: Prompt = None,
    batch_size: BatchSize = 32,
    dtype: Dtype = "auto",
    device: Device = "auto",
    cache: Annotated[
        Path | None, typer.Option(help="Folder that keeps embeddings between runs. Default: OUT/embeddings.")
    ] = None,
    skip_bad: SkipBad = False,
    exclude_self: Annotated[
        bool | None,
        typer.Option(
            "--exclude-self/--include-self",
            help="Whether the candidate with the query's id is left out. Default: where queries are candidates too.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the intervals and the tests.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print results.json and nothing else.")] = False,
) -> None:
    """Measure how well models retrieve, with intervals, paired tests and exact ranks in the whole corpus."""
    from ..evaluate import results_dict, run_study, write_results
    from ..evaluate.tasks import parse_task

    for name in task or []:
        try:
            parse_task(name)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--task") from error
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)  # a folder that cannot be made should fail before the work
    study = run_study(
        data,
        model or [],
        task or [],
        metric=metric.value,
        ks=k or (1, 5, 10),
        split=split,
        skip_bad=skip_bad,
        exclude_self=exclude_self,
        seed=seed,
        batch_size=batch_size,
        # An error in the second model, or a killed run, must not cost the first one's hours.
        cache=cache or (out / "embeddings" if out else None),
        load_options={"pooling": pooling, "prompt": prompt, "dtype": dtype, "device": device},
    )
    if out is None:
        results = results_dict(study.evaluations, study.comparisons)
    else:
        results = write_results(out, study.evaluations, study.comparisons)
    if as_json:
        typer.echo(json.dumps(results, allow_nan=False))
    else:
        _show(study, out)


def _show(study: Study, out: Path | None) -> None:
    from ..evaluate import comparisons_table, results_table
    from .tables import stdout_console

    console = stdout_console()
    console.print(results_table(study.evaluations))
    if study.comparisons:
        console.print(comparisons_table(study.comparisons))
    for line in study.remarks():
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if out is not None:
        console.print(f"written: {out / 'results.json'}", markup=False, highlight=False, soft_wrap=True)
