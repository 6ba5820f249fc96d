"""Loads the native libraries: `_C` always, `_C_cuda` where this torch and this machine can use it."""

from __future__ import annotations

import importlib

import torch

from . import _C


def _load_cuda() -> str:
    """Import the CUDA library; return "loaded" or the reason why it is not."""
    if not torch.backends.cuda.is_built():  # type: ignore[no-untyped-call]
        return "not loaded: this torch is a CPU build"
    if not torch.cuda.is_available():
        return "not loaded: torch sees no CUDA device"
    try:
        importlib.import_module("fastret._C_cuda")
    except ModuleNotFoundError:
        return "not loaded: fastret was built without it (no nvcc at build time)"
    except ImportError as error:
        return f"not loaded: {error}"
    return "loaded"


cuda_library = _load_cuda()


def build_info() -> dict[str, str | int | bool | list[str]]:
    """What was built and what is in use.

    Keys: version, compiler, torch (running), torch_abi_target, isa (in use), isas (that this machine can run),
    threads (of torch's CPU pool), cuda_built, cuda_library ("loaded" or the reason why not).
    """
    from . import __version__

    return {
        "version": __version__,
        **_C.build_info(),
        "torch": torch.__version__,
        "isa": _C.get_isa(),
        "isas": _C.available_isas(),
        "threads": torch.get_num_threads(),
        "cuda_library": cuda_library,
    }
