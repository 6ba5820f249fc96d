"""The Hopper scan's layouts and schedule, the same functions that the kernel uses, on models of the hardware."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from simulator import ROOT, SANITIZE, TESTS, compile_cpp

PROGRAMS = ("wgmma_layout", "wgmma_pipeline")


def outcome(program: str, source: Path, csrc: Path, target: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    compiled = compile_cpp(target / program, csrc, [source], *flags)
    return subprocess.run([compiled], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_model_agrees(program: str, tmp_path: Path) -> None:
    result = outcome(program, TESTS / f"{program}.cpp", ROOT / "csrc", tmp_path, *SANITIZE)
    assert result.returncode == 0, result.stderr


# The program that finds each, what holds the bug, the original and what is planted there.
PLANTED_BUGS = {
    "rows of a thread are next to each other": ("wgmma_layout", "wgmma_layout.h", "i / 2 % 2 * 8", "i / 2 % 2"),
    "warps share their rows": ("wgmma_layout", "wgmma_layout.h", "thread / 32 * 16", "thread / 32 * 8"),
    "groups of rows are half as far apart": ("wgmma_layout", "wgmma_layout.h", "8 * 128,", "4 * 128,"),
    "the swizzle is that of 64 bytes": (
        "wgmma_layout",
        "wgmma_layout.h",
        "swizzle_128_bytes = 1",
        "swizzle_128_bytes = 2",
    ),
    "a step moves by half of what it should": (
        "wgmma_layout",
        "wgmma_layout.h",
        "kWgmmaDepth * 2 / 16",
        "kWgmmaDepth / 16",
    ),
    "keys as rows begin where the queries do": (
        "wgmma_layout",
        "scan_pipeline.h",
        "keys_are_rows ? query_bytes : 0",
        "0",
    ),
    "keys as columns begin where the queries do": (
        "wgmma_layout",
        "scan_pipeline.h",
        "keys_are_rows ? 0 : query_bytes",
        "0",
    ),
    "keys and queries change places": (
        "wgmma_layout",
        "scan_pipeline.h",
        "keys_are_rows ? TilePair{column, row}",
        "!keys_are_rows ? TilePair{column, row}",
    ),
    "the last tile of some clusters is missed": ("wgmma_layout", "scan_pipeline.h", "+ clusters - 1) /", ") /"),
    "the producer waits for stages that nobody has read": (
        "wgmma_pipeline",
        "scan_pipeline.h",
        "ring.parity ^ 1",
        "ring.parity",
    ),
    "the first phase is the second": (
        "wgmma_pipeline",
        "scan_pipeline.h",
        "uint32_t parity = 0;",
        "uint32_t parity = 1;",
    ),
    "the parity stays": ("wgmma_pipeline", "scan_pipeline.h", "parity ^= 1;", "parity ^= 0;"),
    "the other CTA's readers are not waited for": (
        "wgmma_pipeline",
        "scan_pipeline.h",
        "kConsumerWarps * cluster_ctas",
        "kConsumerWarps + 0 * cluster_ctas",
    ),
    "warpgroups count once": ("wgmma_pipeline", "scan_pipeline.h", "kConsumerWarps * cluster", "kConsumers * cluster"),
    "two barriers' worth of announcements": (
        "wgmma_pipeline",
        "scan_pipeline.h",
        "kFullArrivals = 1",
        "kFullArrivals = 2",
    ),
    "a stage is released while products read it": (
        "wgmma_pipeline",
        "scan_pipeline.h",
        "wait_products<1>()",
        "wait_products<2>()",
    ),
    "the last stage of a tile is released before its products are done": (
        "wgmma_pipeline",
        "scan_pipeline.h",
        "consumer.template wait_products<0>();\n    consumer.release(previous);",
        "consumer.release(previous);\n    consumer.template wait_products<0>();",
    ),
    "the newest stage is released": (
        "wgmma_pipeline",
        "scan_pipeline.h",
        "consumer.release(previous);\n      }",
        "consumer.release(ring.stage);\n      }",
    ),
    "the last stage of a tile is kept": (
        "wgmma_pipeline",
        "scan_pipeline.h",
        "consumer.release(previous);\n    consumer.finish",
        "consumer.finish",
    ),
    "products are read before they are done": (
        "wgmma_pipeline",
        "scan_pipeline.h",
        "wait_products<0>()",
        "wait_products<1>()",
    ),
    "the other consumer is never started": ("wgmma_pipeline", "scan_pipeline.h", "consumer.start_other();", "{}"),
    "a CTA leaves while its neighbour still arrives there": ("wgmma_pipeline", "", "      sync();", ""),
}


@pytest.mark.parametrize("name", PLANTED_BUGS)
def test_a_planted_bug_is_found(name: str, tmp_path: Path) -> None:
    program, header, original, planted = PLANTED_BUGS[name]
    csrc, test = tmp_path / "csrc", tmp_path / f"{program}.cpp"
    shutil.copytree(ROOT / "csrc" / "kernels", csrc / "kernels")
    shutil.copy(TESTS / test.name, test)
    path = csrc / "kernels" / "cuda" / header if header else test
    source = path.read_text()
    assert source.count(original) == 1
    path.write_text(source.replace(original, planted))
    result = outcome(program, test, csrc, tmp_path)
    assert result.returncode != 0, f"{program} passes in spite of: {name}"
    assert "FAILED" in result.stderr, result.stderr
