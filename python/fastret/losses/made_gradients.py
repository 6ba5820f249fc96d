"""The backward pass of ops that make their gradients in the forward pass, since what they need is at hand there.

Such an op takes its differentiable inputs first, SOURCES of them, and `reduction, wanted, weights` last. It returns the
loss, the gradients over a factor, and the factor [].
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .blocks import Vectors

SOURCES = 4
_REDUCTION = -3  # from there on: reduction, wanted, weights


def register_made_gradients(op: Any, loss: str) -> None:
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)  # zeros for them would take as much memory as the gradients
        tensors = (one if isinstance(one, Tensor) else None for one in inputs)
        ctx.save_for_backward(*tensors, *output[1 : SOURCES + 2])
        ctx.settings = [None if isinstance(one, Tensor) else one for one in inputs]

    def backward(ctx: Any, grad: Tensor | None, *_: Tensor | None) -> tuple[Tensor | None, ...]:
        if grad is None:
            return (None,) * len(ctx.settings)
        count, saved = len(ctx.settings), ctx.saved_tensors
        inputs = [setting if tensor is None else tensor for tensor, setting in zip(saved, ctx.settings, strict=False)]
        *gradients, factor = saved[count:]
        needed = list(ctx.needs_input_grad[:SOURCES])
        if inputs[_REDUCTION] == "none":
            # Only now it is known how much each loss counts.
            with torch.no_grad():
                _, *gradients, factor = op(*inputs[:_REDUCTION], "none", needed, grad)[: SOURCES + 2]
        else:
            factor = factor * grad
        found = [
            _once(loss, _times(gradient, factor), source).to(source.dtype) if wanted else None
            for gradient, source, wanted in zip(gradients, inputs, needed, strict=False)
        ]
        return *found, *(None for _ in range(count - SOURCES))

    op.register_autograd(backward, setup_context=setup_context)


def wanted_gradients(sources: list[Tensor | None], reduction: str) -> list[bool]:
    """Of which sources the forward pass makes the gradient: without reduction the backward pass does."""
    made = torch.is_grad_enabled() and reduction != "none"
    return [made and one is not None and one.requires_grad for one in sources]


def kept_factor(scale: Tensor, dtype: torch.dtype) -> Tensor:
    """What of the scale of the gradients is left to the backward pass.

    All of it in 16 bits, where gradients of 1 / rows could vanish before a GradScaler's factor enlarges them.
    """
    return scale if dtype.itemsize == 2 else torch.ones_like(scale)


def made(vectors: Vectors | None, scale: Tensor, like: Tensor) -> Tensor:
    """The gradient of some vectors times scale, in their dtype; empty where it is not wanted."""
    if vectors is None or vectors.gradient is None:
        return like.new_empty(0)
    return vectors.gradient.mul_(scale).to(vectors.rows.dtype)


def fake_results(sources: list[Tensor | None], reduction: str, wanted: list[bool]) -> list[Tensor]:
    """Loss, gradients and factor, as fake tensors."""
    like = sources[0]
    assert like is not None
    shape = like.shape[:1] if reduction == "none" else ()
    loss = like.new_empty(shape, dtype=torch.promote_types(like.dtype, torch.float32))
    gradients = [
        like.new_empty(0)
        if source is None or not want
        else torch.empty_like(source, dtype=source.dtype if source.dim() else torch.float64)
        for source, want in zip(sources, wanted, strict=True)
    ]
    return [loss, *gradients, like.new_empty((), dtype=torch.float64)]


def shares(losses: Tensor, reduction: str, counted: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
    """What a sum of gradients is to be multiplied by [], and the weight of each in that sum, [] or [R], up to 1."""
    one = losses.new_ones(())
    if reduction == "mean":
        return 1 / counted.clamp_min(1).double(), one
    if weights is None or not len(weights):
        return one, one
    largest = weights.double().abs().amax()
    return largest, torch.where(largest > 0, weights.double() / largest, 0)


def _times(gradient: Tensor, factor: Tensor) -> Tensor:
    # A loss is mostly differentiated by itself: its gradients are ready then, and no second copy of them is needed. A
    # device would have to be waited for, and a traced tensor (of a subclass) has no value.
    if type(factor) is Tensor and factor.device.type == "cpu" and factor == 1:
        return gradient
    return gradient * factor


def _once(loss: str, gradient: Tensor, source: Tensor) -> Tensor:
    """The gradient, through which no second backward pass can go."""
    return _Once.apply(gradient, source, loss) if torch.is_grad_enabled() else gradient  # type: ignore[no-untyped-call]


class _Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gradient: Tensor, source: Tensor, loss: str) -> Tensor:
        ctx.loss = loss
        return gradient.view_as(gradient)

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> Any:
        raise RuntimeError(f"{ctx.loss}: its gradients cannot be differentiated a second time")
