"""What the losses refuse, before any work: one sentence that names the loss, the rule and what arrived."""

from __future__ import annotations

import math

import torch
from torch import Tensor

DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


def check_vectors(loss: str, name: str, vectors: Tensor, axes: int = 2) -> None:
    if not isinstance(vectors, Tensor):
        raise TypeError(f"{loss}: {name} must be a torch tensor, got {type(vectors).__name__}")
    if vectors.dtype not in DTYPES:
        raise TypeError(f"{loss}: {name} must be float32, bfloat16, float16 or float64, got {vectors.dtype}")
    if vectors.dim() != axes:
        raise ValueError(f"{loss}: {name} must be {axes}-D, got {list(vectors.shape)}")


def check_same_dim(loss: str, queries: Tensor, name: str, others: Tensor) -> None:
    if queries.shape[1] != others.shape[-1]:
        raise ValueError(f"{loss}: queries and {name} must share D, got {list(queries.shape)} and {list(others.shape)}")
    if queries.device != others.device:
        raise ValueError(f"{loss}: queries and {name} must be on one device, got {queries.device} and {others.device}")


def integers(loss: str, name: str, values: Tensor, shape: tuple[int | None, ...]) -> Tensor:
    """int64; None in `shape`: any size."""
    if (
        not isinstance(values, Tensor)
        or values.is_floating_point()
        or values.is_complex()
        or values.dtype == torch.bool
    ):
        got = values.dtype if isinstance(values, Tensor) else type(values).__name__
        raise TypeError(f"{loss}: {name} must be a tensor of integers, got {got}")
    if values.dim() != len(shape) or any(
        want is not None and want != got for want, got in zip(shape, values.shape, strict=True)
    ):
        wanted = ", ".join("*" if size is None else str(size) for size in shape)
        raise ValueError(f"{loss}: {name} must be [{wanted}], got {list(values.shape)}")
    return values.long()


def label_columns(loss: str, labels: Tensor | None, queries: Tensor, keys: Tensor) -> Tensor:
    """[Q, P] int64 from labels [Q] or [Q, P]; None: query i belongs to key i."""
    count, num_keys = queries.shape[0], keys.shape[0]
    if labels is None:
        if num_keys < count:
            raise ValueError(
                f"{loss}: without labels every query needs a key of its own, got {count} queries and {num_keys} keys"
            )
        return torch.arange(count, device=queries.device)[:, None]
    axes = (count,) if isinstance(labels, Tensor) and labels.dim() == 1 else (count, None)
    columns = integers(loss, "labels", labels, axes).reshape(count, -1 if count else 1)
    return rows_of_keys(loss, "labels", columns, keys)


def rows_of_keys(loss: str, name: str, rows: Tensor, keys: Tensor) -> Tensor:
    """The rows, once they are known to be below N: not on a device, which would have to be waited for."""
    if rows.device.type == "cpu" and not torch.compiler.is_compiling() and bool((rows >= len(keys)).any()):
        raise ValueError(f"{loss}: {name} must be rows of the {len(keys)} keys, got {int(rows.max())}")
    return rows


def number(loss: str, name: str, value: float, least: float = -math.inf, below: float = math.inf) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{loss}: {name} must be a number, got {type(value).__name__}")
    if not (least <= value < below):
        raise ValueError(f"{loss}: {name} must be {_range(least, below)}, got {value}")
    return float(value)


def _range(least: float, below: float) -> str:
    parts = [f"at least {least:g}"] if least > -math.inf else []
    return " and ".join([*parts, f"below {below:g}"] if below < math.inf else [*parts, "finite"])


def check_reduction(loss: str, reduction: str) -> None:
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{loss}: reduction must be 'mean', 'sum' or 'none', got {reduction!r}")


def scalar(loss: str, name: str, value: Tensor | float, like: Tensor, positive: bool = False) -> Tensor:
    """[] on the device of `like`, with the gradient of a tensor."""
    if isinstance(value, Tensor):
        if value.numel() != 1 or not value.is_floating_point():
            raise ValueError(
                f"{loss}: {name} must be a number or a tensor of one float, got {list(value.shape)} {value.dtype}"
            )
        return value.reshape(()).to(like.device)
    checked = number(loss, name, value)
    if positive and checked <= 0:
        raise ValueError(f"{loss}: {name} must be above 0, got {value}")
    return torch.full((), checked, dtype=torch.float64, device=like.device)


def common_dtype(first: Tensor, *others: Tensor) -> torch.dtype:
    """That of autocast, where it is on, else the widest."""
    dtype = first.dtype
    for other in others:
        dtype = torch.promote_types(dtype, other.dtype)
    device = first.device.type
    autocast = torch.is_autocast_enabled(device) and dtype != torch.float64
    return torch.get_autocast_dtype(device) if autocast else dtype
