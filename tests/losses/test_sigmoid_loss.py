"""sigmoid_loss is what its definition says, for one positive, several and none."""

from __future__ import annotations

import pytest
import torch
from batches import DIM, KEYS, OPTIONS, QUERIES, unit_rows
from torch import Tensor
from torch.autograd import grad, gradcheck

import fastret
from fastret.ops.contrastive_reference import sigmoid_losses

LABELS = {
    "pairs": None,
    "labels": OPTIONS["labels"]["labels"],
    "several positives": OPTIONS["several positives"]["labels"],
}


def sources() -> list[Tensor]:
    found = [unit_rows(QUERIES, DIM, seed=1), unit_rows(KEYS, DIM, seed=2), torch.tensor(0.1), torch.tensor(-4.0)]
    return [one.double().requires_grad_() for one in found]


def reduced(losses: Tensor, reduction: str) -> Tensor:
    if reduction == "none":
        return losses @ torch.linspace(-1, 2, len(losses), dtype=losses.dtype)
    return losses.sum() if reduction == "sum" else losses.sum() / QUERIES


def loss_of(labels: Tensor | None, reduction: str, *inputs: Tensor) -> Tensor:
    queries, keys, temperature, bias = inputs
    loss = fastret.sigmoid_loss(queries, keys, labels, temperature=temperature, bias=bias, reduction=reduction)
    return reduced(loss, reduction) if reduction == "none" else loss


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", LABELS)
def test_loss_and_gradients_are_those_of_the_definition(name: str, reduction: str) -> None:
    inputs, labels = sources(), LABELS[name]
    columns = (torch.arange(QUERIES) if labels is None else labels).reshape(QUERIES, -1)
    positive = (columns[:, :, None] == torch.arange(KEYS)).any(1)
    ours = loss_of(labels, reduction, *inputs)
    wanted = reduced(sigmoid_losses(inputs[0] @ inputs[1].T, positive, *inputs[2:]), reduction)
    torch.testing.assert_close(ours, wanted, rtol=1e-12, atol=0)
    for one, other in zip(grad(ours, inputs), grad(wanted, inputs), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)
    assert gradcheck(lambda *x: loss_of(labels, reduction, *x), inputs, fast_mode=True)


def test_large_scores_stay_finite() -> None:
    rows = torch.eye(8, requires_grad=True)
    loss = fastret.sigmoid_loss(rows, rows, temperature=1e-3, bias=500.0)
    torch.testing.assert_close(loss, torch.tensor(7 * 500.0))
    assert grad(loss, rows)[0].isfinite().all()
