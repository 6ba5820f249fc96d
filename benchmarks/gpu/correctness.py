"""Is every bit of the CUDA ops right? Compares with the float64 definitions and with the CPU ops.

    PYTHONPATH=tests/ops python -m benchmarks.gpu.correctness --out correctness.json

Exits with 1 if any check fails, or if the time ended before all had run. Its hard vectors are those of tests/ops.
"""

from __future__ import annotations

import argparse
import sys
import time
from itertools import islice
from pathlib import Path

import torch

from .checks import filters, indexes, mining, on_device, planes, scores, searches, selections
from .checks.comparing import Checks
from .results_file import ResultsFile

SUITES = (searches, filters, mining, planes, indexes, selections, scores)


def all_checks(device: torch.device) -> Checks:
    """A suite of each op, on sizes that the CPU answers at once too; on a device then what takes longer."""
    for suite in SUITES:
        yield from suite.checks(device)
    if device.type == "cuda":
        yield from on_device.checks(device)
        for suite in (searches, filters, mining, selections):
            yield from suite.large_checks(device)


def run_checks(checks: Checks, results: ResultsFile, end_s: float) -> int:
    """Run all, in spite of failures, until the time ends. Returns the number of those that failed or were left out."""
    failed = 0
    for name, check in checks:
        start_s = time.perf_counter()
        try:
            if start_s > end_s:
                raise TimeoutError("not run: the time was spent")
            check()
            error = None
        except Exception as raised:  # whatever it is, the next check still runs
            error = f"{type(raised).__name__}: {raised}"[:500]
            failed += 1
            print(f"FAILED {name}: {error}", flush=True)
        results.add(check=name, ok=error is None, error=error, wall_s=round(time.perf_counter() - start_s, 3))
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--budget-s", type=float, default=120)
    parser.add_argument("--device", default="cuda", help="cpu lets the CPU play the device: a test of this script")
    parser.add_argument("--every", type=int, default=1, help="run one check of so many: a rehearsal")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    end_s = time.perf_counter() + arguments.budget_s
    with ResultsFile(arguments.out, device, every=arguments.every) as results:
        failed = run_checks(islice(all_checks(device), 0, None, arguments.every), results, end_s)
    print(f"{failed} checks failed" if failed else "every check passed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
