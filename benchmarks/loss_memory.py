"""python -m benchmarks.loss_memory: what a step of contrastive training, less the encoder, holds at its peak.

Beyond the inputs [B, D] float32 and their gradients. Peers that hold B x B scores take minutes and gigabytes:
--quick leaves the larger batches out.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from . import loss_peers
from .allocations import peak_bytes
from .comparisons import FASTRET
from .loss_peers import OPEN_CLIP, SENTENCE_TRANSFORMERS
from .markdown import markdown_table
from .peers import TORCH
from .test_losses import LossWork

MIB = 1 << 20
HEADER = ("work", "contestant", "beyond inputs and gradients, MiB", "fastret holds")
WORKS = (
    (LossWork("one direction", 16384, 512), (FASTRET, TORCH)),
    (LossWork("symmetric", 16384, 512), (FASTRET, OPEN_CLIP)),
    (LossWork("one direction", 4096, 512, cached=True), (FASTRET, SENTENCE_TRANSFORMERS)),
    (LossWork("guided", 2048, 512, cached=True), (FASTRET, SENTENCE_TRANSFORMERS)),
)


def rows(quick: bool) -> list[tuple[str, ...]]:
    found = []
    for work, names in WORKS:
        if (quick and work.batch > 4096) or work.kind == "guided":
            continue
        inputs: Any = work.inputs()
        gradients = sum(one.nbytes for one in inputs)
        prepared = work.contestants(threads=2)
        runs: dict[str, Callable[[], object]] = {name: prepared[name](inputs) for name in names if name in prepared}
        extra = {name: peak_bytes(run) - gradients for name, run in runs.items()}
        for name, held in extra.items():
            share = f"1 / {held / extra[FASTRET]:.0f}" if name != FASTRET else ""
            found.append((str(work), name, f"{held / MIB:.1f}", share))
    return found


if __name__ == "__main__":
    print(markdown_table(HEADER, rows("--quick" in sys.argv[1:]), ("work", "contestant")))
    if not loss_peers.open_clip or not loss_peers.sentence_losses:
        print("pip install open_clip_torch sentence-transformers adds rows")
