"""Inverted files whose lists the caller chooses, and other coarse quantizers for them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..transforms.pre_transform import IndexPreTransform
from .inspect_tools import get_invlist_sizes

Array = NDArray[Any]


def add_preassigned(index_ivf: Any, x: Array, a: Array, ids: Array | None = None) -> None:
    """Add vectors x [n, d] to the lists a [n], under ids [n] or the next ones."""
    _require(a.shape == (len(x),), f"add_preassigned: a must be [{len(x)}], got {list(a.shape)}")
    _require(ids is None or ids.shape == a.shape, f"add_preassigned: ids must be [{len(x)}]")
    index_ivf.add_core(len(x), x, ids, a)


def search_preassigned(
    index_ivf: Any, xq: Array, k: int, list_nos: Array, coarse_dis: Array | None = None
) -> tuple[Array, Array]:
    """Search the lists list_nos [n, nprobe] of each query xq [n, d], behind a transform if there is one."""
    if isinstance(index_ivf, IndexPreTransform):
        _require(index_ivf.chain.size() == 1, "search_preassigned: the chain must have one component")
        xq = index_ivf.chain.at(0).apply(xq)
        index_ivf = index_ivf.index
    found: tuple[Array, Array] = index_ivf.search_preassigned(xq, k, list_nos, coarse_dis)
    return found


def range_search_preassigned(
    index_ivf: Any, x: Array, radius: float, list_nos: Array, coarse_dis: Array | None = None
) -> tuple[Array, Array, Array]:
    """As `search_preassigned`, every vector within a radius: lims [n + 1], distances and ids."""
    found: tuple[Array, Array, Array] = index_ivf.range_search_preassigned(x, radius, list_nos, coarse_dis)
    return found


def replace_ivf_quantizer(index_ivf: Any, new_quantizer: Any) -> Any:
    """Give an inverted file another coarse quantizer, with the same centroids if it has none; returns the old one."""
    if new_quantizer.ntotal == 0:
        centroids = index_ivf.quantizer.reconstruct_n()
        new_quantizer.train(centroids)
        new_quantizer.add(centroids)
    _require(
        new_quantizer.ntotal == index_ivf.nlist,
        f"replace_ivf_quantizer: {index_ivf.nlist} centroids are needed, got {new_quantizer.ntotal}",
    )
    old, index_ivf.quantizer = index_ivf.quantizer, new_quantizer
    return old


def permute_invlists(index_ivf: Any, perm: Array) -> None:
    """Put list perm[i], with its centroid, at i."""
    _require(
        np.array_equal(np.sort(perm), np.arange(index_ivf.nlist)),
        f"permute_invlists: perm must be a permutation of {index_ivf.nlist}",
    )
    index_ivf.quantizer.permute_entries(perm)
    index_ivf.invlists.permute_invlists(np.ascontiguousarray(perm, dtype=np.int64))


def sort_invlists_by_size(index_ivf: Any) -> None:
    """Put the smallest lists first."""
    permute_invlists(index_ivf, np.argsort(get_invlist_sizes(index_ivf.invlists)))


def _require(condition: bool, sentence: str) -> None:
    """FAISS asserts here."""
    if not condition:
        raise AssertionError(sentence)
