"""Results on disk: results.json, one TREC run file and one per-query CSV per model and task.

results.json, schema version 1:

    schema_version   1
    created          ISO 8601, UTC
    fastret          fastret.build_info()
    confidence       0.95, the level of every interval
    evaluations      a list, one per model and task:
        model, task, metric ("cosine", "ip" or "l2"), ks, seed (of the bootstrap)
        model_description    what the embeddings depend on: model, revision, pooling, prompt, dtype ...
        dataset              name, queries, candidates, queries_evaluated, queries_without_relevant,
                             relevant_pairs, exclude_self, skipped {reason: records left out},
                             queries_not_finite, candidates_not_finite (embeddings with NaN or infinity)
        metrics              {name: {value, low, high}}: low and high bound the 95 % bootstrap interval, null
                             where there is none; a rank is null where a relevant candidate's score is NaN
        tie_dependent_share  share of the queries whose first relevant rank depends on how ties are broken
        timings              seconds, each name ending in _s
        files                {run, per_query}: paths relative to results.json
    comparisons      a list, one per pair of models, task and measure: model_a, model_b, task, measure,
                     value_a, value_b, difference (a - b), low, high, p_value (paired randomisation test),
                     p_value_holm (adjusted over the pairs of models of one task and measure), queries, seed

Run files are `query Q0 candidate rank score model` with the white space in ids and names percent-encoded, and
scores to be maximised (squared distances negated). The rank decides among equal scores; trec_eval, which
ignores it, would order them by descending id. The CSV has a line per query with every measure.
"""

from __future__ import annotations

import csv
import json
import math
import os
import re
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from fastret import build_info
from fastret.replacing import replacing

from .comparison import Comparison
from .evaluation import Evaluation
from .significance import CONFIDENCE, Interval

SCHEMA_VERSION = 1


def write_results(
    out_dir: str | os.PathLike[str], evaluations: Sequence[Evaluation], comparisons: Sequence[Comparison] = ()
) -> dict[str, Any]:
    """Write results.json, runs/*.trec and per_query/*.csv, each atomically; return what results.json holds.

    results.json comes last, so that the files that it names are there. Raises OSError where they cannot be
    written.
    """
    out = Path(out_dir)
    results = results_dict(evaluations, comparisons)
    for entry, evaluation, stem in zip(results["evaluations"], evaluations, _stems(evaluations), strict=True):
        run_file, per_query_file = Path("runs", f"{stem}.trec"), Path("per_query", f"{stem}.csv")
        for file in (run_file, per_query_file):
            (out / file).parent.mkdir(parents=True, exist_ok=True)
        with replacing(out / run_file) as temporary:
            write_trec_run(temporary, evaluation)
        with replacing(out / per_query_file) as temporary:
            write_per_query(temporary, evaluation)
        entry["files"] = {"run": run_file.as_posix(), "per_query": per_query_file.as_posix()}
    out.mkdir(parents=True, exist_ok=True)
    with replacing(out / "results.json") as temporary:
        temporary.write_text(
            json.dumps(results, indent=2, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8"
        )
    return results


def results_dict(evaluations: Sequence[Evaluation], comparisons: Sequence[Comparison] = ()) -> dict[str, Any]:
    """What results.json holds, without the files."""
    return {
        "schema_version": SCHEMA_VERSION,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "fastret": build_info(),
        "confidence": CONFIDENCE,
        "evaluations": [_evaluation(evaluation) for evaluation in evaluations],
        "comparisons": [_comparison(comparison) for comparison in comparisons],
    }


def write_trec_run(path: Path, evaluation: Evaluation) -> None:
    """The run as TREC writes it: query Q0 candidate rank score tag."""
    sign = -1.0 if evaluation.metric == "l2" else 1.0
    tag = _without_space(evaluation.model)
    with path.open("w", encoding="utf-8") as file:
        for query, query_id in enumerate(evaluation.query_ids):
            for rank, (candidate_id, score) in enumerate(evaluation.run.of_query(query), start=1):
                ids = f"{_without_space(query_id)} Q0 {_without_space(candidate_id)}"
                file.write(f"{ids} {rank} {sign * score:.9g} {tag}\n")


def write_per_query(path: Path, evaluation: Evaluation) -> None:
    """A line per judged query: its id and every per-query measure."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["query_id", *evaluation.per_query])
        writer.writerows(
            zip(
                evaluation.query_ids,
                *(column.tolist() for column in evaluation.per_query.values()),
                strict=True,
            )
        )


def _evaluation(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "model": evaluation.model,
        "task": evaluation.task,
        "metric": evaluation.metric,
        "ks": list(evaluation.ks),
        "seed": evaluation.seed,
        "model_description": dict(evaluation.model_description),
        "dataset": dict(evaluation.dataset),
        "metrics": {
            name: {"value": _finite(value), **_bounds(evaluation.intervals[name])}
            for name, value in evaluation.metrics.items()
        },
        "tie_dependent_share": evaluation.tie_dependent_share,
        "timings": dict(evaluation.timings),
    }


def _comparison(comparison: Comparison) -> dict[str, Any]:
    fields = {name: value for name, value in vars(comparison).items() if name != "interval"}
    return {name: _finite(value) for name, value in fields.items()} | _bounds(comparison.interval)


def _bounds(interval: Interval | None) -> dict[str, float | None]:
    low, high = interval or (None, None)
    return {"low": low, "high": high}


def _finite(value: Any) -> Any:
    """JSON has no infinity."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _without_space(text: str) -> str:
    return re.sub(r"[\s%]", lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode()), text)


def _stems(evaluations: Sequence[Evaluation]) -> list[str]:
    """A file name per evaluation; equal ones are numbered."""
    stems: list[str] = []
    for evaluation in evaluations:
        stem = f"{re.sub(r'[^A-Za-z0-9._-]+', '-', evaluation.model).strip('-.') or 'model'}.{evaluation.task}"
        same = sum(earlier == stem or earlier.startswith(f"{stem}.") for earlier in stems)
        stems.append(f"{stem}.{same + 1}" if same else stem)
    return stems
