"""How far losses and gradients are from those of float64: float32 within 1e-5, bfloat16 no further than plain torch."""

from __future__ import annotations

import pytest
import torch
from batches import unit_rows
from torch import Tensor
from torch.autograd import grad
from torch.nn import functional as F

import fastret

COUNT, DIM, TEMPERATURE = 512, 128, 0.05


def plain(queries: Tensor, keys: Tensor, symmetric: bool) -> Tensor:
    logits = queries @ keys.T / TEMPERATURE
    labels = torch.arange(len(queries))
    loss = F.cross_entropy(logits, labels)
    return (loss + F.cross_entropy(logits.T, labels)) / 2 if symmetric else loss


def errors(loss: Tensor, inputs: list[Tensor], wanted: tuple[Tensor, ...]) -> list[float]:
    found = grad(loss, inputs)
    return [float((one.double() - other).norm() / other.norm()) for one, other in zip(found, wanted, strict=True)]


def setting(dtype: torch.dtype, symmetric: bool) -> tuple[list[Tensor], tuple[Tensor, ...]]:
    """Inputs, and the gradients in float64 of what they hold."""
    inputs = [unit_rows(COUNT, DIM, seed=seed, dtype=dtype).requires_grad_() for seed in (1, 2)]
    exact = [one.detach().double().requires_grad_() for one in inputs]
    return inputs, grad(plain(*exact, symmetric), exact)


@pytest.mark.parametrize("symmetric", [False, True])
def test_float32_gradients_are_within_1e_5(symmetric: bool) -> None:
    inputs, wanted = setting(torch.float32, symmetric)
    loss = fastret.info_nce(*inputs, temperature=TEMPERATURE, symmetric=symmetric)
    assert max(errors(loss, inputs, wanted)) <= 1e-5


@pytest.mark.parametrize("symmetric", [False, True])
def test_bfloat16_is_no_worse_than_plain_torch(symmetric: bool) -> None:
    inputs, wanted = setting(torch.bfloat16, symmetric)
    ours = errors(fastret.info_nce(*inputs, temperature=TEMPERATURE, symmetric=symmetric), inputs, wanted)
    theirs = errors(plain(*inputs, symmetric), inputs, wanted)
    assert all(one <= other for one, other in zip(ours, theirs, strict=True)), (ours, theirs)


def test_sigmoid_loss_in_float32_is_within_1e_5() -> None:
    inputs, _ = setting(torch.float32, False)
    exact = [one.detach().double().requires_grad_() for one in inputs]
    z = exact[0] @ exact[1].T * 10 - 8
    wanted = -F.logsigmoid(torch.where(torch.eye(COUNT, dtype=torch.bool), z, -z)).sum(1).mean()
    loss = fastret.sigmoid_loss(*inputs, temperature=0.1, bias=-8.0)
    torch.testing.assert_close(loss.double(), wanted, rtol=1e-6, atol=0)
    assert max(errors(loss, inputs, grad(wanted, exact))) <= 1e-5
