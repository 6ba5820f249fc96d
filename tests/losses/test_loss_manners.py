"""torch.compile, autocast, GradScaler, no_grad, needed gradients, double backward, and the same bits every time."""

from __future__ import annotations

import pytest
import torch
from batches import unit_rows
from torch import Tensor
from torch.autograd import grad

import fastret


def vectors(dtype: torch.dtype = torch.float32, count: int = 48) -> tuple[Tensor, Tensor, Tensor]:
    return (
        unit_rows(count, 16, seed=1, dtype=dtype).requires_grad_(),
        unit_rows(count, 16, seed=2, dtype=dtype).requires_grad_(),
        torch.tensor(0.1, requires_grad=True),
    )


def both_losses(queries: Tensor, keys: Tensor, temperature: Tensor) -> Tensor:
    loss = fastret.info_nce(
        queries, keys, temperature=temperature, symmetric=True, hardness=1.0, false_negative_margin=0.0
    )
    return loss + fastret.sigmoid_loss(queries, keys, temperature=temperature, bias=-3.0)


def test_compiled_without_a_graph_break_it_gives_the_same_bits() -> None:
    inputs = vectors()
    compiled = torch.compile(both_losses, fullgraph=True, backend="aot_eager")
    ours, wanted = compiled(*inputs), both_losses(*inputs)
    assert torch.equal(ours, wanted)
    for one, other in zip(grad(ours, inputs), grad(wanted, inputs), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_ops_keep_the_rules_of_torch(reduction: str) -> None:
    queries, keys, temperature = vectors(count=6)
    labels = torch.arange(6)[:, None]
    wanted = [reduction != "none"] * 4
    torch.library.opcheck(
        torch.ops.fastret.sigmoid_loss.default,
        (queries, keys, temperature, torch.tensor(-1.0, requires_grad=True), labels, reduction, wanted),
    )
    wanted[2] = False
    masks = (None,) * 6
    settings = (0.1, False, 1.0, 0.1, 0.1, True, True, True, 2, reduction, wanted)
    torch.library.opcheck(
        torch.ops.fastret.info_nce.default, (queries, keys, None, temperature, masks[0], labels, *masks[1:], *settings)
    )


def test_autocast_makes_the_products_in_its_dtype_and_the_gradients_in_ours() -> None:
    queries, keys, temperature = vectors()
    with torch.autocast("cpu", torch.bfloat16):
        loss = both_losses(queries, keys, temperature)
    low = [one.detach().bfloat16().requires_grad_() for one in (queries, keys)]
    assert loss.dtype == torch.float32 and torch.equal(loss, both_losses(*low, temperature))
    assert all(one.dtype == torch.float32 for one in grad(loss, (queries, keys, temperature)))


def test_a_grad_scaler_saves_small_float16_gradients() -> None:
    count, scale = 2048, 2.0**16
    inputs = vectors(torch.float16, count)
    loss = fastret.info_nce(*inputs[:2], temperature=1.0)
    exact = [one.detach().double().requires_grad_() for one in inputs[:2]]
    wanted = grad(fastret.info_nce(*exact, temperature=1.0), exact)
    scaled = grad(loss * scale, inputs[:2])
    for one, other in zip(scaled, wanted, strict=True):
        assert (one.double() / scale - other).norm() <= 2e-2 * other.norm()


def test_without_grad_none_is_made() -> None:
    queries, keys, temperature = vectors()
    with torch.no_grad():
        loss = both_losses(queries, keys, temperature)
    assert not loss.requires_grad and torch.equal(loss, both_losses(queries, keys, temperature).detach())


@pytest.mark.parametrize("needed", [0, 1, 2])
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_each_gradient_is_made_only_if_it_is_needed(needed: int, reduction: str) -> None:
    inputs = [one.detach() for one in vectors()]
    inputs[needed].requires_grad_()
    loss = fastret.info_nce(*inputs[:2], temperature=inputs[2], reduction=reduction).sum()
    loss.backward()
    everything = vectors()
    wanted = grad(fastret.info_nce(*everything[:2], temperature=everything[2], reduction=reduction).sum(), everything)
    torch.testing.assert_close(inputs[needed].grad, wanted[needed])
    assert all(one.grad is None for i, one in enumerate(inputs) if i != needed)


def test_differentiating_twice_is_refused_in_one_sentence() -> None:
    queries, keys, temperature = vectors()
    losses = {
        "info_nce": fastret.info_nce(queries, keys, temperature=temperature),
        "sigmoid_loss": fastret.sigmoid_loss(queries, keys, temperature=temperature),
    }
    for name, loss in losses.items():
        first = grad(loss, queries, create_graph=True)[0]
        with pytest.raises(RuntimeError, match=f"^{name}: its gradients cannot be differentiated a second time$"):
            first.sum().backward()


def test_a_retained_graph_gives_its_gradients_again() -> None:
    queries, keys, temperature = vectors()
    loss = fastret.info_nce(queries, keys, temperature=temperature)
    loss.backward(retain_graph=True)
    once = queries.grad.clone()
    loss.backward()
    assert torch.equal(queries.grad, 2 * once)
    half = fastret.info_nce(queries, keys, temperature=temperature) / 2
    torch.testing.assert_close(grad(half, queries)[0], once / 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_runs_and_instruction_sets_give_the_same_bits(dtype: torch.dtype) -> None:
    inputs = vectors(dtype, 130)

    def run() -> list[Tensor]:
        loss = both_losses(*inputs)
        return [loss.detach(), *grad(loss, inputs)]

    wanted = run()
    for isa in fastret._C.available_isas():
        fastret._C.set_isa(isa)
        assert all(torch.equal(one, other) for one, other in zip(run(), wanted, strict=True)), isa
