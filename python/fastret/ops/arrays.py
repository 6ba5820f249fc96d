"""torch tensors, numpy arrays and CuPy arrays as arguments: in without a copy, out as the kind that came in."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

Metric: TypeAlias = Literal["ip", "cosine", "l2"]
METRICS: tuple[Metric, ...] = ("ip", "cosine", "l2")
FLOAT_DTYPES = (torch.float32, torch.bfloat16, torch.float16)

# A torch tensor, a numpy array or a CuPy array (which cannot be named without importing CuPy).
Array: TypeAlias = Any


class Elements(NamedTuple):
    """What an argument may hold."""

    words: str
    dtypes: tuple[torch.dtype, ...]
    numpy_types: tuple[type[np.generic], ...]


FLOATS = Elements("float32, bfloat16 or float16", FLOAT_DTYPES, (np.float32, np.float16))
BOOLS = Elements("bool", (torch.bool,), (np.bool_,))
INTEGERS = Elements(
    "integers",
    (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.uint16, torch.uint32, torch.uint64),
    (np.int64, np.int32, np.int16, np.int8, np.uint8, np.uint16, np.uint32, np.uint64),
)


def to_tensor(op: str, name: str, array: Array, elements: Elements = FLOATS) -> Tensor:
    """`array` as a tensor on its own device, sharing memory.

    Raises TypeError unless it is a dense torch, numpy or CuPy array of these elements. For floats numpy's float64 is
    refused as well: rounding it silently would change which neighbours are nearest.
    """
    if isinstance(array, Tensor):
        tensor = array
    elif isinstance(array, np.ndarray):
        tensor = _from_numpy(op, name, array, elements)
    elif hasattr(array, "__cuda_array_interface__") and hasattr(array, "__dlpack__"):
        tensor = torch.utils.dlpack.from_dlpack(array)
    else:
        raise TypeError(
            f"{op}: {name} must be a torch tensor, a numpy array or a CuPy array, got {type(array).__name__}"
        )
    if tensor.layout != torch.strided:
        raise TypeError(f"{op}: {name} must be dense, got layout {tensor.layout}")
    if tensor.dtype not in elements.dtypes:
        raise TypeError(f"{op}: {name} must be {elements.words}, got {_dtype_name(tensor.dtype)}")
    return tensor


def _from_numpy(op: str, name: str, array: np.ndarray[Any, Any], elements: Elements) -> Tensor:
    if array.dtype.type not in elements.numpy_types:  # of either byte order
        raise TypeError(f"{op}: {name} must be {elements.words}, got {array.dtype}")
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if any(stride < 0 for stride in array.strides):  # torch has no negative strides
        array = np.ascontiguousarray(array)
    if array.flags.writeable:
        return torch.from_numpy(array)
    with warnings.catch_warnings():
        # torch warns of read-only memory; the ops never write to their inputs.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def like(result: Tensor, model: Array) -> Array:
    """`result` as the kind of array that `model` is."""
    if isinstance(model, Tensor):
        return result
    if isinstance(model, np.ndarray):
        return result.detach().numpy()
    import cupy  # the caller has it: `model` is a CuPy array

    return cupy.from_dlpack(result)


def metric_index(op: str, metric: str) -> int:
    """The metric's number in the native ops. Raises ValueError for an unknown name."""
    if metric not in METRICS:
        raise ValueError(f'{op}: metric must be "ip", "cosine" or "l2", got {metric!r}')
    return METRICS.index(metric)


def check_k(op: str, k: int, name: str = "k") -> int:
    """`k` as an int. Raises TypeError for a non-integer, ValueError for a negative number."""
    if isinstance(k, torch.SymInt):
        return k
    if not isinstance(k, int):  # torch.compile cannot trace hasattr of a dynamic int
        if not hasattr(k, "__index__"):
            raise TypeError(f"{op}: {name} must be an integer, got {type(k).__name__}")
        k = k.__index__()
    if isinstance(k, bool):
        raise TypeError(f"{op}: {name} must be an integer, got bool")
    if k < 0:
        raise ValueError(f"{op}: {name} must not be negative, got {k}")
    if k >= 1 << 63:
        raise ValueError(f"{op}: {name} must be below 2^63, got {k}")
    return k


def check_out_dtype(op: str, out_dtype: torch.dtype | None, model: Array) -> None:
    """Raises TypeError for a dtype that no result has, or that the kind of array that `model` is does not know."""
    if out_dtype is not None and out_dtype not in FLOAT_DTYPES:
        raise TypeError(f"{op}: out_dtype must be float32, bfloat16 or float16, got {out_dtype}")
    if out_dtype == torch.bfloat16 and not isinstance(model, Tensor):
        raise TypeError(f"{op}: out_dtype must be float32 or float16 for numpy and CuPy arrays, got {out_dtype}")


def check_number(op: str, name: str, value: float) -> float:
    """`value` as a float. Raises TypeError for what is no number."""
    if isinstance(value, (float, torch.SymFloat)):
        return value
    if not hasattr(value, "__float__"):
        raise TypeError(f"{op}: {name} must be a number, got {type(value).__name__}")
    return float(value)


def check_pair(op: str, queries: Tensor, keys: Tensor, axes: Sequence[int]) -> None:
    """Raise ValueError unless queries and keys agree in axes, D, dtype, device and (3-D) B."""
    if queries.dim() not in axes or keys.dim() != queries.dim():
        wanted = " or ".join(f"{n}-D" for n in axes)
        raise ValueError(f"{op}: queries and keys must both be {wanted}, got {_shape(queries)} and {_shape(keys)}")
    if queries.device != keys.device:
        raise ValueError(f"{op}: queries and keys must be on one device, got {queries.device} and {keys.device}")
    if queries.shape[-1] != keys.shape[-1]:
        raise ValueError(f"{op}: queries and keys must share D, got {_shape(queries)} and {_shape(keys)}")
    if queries.dim() == 3 and queries.shape[0] != keys.shape[0]:
        raise ValueError(f"{op}: queries and keys must share B, got {_shape(queries)} and {_shape(keys)}")


def _shape(tensor: Tensor) -> str:
    return str(list(tensor.shape))


def _dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
