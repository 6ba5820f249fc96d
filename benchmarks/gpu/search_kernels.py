"""The two kernels that a search may scan with on Hopper; elsewhere there is the portable one alone."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager

BOTH = ("portable", "hopper")


@contextmanager
def search_kernel(name: str) -> Iterator[None]:
    """Scan with this kernel. Raises ValueError where the device cannot, ImportError without the CUDA library."""
    library = importlib.import_module("fastret._C_cuda")
    before = library.get_search_kernel()
    library.set_search_kernel(name)
    try:
        yield
    finally:
        library.set_search_kernel(before)


def has_hopper_kernel() -> bool:
    try:
        with search_kernel("hopper"):
            return True
    except (ImportError, ValueError):
        return False
