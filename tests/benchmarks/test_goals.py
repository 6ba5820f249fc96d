"""The goals table sets what fastret is to reach beside what was measured, and every goal belongs to a work."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from benchmarks import (
    real_embeddings,
    test_drop_in,
    test_fallbacks,
    test_hnsw,
    test_ivf,
    test_kmeans,
    test_losses,
    test_mine_hard_negatives,
    test_product_codes,
    test_search,
)
from benchmarks.comparisons import Comparison
from benchmarks.goals import FAISS_AT_ITS_BEST, GOALS, Goal, goals_table

GOAL = Goal("X", "clip 1x2x3 *", FAISS_AT_ITS_BEST, at_least=2, aim=3)


def compared(ratio: float, peer: str = "faiss", work: str = "clip 1x2x3 ip k=4", threads: int = 1) -> Comparison:
    def record(median_s: float) -> Any:
        return {"stats": {"median": median_s, "min": median_s}}

    return Comparison("search", work, threads, peer, record(1.0), record(ratio))


def cells(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


@pytest.mark.parametrize(
    ("ratio", "reached"), [(3.0, "aim"), (2.99, "at least"), (2.0, "at least"), (1.99, "no"), (0.5, "no")]
)
def test_a_ratio_reaches_the_aim_or_the_least_or_neither(ratio: float, reached: str) -> None:
    assert cells(goals_table([compared(ratio)], [GOAL])) == [
        ["X", "clip 1x2x3 ip k=4", "1", "faiss", f"{ratio:.2f}", "2", "3", reached]
    ]


def test_the_setting_of_the_peer_that_comes_out_best_counts_for_each_number_of_threads() -> None:
    rows = cells(
        goals_table(
            [
                compared(5.0, "faiss"),
                compared(2.5, "faiss, BLAS threshold 1"),
                compared(1.0, "torch"),
                compared(4.0, "faiss", threads=2),
                compared(6.0, "faiss, BLAS threshold 1", threads=2),
            ],
            [GOAL],
        )
    )
    assert [(row[2], row[3], row[4]) for row in rows] == [
        ("1", "faiss, BLAS threshold 1", "2.50"),
        ("2", "faiss", "4.00"),
    ]


def test_what_no_goal_names_has_no_row() -> None:
    assert goals_table([compared(5.0, work="text 1x2x3 ip k=4"), compared(5.0, "torch")], [GOAL]) == ""


def test_every_goal_belongs_to_a_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    real_embeddings.cache_folder().mkdir(parents=True)
    for real, shape in ((real_embeddings.SENTENCES, (31_000, 384)), (real_embeddings.EMOJI, (5000, 1280))):
        np.lib.format.open_memmap(real.file, "w+", np.float32, shape)  # type: ignore[no-untyped-call]
    monkeypatch.setattr("fastret._C.available_isas", lambda: ["scalar", "avx2", "avx512"])
    monkeypatch.setattr("benchmarks.loss_peers.open_clip", Mock())  # the tests do without it
    exact = (test_search, test_fallbacks, test_mine_hard_negatives)
    of_training = (test_losses,)
    of_faiss = (test_drop_in, test_ivf, test_product_codes, test_kmeans, test_hnsw)
    works: list[Any] = [work for module in (*exact, *of_training, *of_faiss) for work in module.works(False, None)]
    for goal in GOALS:
        mine = [work for work in works if work.op == goal.op and fnmatchcase(str(work), goal.work)]
        assert mine, goal
        for work in mine:
            assert set(goal.peers).intersection(work.contestants(threads=2)), goal


def test_the_least_is_never_above_the_aim() -> None:
    assert all(0 < goal.at_least <= goal.aim for goal in GOALS)
