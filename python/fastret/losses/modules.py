"""The losses as modules, with a temperature and a bias that may be learned."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from .checks import number
from .info_nce import InfoNCEResult, Reduction, info_nce
from .sigmoid_loss import sigmoid_loss


class _Temperature(nn.Module):
    """1 / temperature as exp of a parameter, so that it stays positive (CLIP, arXiv 2103.00020)."""

    log_inverse: Tensor

    def __init__(self, loss: str, temperature: float, learned: bool) -> None:
        super().__init__()
        if number(loss, "temperature", temperature) <= 0:
            raise ValueError(f"{loss}: temperature must be above 0, got {temperature}")
        log_inverse = torch.tensor(-math.log(temperature))
        if learned:
            self.log_inverse = nn.Parameter(log_inverse)
        else:
            self.register_buffer("log_inverse", log_inverse)

    def forward(self) -> Tensor:
        return torch.exp(-self.log_inverse)


class InfoNCE(nn.Module):
    """`fastret.info_nce` with the options that stay the same; those of a batch are given to the call.

    Args:
        temperature: at the start, above 0.
        learned: whether the temperature is a parameter.
        options: any of info_nce's, such as symmetric=True.

    Raises:
        ValueError: a temperature that is not positive.
    """

    def __init__(self, temperature: float = 0.05, learned: bool = False, **options: Any) -> None:
        super().__init__()
        self.temperature = _Temperature("InfoNCE", temperature, learned)
        self.options = options

    def forward(
        self, queries: Tensor, keys: Tensor, labels: Tensor | None = None, **options: Any
    ) -> Tensor | InfoNCEResult:
        return info_nce(queries, keys, labels, temperature=self.temperature(), **{**self.options, **options})

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self.options.items())


class SigmoidLoss(nn.Module):
    """`fastret.sigmoid_loss` with temperature and bias as parameters, at the start as in SigLIP (arXiv 2303.15343).

    Args:
        temperature, bias: at the start.
        learned: whether they are parameters.
        reduction: as of sigmoid_loss.

    Raises:
        ValueError: a temperature that is not positive.
    """

    bias: Tensor

    def __init__(
        self, temperature: float = 0.1, bias: float = -10.0, learned: bool = True, reduction: Reduction = "mean"
    ) -> None:
        super().__init__()
        self.temperature = _Temperature("SigmoidLoss", temperature, learned)
        start = torch.tensor(number("SigmoidLoss", "bias", bias))
        if learned:
            self.bias = nn.Parameter(start)
        else:
            self.register_buffer("bias", start)
        self.reduction = reduction

    def forward(self, queries: Tensor, keys: Tensor, labels: Tensor | None = None) -> Tensor:
        return sigmoid_loss(
            queries, keys, labels, temperature=self.temperature(), bias=self.bias, reduction=self.reduction
        )
