"""The libraries that fastret is measured against, and how many threads each of them gets."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

faiss: Any
FAISS_VERSION: str | None
try:
    faiss = importlib.import_module("faiss")
    FAISS_VERSION = faiss.__version__
except ImportError:
    faiss = FAISS_VERSION = None

MISSING_FAISS = "faiss is not installed: its rows are left out (pip install faiss-cpu adds them)"

FAISS = "faiss"
FAISS_BLAS = "faiss, BLAS threshold 1"
FAISS_HEAP = "faiss heaps"
TORCH = "torch"

# Below this Q x D, faiss scores one query after another instead of calling a matrix product, by default.
FAISS_QUERY_BY_QUERY_BELOW = 128_000


def thread_counts() -> list[int]:
    """One thread, and as many as torch takes by itself."""
    return sorted({1, torch.get_num_threads()})


@contextmanager
def threads_of_all(count: int) -> Iterator[None]:
    """Hold torch, fastret (which uses torch's threads) and faiss with its BLAS to `count` threads."""
    torch_before, faiss_before = torch.get_num_threads(), faiss.omp_get_max_threads() if faiss else 0
    torch.set_num_threads(count)
    if faiss:
        faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(torch_before)
        if faiss:
            faiss.omp_set_num_threads(faiss_before)


def with_blas_threshold(threshold: int, run: Callable[[], Any]) -> Callable[[], Any]:
    """`run` with faiss using a matrix product from `threshold` on, and the setting as it was afterwards."""

    def run_so() -> Any:
        before = faiss.cvar.distance_compute_blas_threshold
        faiss.cvar.distance_compute_blas_threshold = threshold
        try:
            return run()
        finally:
            faiss.cvar.distance_compute_blas_threshold = before

    return run_so
