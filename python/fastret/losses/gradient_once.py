"""Gradients that a forward pass made, on their way out of a backward pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def gradient_once(loss: str, made: Tensor, factor: Tensor, source: Tensor) -> Tensor:
    """made * factor, the gradient of `source`, which a second backward pass cannot go through."""
    gradient = made * factor
    if not torch.is_grad_enabled():
        return gradient
    return _Once.apply(gradient, source, loss)  # type: ignore[no-any-return, no-untyped-call]


class _Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gradient: Tensor, source: Tensor, loss: str) -> Tensor:
        ctx.loss = loss
        return gradient.view_as(gradient)

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> Tensor:
        raise RuntimeError(f"{ctx.loss}: its gradients cannot be differentiated a second time")
