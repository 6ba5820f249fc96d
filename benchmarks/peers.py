"""The libraries that fastret is measured against, and how many threads each of them gets."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch


def _import_or_none(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


faiss = _import_or_none("faiss")
usearch = _import_or_none("usearch.index")
scann = _import_or_none("scann.scann_ops.py.scann_ops_pybind")  # `import scann` alone looks for tensorflow

PEER_VERSIONS: dict[str, str | None] = {
    "faiss": faiss and faiss.__version__,
    "usearch": usearch and importlib.import_module("usearch").__version__,
    "scann-core": scann and importlib.import_module("scann").__version__,
}
MISSING_PEERS = [
    f"{name} is not installed: its rows are left out (pip install {'faiss-cpu' if name == 'faiss' else name} adds them)"
    for name, version in PEER_VERSIONS.items()
    if version is None
]

FAISS = "faiss"
FAISS_BLAS = "faiss, BLAS threshold 1"
FAISS_ONE_THREAD = "faiss, 1 thread"
FAISS_BLAS_ONE_THREAD = "faiss, BLAS threshold 1, 1 thread"
FAISS_HEAP = "faiss heaps"
SCANN = "scann-core"
TORCH = "torch"
USEARCH = "usearch"

# Below this Q x D, faiss scores one query after another instead of calling a matrix product, by default.
FAISS_QUERY_BY_QUERY_BELOW = 128_000
# usearch makes one dot product after another, many times slower than a matrix product: beyond this Q x N x D a turn of
# it takes as long as all turns of the others, and shows nothing that smaller works do not.
USEARCH_UP_TO = 13_000_000_000


def thread_counts() -> list[int]:
    """One thread, and as many as torch takes by itself."""
    return sorted({1, torch.get_num_threads()})


@contextmanager
def threads_of_all(count: int) -> Iterator[None]:
    """Hold torch, and with it everybody who asks torch, and faiss with its BLAS to `count` threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with faiss_threads(count):
            yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def faiss_threads(count: int) -> Iterator[None]:
    """Hold faiss with its BLAS to `count` threads, where there is faiss."""
    before = faiss.omp_get_max_threads() if faiss else 0
    if faiss:
        faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        if faiss:
            faiss.omp_set_num_threads(before)


@contextmanager
def faiss_blas_threshold(threshold: int) -> Iterator[None]:
    """Let faiss use a matrix product from `threshold` on."""
    before = faiss.cvar.distance_compute_blas_threshold
    faiss.cvar.distance_compute_blas_threshold = threshold
    try:
        yield
    finally:
        faiss.cvar.distance_compute_blas_threshold = before


def under(run: Callable[[], Any], setting: Callable[[], AbstractContextManager[None]]) -> Callable[[], Any]:
    """`run` inside a new context of `setting` each time."""

    def run_so() -> Any:
        with setting():
            return run()

    return run_so
