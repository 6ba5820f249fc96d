"""Pooling: from the hidden states of a sequence to the one vector that stands for it."""

from __future__ import annotations

import torch
from torch import Tensor

POOLINGS = ("last", "mean", "eos", "cls")


def pool(
    hidden_states: Tensor,  # [B, T, D] any float dtype
    mask: Tensor,  # [B, T] int or bool, 1 on real tokens
    pooling: str,
) -> Tensor:
    """One float32 vector per sequence, [B, D], that does not depend on how far or on which side it was padded.

    "last": the last real token. "eos": the same position, after the encoder appended an end-of-sequence token.
    "cls": the first real token. "mean": the mean over real tokens, in float32.
    """
    hidden_states = hidden_states.float()
    if pooling == "mean":
        weights = mask.unsqueeze(-1).to(hidden_states)
        return (hidden_states * weights).sum(1) / weights.sum(1).clamp_min(1)
    real = mask.to(torch.int8)
    first, last = real.argmax(1), mask.shape[1] - 1 - real.flip(1).argmax(1)
    position = first if pooling == "cls" else last
    return hidden_states[torch.arange(len(mask), device=mask.device), position]


def check_pooling(pooling: str) -> str:
    """Return `pooling`; raise ValueError where there is no such pooling."""
    if pooling not in POOLINGS:
        raise ValueError(f"load_encoder: pooling must be one of {', '.join(POOLINGS)}, got {pooling!r}")
    return pooling


def first_token_refused(name: str) -> ValueError:
    """The error for pooling "cls" over a model whose tokens see only what comes before them."""
    return ValueError(
        f"load_encoder: pooling 'cls' takes the first token, which in a causal model such as {name} has seen nothing "
        "of the content; choose last, mean or eos"
    )
