"""FAISS's names on fastret's search: `import fastret.faiss as faiss`.

Here are the flat indexes, knn, normalize_L2 and the files of flat indexes. Neighbours are exact and
reproducible, and of equal scores the smaller id comes first.
"""

from __future__ import annotations

from typing import NoReturn

from .distances import knn, normalize_L2
from .flat import METRIC_INNER_PRODUCT, METRIC_L2, Index, IndexFlat, IndexFlatIP, IndexFlatL2
from .index_io import read_index, write_index

__all__ = [
    "METRIC_INNER_PRODUCT",
    "METRIC_L2",
    "Index",
    "IndexFlat",
    "IndexFlatIP",
    "IndexFlatL2",
    "knn",
    "normalize_L2",
    "read_index",
    "write_index",
]


def __getattr__(name: str) -> NoReturn:
    raise AttributeError(
        f"fastret.faiss has no {name!r}; real faiss can be used for it: pip install faiss-cpu, import faiss"
    )
