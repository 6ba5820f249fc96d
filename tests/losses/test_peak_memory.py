"""Nothing of the size of all scores: what a step allocates at its peak, by torch's own record of allocations."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from batches import unit_rows
from benchmarks.allocations import peak_bytes
from torch import Tensor

import fastret

MIB = 1 << 20
COUNT, DIM = 16384, 32  # the scores would take 1 GiB


def test_the_record_sees_what_plain_torch_takes() -> None:
    queries = unit_rows(1024, DIM, seed=1, dtype=torch.float32).requires_grad_()
    labels = torch.arange(1024)
    peak = peak_bytes(lambda: torch.nn.functional.cross_entropy(queries @ queries.T, labels).backward())
    assert peak >= 2 * 1024 * 1024 * 4


LOSSES: dict[str, Callable[..., Tensor]] = {
    "one direction": lambda q, k: fastret.info_nce(q, k, temperature=0.05),
    "symmetric": lambda q, k: fastret.info_nce(q, k, temperature=0.05, symmetric=True),
    "options": lambda q, k: fastret.info_nce(
        q, k, temperature=0.05, query_query=True, false_negative_margin=0.1, key_ids=torch.arange(COUNT) // 2
    ),
    "sigmoid": lambda q, k: fastret.sigmoid_loss(q, k, temperature=0.1, bias=-10.0),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_step_takes_its_gradients_and_at_most_64_mib(name: str) -> None:
    inputs = [unit_rows(COUNT, DIM, seed=seed, dtype=torch.float32).requires_grad_() for seed in (1, 2)]
    gradients = sum(one.nbytes for one in inputs)
    # With a factor, as gradient accumulation has one, so that gradients are made a second time.
    peak = peak_bytes(lambda: (LOSSES[name](*inputs) / 2).backward())
    assert peak <= gradients + 64 * MIB
