"""What FAISS tells of its build and process, and its threads: torch's here."""

from __future__ import annotations

import operator
import resource
import time

import torch

from .gpu_devices import get_num_gpus

# The FAISS whose names and behaviour these are.
FAISS_VERSION_MAJOR = 1
FAISS_VERSION_MINOR = 15
FAISS_VERSION_PATCH = 1
VERSION_STRING = f"{FAISS_VERSION_MAJOR}.{FAISS_VERSION_MINOR}.{FAISS_VERSION_PATCH}"

# What `numeric_type` may be; vectors are of the dtype that they have.
Float32 = 0
Float16 = 1
UInt8 = 2
Int8 = 3
_BYTES = {Float32: 4, Float16: 2, UInt8: 1, Int8: 1}


def omp_set_num_threads(num_threads: int) -> None:
    """torch.set_num_threads: searches share torch's threads. Below 1 means 1, as in OpenMP."""
    torch.set_num_threads(max(1, operator.index(num_threads)))


def omp_get_max_threads() -> int:
    """torch.get_num_threads."""
    return torch.get_num_threads()


def check_openmp() -> bool:
    """True: threads do work in parallel."""
    return True


def get_version() -> str:
    """The version of FAISS that this follows; fastret.__version__ is its own."""
    return VERSION_STRING


def swig_version() -> int:
    """0: no SWIG is between Python and the kernels."""
    return 0


def get_compile_options() -> str:
    """Words that programs look for: GPU where there is one. fastret.build_info() tells how fastret was built."""
    return "OPTIMIZE GPU " if get_num_gpus() else "OPTIMIZE "


def get_numeric_type_size(numeric_type: int) -> int:
    """Bytes per element. Raises RuntimeError for what is no numeric type."""
    if numeric_type not in _BYTES:
        raise RuntimeError(f"get_numeric_type_size: Float32, Float16, UInt8 or Int8 are needed, got {numeric_type}")
    return _BYTES[numeric_type]


def get_mem_usage_kb() -> int:
    """The most memory that the process has held, in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def getmillisecs() -> float:
    """Milliseconds since an arbitrary moment."""
    return time.perf_counter() * 1e3


def get_cycles() -> int:
    """Nanoseconds since an arbitrary moment, where FAISS counts the processor's cycles."""
    return time.perf_counter_ns()
