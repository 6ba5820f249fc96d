"""The model of cuda_schedule.py: it takes the steps of the kernels, and loses no neighbour on any kind of data."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import cuda_schedule as model
import numpy as np
import pytest
from cuda_schedule import LEAST_CAPACITY, Answer, Floats, Metric, Plan, Rules, Search, nearest, plan, rank_values
from simulator import ROOT, TESTS, compile_cpp
from test_cuda_search import SUITE

METRICS: tuple[Metric, ...] = ("ip", "cosine", "l2")
NEIGHBOURS = (1, 10, 100)
KERNELS = [name for name in SUITE.kernels if name != "search.cu"]  # that one is part of the program


# ---- The model and the kernels


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sources = [*(ROOT / "csrc/kernels/cuda" / name for name in KERNELS), TESTS / "search_schedule.cpp"]
    return compile_cpp(tmp_path_factory.mktemp("cuda_schedule") / "search_schedule", ROOT / "csrc", sources, "-O1")


class Trace:
    """What the kernels compute on their way; files as search_schedule.cpp says."""

    def __init__(
        self, program: Path, folder: Path, queries: Floats, keys: Floats, metric: Metric, k: int,
        least_capacity: int, plane_bytes: int,
    ) -> None:  # fmt: skip
        np.concatenate([queries, keys]).tofile(folder / "rows")
        shape = (len(queries), *keys.shape, k, least_capacity, plane_bytes)
        subprocess.run([program, *map(str, (METRICS.index(metric), *shape)), folder], check=True, timeout=240)
        self.folder, self.num_queries = folder, len(queries)
        self.facts = self._read("facts", np.float32).reshape(-1, 5)[:, :3]
        self.finer_facts = self._read("finer_facts", np.float32).reshape(-1, 5)[:, :3]
        self.key_facts = self._read("key_facts", np.float32).reshape(-1, 4)
        tile, digit, capacity, tiles, step, least, runs, *ends = self._read("plan", np.int64).tolist()
        self.constants = (tile, digit, least)
        self.plan = Plan(k, capacity, tiles, step, ends[:runs], ends[runs:])
        self.appended = self._of_runs("appended", np.uint32)
        self.thresholds = self._of_runs("thresholds", np.float32)
        self.answers = self._of_runs("answers", np.uint32)[-1]
        self.kept: list[np.ndarray] = []  # [pairs, 2] after each run
        flat = self._read("kept", np.int64)
        while flat.size:
            self.kept.append(flat[1 : 1 + 2 * flat[0]].reshape(-1, 2))
            flat = flat[1 + 2 * flat[0] :]

    def _read(self, name: str, dtype: type) -> np.ndarray:
        return np.fromfile(self.folder / name, dtype)

    def _of_runs(self, name: str, dtype: type) -> np.ndarray:  # [runs, Q]
        return self._read(name, dtype).reshape(-1, self.num_queries)


def gaussian(rng: np.random.Generator, *shape: int) -> Floats:
    return rng.standard_normal(shape, dtype=np.float32)


def rows_of_any_norm(rng: np.random.Generator, count: int, dim: int) -> Floats:
    norms = rng.choice(np.float32([1, 1e-3, 30, 1e-8, 1e-12, 1e15, 1e20, 1e-40, 0]), (count, 1))
    rows = np.concatenate([gaussian(rng, count - 3, dim), np.full((3, dim), 1, np.float32)]) * norms
    rows[-3:, 0] = np.nan, np.inf, 3.3953e38
    return rows


@pytest.mark.parametrize("metric", METRICS)
def test_facts_and_plan_are_those_of_the_kernels(metric: Metric, program: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    queries, keys = rows_of_any_norm(rng, 16, 70), rows_of_any_norm(rng, 300, 70)
    trace = Trace(program, tmp_path, queries, keys, metric, 7, 64, 90_000)
    assert trace.constants == (model.KEY_TILE, model.DIGIT_BITS, model.LEAST_CAPACITY)
    assert trace.plan == plan(300, 70, 7, 64, 90_000)
    with np.errstate(invalid="ignore", over="ignore"):
        search = Search(queries, keys, metric)
    np.testing.assert_array_equal(trace.key_facts, np.stack(search.key_facts, 1))
    fit = search.bounded
    np.testing.assert_array_equal(trace.facts[fit], np.stack(search.facts, 1)[fit])
    np.testing.assert_array_equal(trace.finer_facts[fit], np.stack(search.finer_facts, 1)[fit])


def rows_of_exact_products(rng: np.random.Generator, count: int, spread: int) -> Floats:
    """Integers that fill bfloat16, and fractions that it rounds off: tensor cores add up either without rounding."""
    whole = rng.integers(96 - spread, 97 + spread, (count, 16))
    return (whole + rng.integers(-3, 4, whole.shape) / 16).astype(np.float32)


@pytest.mark.parametrize(
    ("metric", "spread", "by"),
    [
        *((metric, 31, "scan") for metric in METRICS),
        ("ip", 1, "finer scan"),
        ("cosine", 12, "finer scan"),
        ("l2", 12, "finer scan"),
        ("l2", 1, "canonical scores"),
    ],
)
def test_the_model_takes_the_steps_of_the_kernels(
    metric: Metric, spread: int, by: str, program: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(2)
    queries, keys = (rows_of_exact_products(rng, count, spread) for count in (5, 3000))
    if by == "scan":
        for rows in (queries, keys):
            rows *= rng.choice(np.float32([-1, 1]), rows.shape)
    trace = Trace(program, tmp_path, queries, keys, metric, 3, 512, 7 * 32768)
    how, search = plan(3000, 16, 3, 512, 7 * 32768), Search(queries, keys, metric)
    assert trace.plan == how
    answers = [search.answer(q, how) for q in range(5)]
    assert by in [answer.by for answer in answers]
    for q, answer in enumerate(answers):
        assert (trace.answers[q] == 1) == (answer.by == "canonical scores")
        # Which entries an overflowing buffer keeps is left open, and with them the thresholds that follow; what a
        # scan keeps in the end is not.
        overflows = [run for run, live in enumerate(answer.live) if live > how.capacity]
        settled = [*range(min(overflows, default=len(answer.live)))]
        for run in settled:
            assert trace.appended[run, q] == answer.live[run]
        for run in {*settled, len(answer.live) - 1} if answer.by != "canonical scores" else settled:
            kept = trace.kept[run]
            assert sorted(kept[kept[:, 0] == q, 1]) == sorted(answer.kept[run])
            assert trace.thresholds[run, q] == answer.thresholds[run]


# ---- Every neighbour survives

Kind = Callable[[np.random.Generator, int, int], tuple[Floats, Floats]]  # N, D to queries and keys
KINDS: dict[str, Kind] = {}


def kind_of_data(make: Kind) -> Kind:
    KINDS[make.__name__.replace("_", " ")] = make
    return make


@kind_of_data
def gaussian_rows(rng: np.random.Generator, num_keys: int, dim: int) -> tuple[Floats, Floats]:
    return gaussian(rng, 4, dim), gaussian(rng, num_keys, dim)


@kind_of_data
def clusters(rng: np.random.Generator, num_keys: int, dim: int) -> tuple[Floats, Floats]:
    centres = gaussian(rng, 100, dim)
    rows = centres[rng.integers(0, 100, num_keys + 4)] + np.float32(0.3) * gaussian(rng, num_keys + 4, dim)
    return rows[:4], rows[4:]


@kind_of_data
def norms_of_all_sizes(rng: np.random.Generator, num_keys: int, dim: int) -> tuple[Floats, Floats]:
    return gaussian(rng, 4, dim), gaussian(rng, num_keys, dim) * np.exp(gaussian(rng, num_keys, 1))


@kind_of_data
def sorted_by_score(rng: np.random.Generator, num_keys: int, dim: int) -> tuple[Floats, Floats]:
    direction, keys = gaussian(rng, dim), gaussian(rng, num_keys, dim)
    return direction + np.float32(0.2) * gaussian(rng, 4, dim), keys[np.argsort(keys @ direction)]


@kind_of_data
def few_axes_and_a_common_mean(rng: np.random.Generator, num_keys: int, dim: int) -> tuple[Floats, Floats]:
    rows = gaussian(rng, num_keys + 4, dim) * np.linspace(2, 0.1, dim, dtype=np.float32) + 1
    return rows[:4], rows[4:]


ORDINARY = tuple(KINDS)


@kind_of_data
def far_from_the_origin(rng: np.random.Generator, num_keys: int, dim: int) -> tuple[Floats, Floats]:
    return gaussian(rng, 4, dim) + 100, gaussian(rng, num_keys, dim) + 100


@kind_of_data
def near_duplicates(rng: np.random.Generator, num_keys: int, dim: int) -> tuple[Floats, Floats]:
    return gaussian(rng, 4, dim), gaussian(rng, dim) + np.float32(1e-3) * gaussian(rng, num_keys, dim)


@kind_of_data
def equal_rows(rng: np.random.Generator, num_keys: int, dim: int) -> tuple[Floats, Floats]:
    return gaussian(rng, 4, dim), np.tile(gaussian(rng, dim), (num_keys, 1))


@kind_of_data
def rows_of_all_norms(rng: np.random.Generator, num_keys: int, dim: int) -> tuple[Floats, Floats]:
    return rows_of_any_norm(rng, 12, dim)[:8], rows_of_any_norm(rng, num_keys, dim)


@kind_of_data
def rounded_against_the_neighbours(rng: np.random.Generator, num_keys: int, dim: int) -> tuple[Floats, Floats]:
    """Ten keys that bfloat16 rounds down, and forty a little worse that it rounds up, all along the query."""
    queries, keys = np.ones((1, dim), np.float32), np.float32(0.1) * gaussian(rng, num_keys, dim)
    places = rng.permutation(num_keys)[:50]
    keys[places[:10]], keys[places[10:]] = 1 + 2.0**-8 - 2.0**-16, 1 + 2.0**-8 + 2.0**-16
    keys[places, -1] = 0
    keys[places[:10], -1] = 2.0**-8
    return queries, keys


def lost(search: Search, q: int, answer: Answer, k: int, ranks: np.ndarray) -> list[int]:
    """Neighbours that a scan should have kept and has not."""
    if answer.by == "canonical scores":
        return []
    found = nearest(ranks, k)
    return np.setdiff1d(found[~np.isnan(ranks[found])], answer.survivors).tolist()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_neighbour_survives(kind: str, metric: Metric) -> None:
    with np.errstate(all="ignore"):
        queries, keys = KINDS[kind](np.random.default_rng(3), 12_000, 65)
        search = Search(queries, keys, metric)
        for q, query in enumerate(queries):
            ranks = rank_values(query, keys, metric)
            for k in NEIGHBOURS:
                how = plan(len(keys), 65, k, LEAST_CAPACITY, None)
                # Tensor cores that round the neighbours down and all others up, as far as the bound lets them.
                against = np.where(np.isin(np.arange(len(keys)), nearest(ranks, k)), -1.0, 1.0)
                for sum_errors in (0.0, against):
                    answer = search.answer(q, how, sum_errors=sum_errors)
                    assert not lost(search, q, answer, k, ranks), (q, k)


@pytest.mark.parametrize("kind", ORDINARY)
@pytest.mark.parametrize(("num_keys", "dim"), [(200_000, 32), (30_000, 256)])
def test_ordinary_data_stays_within_six_k_and_128(kind: str, num_keys: int, dim: int) -> None:
    queries, keys = KINDS[kind](np.random.default_rng(4), num_keys, dim)
    search = Search(queries, keys, "cosine")
    for k in NEIGHBOURS:
        how = plan(num_keys, dim, k, LEAST_CAPACITY, None)
        for q in range(len(queries)):
            answer = search.answer(q, how)
            assert answer.by == "scan"
            # The first run may fill the buffer, whatever its size. Of sorted keys, the best fill whole tiles.
            room = 6 * k + 128 + (model.KEY_TILE if kind == "sorted by score" else 0)
            assert max(answer.live[1:]) <= room, (k, answer.live)


@pytest.mark.parametrize("k", NEIGHBOURS)
def test_the_finer_scan_answers_where_a_bfloat16_tells_too_little(k: int) -> None:
    queries, keys = near_duplicates(np.random.default_rng(7), 40_000, 32)
    search, how = Search(queries, keys, "ip"), plan(40_000, 32, k, LEAST_CAPACITY, None)
    for q, query in enumerate(queries):
        answer = search.answer(q, how)
        assert answer.by == "finer scan"
        assert not lost(search, q, answer, k, rank_values(query, keys, "ip"))


# ---- What the rules are for

BROKEN = {
    "thresholds from upper ends": Rules(votes="upper ends"),
    "thresholds from the middle: one error forgotten of two": Rules(votes="values"),
    "no width": Rules(width=0),
    "a width that is a tenth too small": Rules(width=0.9),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_rule_loses_neighbours(name: str) -> None:
    queries, keys = rounded_against_the_neighbours(np.random.default_rng(5), 12_000, 65)
    search, how = Search(queries, keys, "ip"), plan(12_000, 65, 10, LEAST_CAPACITY, None)
    ranks = rank_values(queries[0], keys, "ip")
    assert not lost(search, 0, search.answer(0, how), 10, ranks)
    assert lost(search, 0, search.answer(0, how, BROKEN[name]), 10, ranks)


@pytest.mark.parametrize("k", NEIGHBOURS)
def test_tiles_in_memory_order_overflow_on_sorted_keys(k: int) -> None:
    queries, keys = sorted_by_score(np.random.default_rng(6), 40_000, 32)
    search, how = Search(queries, keys, "ip"), plan(40_000, 32, k, LEAST_CAPACITY, None)
    for q in range(len(queries)):
        assert search.answer(q, how).by == "scan"
        assert search.answer(q, how, Rules(order="memory")).by != "scan"
