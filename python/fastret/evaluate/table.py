"""Evaluations and comparisons as tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .comparison import Comparison
from .evaluation import Evaluation

if TYPE_CHECKING:
    from rich.table import Table


def results_table(evaluations: Sequence[Evaluation]) -> Table:
    """The measures that tell models apart, with the intervals of recall; all of them are in results.json.

    Shares are in percent. Where a query has several relevant candidates, hit@k and MAP stand beside recall@k; where
    each has one, these would say the same again, and nDCG at the last cut-off and MRR take their place.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    ks = sorted({k for evaluation in evaluations for k in evaluation.ks})
    several = any((evaluation.per_query["relevant_candidates"] > 1).any() for evaluation in evaluations)
    names = [f"recall@{k}" for k in ks] + ([f"hit@{k}" for k in ks] + ["map"] if several else [f"ndcg@{ks[-1]}", "mrr"])
    table = Table(box=box.SIMPLE_HEAD, padding=0, caption="percent, with 95 % bootstrap intervals; ranks from 1")
    table.add_column("task", no_wrap=True)
    table.add_column("model", overflow="fold", min_width=8)
    for heading in (*names, "median\nrank"):
        table.add_column(heading, justify="right", no_wrap=True)
    for evaluation in evaluations:
        cells = [_percent(evaluation, name) for name in names]
        table.add_row(evaluation.task, Text(evaluation.model), *cells, f"{evaluation.metrics['median_rank']:g}")
    return table


def comparisons_table(comparisons: Sequence[Comparison]) -> Table:
    """Differences between models in percentage points, with intervals and adjusted p-values."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        box=box.SIMPLE_HEAD,
        padding=0,
        caption="paired randomisation test; p adjusted by Holm's method over the pairs of models",
    )
    for heading in ("task", "measure"):
        table.add_column(heading, no_wrap=True)
    table.add_column("models", overflow="fold")
    for heading in ("difference", "95 % interval", "p"):
        table.add_column(heading, justify="right", no_wrap=True)
    for c in comparisons:
        interval = f"{100 * c.interval[0]:+.1f} .. {100 * c.interval[1]:+.1f}" if c.interval else ""
        table.add_row(
            c.task,
            c.measure,
            Text(f"{c.model_a} - {c.model_b}"),  # a name may hold what rich takes for markup
            f"{100 * c.difference:+.1f}",
            interval,
            f"{c.p_value_holm:.2g}",
        )
    return table


def _percent(evaluation: Evaluation, name: str) -> str:
    if name not in evaluation.metrics:
        return ""
    value = f"{100 * evaluation.metrics[name]:.1f}"
    interval = evaluation.intervals[name]
    if interval is None or not name.startswith("recall@"):
        return value
    return f"{value}\n[dim]{100 * interval[0]:.0f}-{100 * interval[1]:.0f}[/dim]"
