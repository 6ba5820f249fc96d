"""pytest options, one test per contestant, and the table at the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from . import real_embeddings, table
from .comparisons import FASTRET
from .contest import Effort, Outcome, Work, clock, hold_contest
from .machine import machine_facts
from .peers import MISSING_PEERS, thread_counts

FULL = Effort(min_rounds=5, max_rounds=30, seconds_each=1.0, patience_s=6.0)
QUICK = Effort(min_rounds=2, max_rounds=2, seconds_each=0.0)

outcomes_key = pytest.StashKey[dict[tuple[Work, int], Outcome]]()


@dataclass(frozen=True, repr=False)
class Entry:
    work: Work
    threads: int
    contestant: str

    def __repr__(self) -> str:  # in the JSON and in test ids, of which `pytest -k` understands neither = nor commas
        words = f"{self.work} threads{self.threads} {self.contestant}".translate({ord("="): None, ord(","): None})
        return "-".join(words.split())


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("fastret")
    group.addoption("--quick", action="store_true", help="tiny sizes and two rounds: does it run, not how fast")
    group.addoption(
        "--embeddings",
        type=Path,
        metavar="FILE.npy",
        help="measure search on these rows [N, D] as well: a held-out sample of them searches the rest",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[outcomes_key] = {}
    embeddings, json = config.getoption("embeddings"), config.getoption("benchmark_json")
    if embeddings and not embeddings.is_file():
        raise pytest.UsageError(f"--embeddings: there is no file {embeddings}")
    if json:  # pytest-benchmark opens it when all is measured, too late to learn that its folder is missing
        json.parent.mkdir(parents=True, exist_ok=True)
    machine_facts()  # before the measurements raise the load average


def is_quick(config: pytest.Config) -> bool:
    """Whether nothing is to be measured: --quick, or a run without --benchmark-enable."""
    disabled = config.getoption("benchmark_disable") and not config.getoption("benchmark_enable")
    return config.getoption("quick") or disabled


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "entry" in metafunc.fixturenames:
        works = metafunc.module.works(is_quick(metafunc.config), metafunc.config.getoption("embeddings"))
        # Entries of one contest are neighbours, and contests on the same vectors too: each is computed once.
        entries = [
            Entry(work, threads, contestant)
            for work in works
            for threads in thread_counts()
            for contestant in work.contestants(threads)
        ]
        metafunc.parametrize("entry", entries, ids=repr)


@pytest.fixture
def compete(benchmark: Any, pytestconfig: pytest.Config) -> Callable[[Entry], None]:
    """Hold the contest that an entry belongs to, unless it was held, and record the entry's part of it."""
    outcomes = pytestconfig.stash[outcomes_key]

    def compete(entry: Entry) -> None:
        contest = (entry.work, entry.threads)
        if contest not in outcomes:
            outcomes[contest] = hold_contest(*contest, QUICK if is_quick(pytestconfig) else FULL)
        outcome = outcomes[contest]
        benchmark.group = outcome.group
        benchmark.extra_info.update(outcome.record(entry.contestant)["extra_info"])
        clock.replay(benchmark, outcome.timings[entry.contestant].wall_s)
        if entry.contestant == FASTRET:
            share = outcome.exact_share[FASTRET]
            # An approximate search is held to the recall of its peers.
            wanted = min(outcome.exact_share.values()) - 0.01 if getattr(entry.work, "approximate", False) else 1
            assert share >= wanted, (
                f"{outcome.group}: a share of {1 - share:.2g} of fastret's answer is not what float64 gives"
            )

    return compete


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    machine_info.clear()  # pytest-benchmark's own facts hold the host's name
    machine_info.update(machine_facts(), quick=is_quick(config))


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    outcomes = config.stash[outcomes_key].values()
    if not outcomes:
        return
    records = [outcome.record(name) for outcome in outcomes for name in outcome.timings]
    terminalreporter.section("fastret against its peers")
    for paragraph in table.paragraphs(machine_facts(), records):
        terminalreporter.write_line(f"{paragraph}\n")
    for line in MISSING_PEERS + real_embeddings.missing():
        terminalreporter.write_line(line)
    if is_quick(config):
        terminalreporter.write_line("a quick run: tiny sizes and two rounds; these ratios mean nothing")
