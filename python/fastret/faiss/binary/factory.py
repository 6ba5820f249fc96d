"""FAISS's index_binary_factory: binary indexes from strings such as "BIVF1024_HNSW32"."""

from __future__ import annotations

import operator
import re

from .hash import IndexBinaryHash, IndexBinaryMultiHash
from .hnsw import IndexBinaryHNSW
from .id_map import IndexBinaryIDMap, IndexBinaryIDMap2
from .index import IndexBinary, IndexBinaryFlat
from .ivf import IndexBinaryIVF


def index_binary_factory(d: int, description: str, own_invlists: bool = True) -> IndexBinary:
    """A binary index of d bits, not trained and empty, from its description.

    BFlat, BIVF1024, BIVF1024_HNSW32, BHNSW32, BHash16 (of 16 bits), BHash4x16 (4 tables of 16 bits), each with IDMap or
    IDMap2 before or behind it and a comma between.

    Raises RuntimeError for what is no description.
    """
    d = operator.index(d)
    for name, kind in (("IDMap2", IndexBinaryIDMap2), ("IDMap", IndexBinaryIDMap)):
        if match := re.fullmatch(f"(.+),{name}|{name},(.+)", description):
            mapped = kind(index_binary_factory(d, match[1] or match[2], own_invlists))
            mapped.own_fields = True
            return mapped
    if description == "BFlat":
        return IndexBinaryFlat(d)
    if match := re.fullmatch(r"BIVF(\d+)(?:_HNSW(\d*))?", description):
        links = match[2]
        quantizer = IndexBinaryFlat(d) if links is None else IndexBinaryHNSW(d, int(links or 32))
        index = IndexBinaryIVF(quantizer, d, int(match[1]), own_invlists)
        index.own_fields = True
        return index
    if match := re.fullmatch(r"BHNSW(\d+)", description):
        return IndexBinaryHNSW(d, int(match[1]))
    if match := re.fullmatch(r"BHash(\d+)x(\d+)", description):
        return IndexBinaryMultiHash(d, int(match[1]), int(match[2]))
    if match := re.fullmatch(r"BHash(\d+)", description):
        return IndexBinaryHash(d, int(match[1]))
    raise RuntimeError(f"index_binary_factory: {description!r} describes no binary index")
