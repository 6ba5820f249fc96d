"""How fast are the CUDA ops, in turns with their peers and beside the floors that were measured with them?

    python -m benchmarks.gpu.speed --out speed.json --budget-s 200

Times are medians of CUDA events over rounds in which every contestant runs once; whoever needs more than a second and
a half has one round. Each row also tells what share of the ids equals fastret's, which correctness.py holds to the
definition. What goals.py asks for is measured first.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from .results_file import ResultsFile
from .turns import Stage
from .works import Place, works


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--budget-s", type=float, default=200)
    parser.add_argument("--rounds-s", type=float, default=2, help="time for the rounds of one work")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--shrink", type=int, default=1, help="divide rows and keys: a rehearsal")
    arguments = parser.parse_args()
    place = Place(torch.device(arguments.device), arguments.shrink)
    torch.manual_seed(0)
    with ResultsFile(arguments.out, place.device, shrink=arguments.shrink) as results:
        stage = Stage(results, place.device, arguments.budget_s, arguments.rounds_s)
        for work in works(place):
            stage.hold(*work)


if __name__ == "__main__":
    main()
