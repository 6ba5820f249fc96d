"""Vectors from .npy and .safetensors files, [n, D] in a dtype that the search takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fastret.ops.arrays import FLOAT_DTYPES


def read_npy(file: Path) -> Tensor:
    """[n, D] float32 or float16, mapped from the file; float64 and foreign byte orders are converted to float32.

    Raises ValueError, naming the file, where it is truncated or no float matrix.
    """
    try:
        # Copy on write: torch wants writable memory, the file stays as it is.
        array = np.load(file, mmap_mode="c", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"{file}: not an .npy file that can be read: {error}") from error
    if array.ndim != 2 or array.dtype.kind != "f":
        raise _no_float_matrix(file, array.dtype, array.shape)
    as_it_is = array.dtype in (np.float32, np.float16)  # of this machine's byte order, that is
    return torch.from_numpy(array if as_it_is else array.astype(np.float32))


def read_safetensors(file: Path, name: str, *, or_the_only: bool = True) -> Tensor:
    """[n, D] float32, bfloat16 or float16 of the tensor `name`, mapped from the file; float64 becomes float32.

    or_the_only: a file of one tensor may call it anything.
    Raises ValueError, naming the file, where it is truncated, has no such tensor, or that is no float matrix.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as opened:
            names = sorted(opened.keys())
            if name not in names and not (or_the_only and len(names) == 1):
                raise ValueError(f"{file}: must hold a tensor called {name!r}, got {names}")
            vectors: Tensor = opened.get_tensor(name if name in names else names[0])
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{file}: not a .safetensors file that can be read: {error}") from error
    if vectors.dtype == torch.float64:
        vectors = vectors.float()
    if vectors.ndim != 2 or vectors.dtype not in FLOAT_DTYPES:
        raise _no_float_matrix(file, str(vectors.dtype).removeprefix("torch."), vectors.shape)
    return vectors


def _no_float_matrix(file: Path, dtype: object, shape: tuple[int, ...]) -> ValueError:
    return ValueError(f"{file}: must hold a float matrix [n, D], got {dtype} {list(shape)}")
