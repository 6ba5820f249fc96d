"""info_nce and sigmoid_loss are what their definitions say, with every option and every pair of options."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from batches import DIM, KEYS, PAIRS, QUERIES, options_of, unit_rows
from torch import Tensor
from torch.autograd import grad, gradcheck

import fastret
from fastret.losses import reference

TEMPERATURE = 0.2


def sources(options: dict[str, Any], dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Queries, keys, temperature and, where they are vectors, hard negatives: to be differentiated by."""
    found = [unit_rows(QUERIES, DIM, seed=1), unit_rows(KEYS, DIM, seed=2), torch.tensor(TEMPERATURE)]
    hard = options.pop("hard_negatives", None)
    if hard is not None and hard.is_floating_point():
        found.append(hard)
    elif hard is not None:
        options["hard_negatives"] = hard
    return [one.to(dtype).requires_grad_() for one in found]


def loss_by(function: Any, options: dict[str, Any], *inputs: Tensor) -> Tensor:
    queries, keys, temperature, *hard = inputs
    more = {"hard_negatives": hard[0]} if hard else {}
    loss = function(queries, keys, temperature=temperature, **more, **options)
    return loss if loss.dim() == 0 else (loss * torch.linspace(-1, 2, len(loss), dtype=loss.dtype)).sum()


@pytest.mark.parametrize("pair", PAIRS, ids=" and ".join)
def test_loss_and_gradients_are_those_of_the_definition(pair: tuple[str, str]) -> None:
    options = options_of(pair)
    inputs = sources(options)
    ours, wanted = (loss_by(one, options, *inputs) for one in (fastret.info_nce, reference.info_nce))
    torch.testing.assert_close(ours, wanted, rtol=1e-12, atol=1e-13)
    for one, other in zip(grad(ours, inputs), grad(wanted, inputs), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("pair", [pair for pair in PAIRS if "hardness" not in pair], ids=" and ".join)
def test_gradients_are_the_derivatives(pair: tuple[str, str]) -> None:
    # hardness is left out: no gradient flows through it by definition.
    options = options_of(pair)
    inputs = sources(options)
    assert gradcheck(lambda *x: loss_by(fastret.info_nce, options, *x), inputs, fast_mode=True)
