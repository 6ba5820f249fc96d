"""The losses as modules: what they hold, learn and say of themselves."""

from __future__ import annotations

import pytest
import torch
from batches import unit_rows

import fastret
from fastret.losses import InfoNCE, SigmoidLoss

QUERIES, KEYS = (unit_rows(6, 8, seed=seed, dtype=torch.float32) for seed in (1, 2))


def test_info_nce_holds_options_and_takes_those_of_a_batch() -> None:
    loss = InfoNCE(0.1, symmetric=True)
    ids = torch.tensor([1, 2, 1, 4, 5, 6])
    wanted = fastret.info_nce(QUERIES, KEYS, temperature=0.1, symmetric=True, key_ids=ids)
    torch.testing.assert_close(loss(QUERIES, KEYS, key_ids=ids), wanted)
    assert "symmetric=True" in repr(loss) and not list(loss.parameters())


def test_a_learned_temperature_falls_where_that_lowers_the_loss() -> None:
    loss = InfoNCE(0.5, learned=True)
    optimizer = torch.optim.SGD(loss.parameters(), lr=0.1)
    before = loss(KEYS, KEYS)
    before.backward()
    optimizer.step()
    assert loss(KEYS, KEYS) < before and loss.temperature() < 0.5


def test_sigmoid_loss_begins_as_siglip_does() -> None:
    loss = SigmoidLoss()
    wanted = fastret.sigmoid_loss(QUERIES, KEYS, temperature=0.1, bias=-10.0)
    torch.testing.assert_close(loss(QUERIES, KEYS), wanted)
    assert len(list(loss.parameters())) == 2
    assert set(SigmoidLoss(learned=False).state_dict()) == set(loss.state_dict())


@pytest.mark.parametrize("module", [InfoNCE, SigmoidLoss])
def test_a_temperature_must_be_positive(module: type[torch.nn.Module]) -> None:
    with pytest.raises(ValueError, match=f"{module.__name__}: temperature must be above 0, got 0"):
        module(temperature=0)
