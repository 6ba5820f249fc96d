"""Strings of index_factory: how long their codes are, and which one makes an index."""

from __future__ import annotations

import re
from typing import Any

from ... import faiss

_SQ_BITS = {"SQ8": 8, "SQ6": 6, "SQ4": 4, "SQfp16": 16, "SQbf16": 16}


def get_code_size(d: int, indexkey: str) -> int:
    """Bytes per vector of d in the index that index_factory makes of a string, links of HNSW roughly included.

    Raises RuntimeError for a string that is not understood.
    """
    if indexkey == "Flat":
        return 4 * d
    if indexkey in _SQ_BITS:
        return (d * _SQ_BITS[indexkey] + 7) // 8
    if indexkey.endswith(",RFlat"):
        return 4 * d + get_code_size(d, indexkey.removesuffix(",RFlat"))
    if found := re.fullmatch(r"(.*),Refine\((.*)\)", indexkey):
        return get_code_size(d, found[1]) + get_code_size(d, found[2])
    if found := re.fullmatch(r"(?:IVF\d+(?:_HNSW\d+|\(.*\))?|IMI\d+x\d+|OPQ\d+),(.*)", indexkey):
        return get_code_size(d, found[1])
    if found := re.fullmatch(r"(?:PCAR?|OPQ\d+_|RR)(\d+),(.*)", indexkey):
        return get_code_size(int(found[1]), found[2])
    if found := re.fullmatch(r"PQ(\d+)(?:x(\d+)(?:fsr?)?)?", indexkey):
        return (int(found[1]) * int(found[2] or 8) + 7) // 8
    if found := re.fullmatch(r"PQ(\d+)\+(\d+)", indexkey):
        return int(found[1]) + int(found[2])
    if found := re.fullmatch(r"HNSW(\d+)(?:,(.*))?", indexkey):
        return int(found[1]) * 2 * 4 + get_code_size(d, found[2] or "Flat")
    raise RuntimeError(f"get_code_size: the string {indexkey!r} is not understood")


def get_hnsw_M(index: Any) -> int:
    """M of an HNSW index: half the links of a vector on the lowest level."""
    return int(index.hnsw.cum_nneighbor_per_level.at(1)) // 2


def reverse_index_factory(index: Any) -> str:
    """The string of which index_factory makes such an index. Raises RuntimeError where there is none."""
    # Subclasses stand before their bases.
    if isinstance(index, faiss.IndexFlat):
        return "Flat"
    if isinstance(index, faiss.IndexIDMap):
        kind = "IDMap2" if isinstance(index, faiss.IndexIDMap2) else "IDMap"
        return f"{kind},{reverse_index_factory(index.index)}"
    if isinstance(index, faiss.IndexIVF):
        return f"{_ivf(index)},{_codes(index)}"
    if isinstance(index, faiss.IndexPreTransform) and index.chain.size() == 1:
        return f"{_transform(index.chain.at(0))},{reverse_index_factory(index.index)}"
    if isinstance(index, faiss.IndexHNSW):
        flat = isinstance(index.storage, faiss.IndexFlat)
        return f"HNSW{get_hnsw_M(index)}" + ("" if flat else f",{reverse_index_factory(index.storage)}")
    if isinstance(index, faiss.IndexRefine):
        base, refined = reverse_index_factory(index.base_index), reverse_index_factory(index.refine_index)
        return f"{base},Refine({refined})"
    if isinstance(index, faiss.IndexLSH):
        return "LSH" + "r" * index.rotate_data + "t" * index.train_thresholds
    return _codes(index)


def _ivf(index: Any) -> str:
    if isinstance(index.quantizer, faiss.IndexFlat):
        return f"IVF{index.nlist}"
    if isinstance(index.quantizer, faiss.IndexHNSW):
        return f"IVF{index.nlist}_HNSW{get_hnsw_M(index.quantizer)}"
    return f"IVF{index.nlist}({reverse_index_factory(index.quantizer)})"


def _codes(index: Any) -> str:
    if isinstance(index, faiss.IndexIVFFlat):
        return "Flat"
    if isinstance(index, faiss.IndexPQ | faiss.IndexIVFPQ):
        return f"PQ{index.pq.M}x{index.pq.nbits}"
    if isinstance(index, faiss.IndexScalarQuantizer | faiss.IndexIVFScalarQuantizer):
        names = {getattr(faiss.ScalarQuantizer, f"QT_{bits}"): f"SQ{short}" for bits, short in _QUANTIZERS.items()}
        if index.sq.qtype in names:
            return names[index.sq.qtype]
    raise RuntimeError(f"reverse_index_factory: no string makes {index!r}")


_QUANTIZERS = {
    "8bit": "8",
    "6bit": "6",
    "4bit": "4",
    "fp16": "fp16",
    "bf16": "bf16",
    "8bit_direct": "8_direct",
    "8bit_direct_signed": "8_direct_signed",
    "8bit_uniform": "8u",
    "4bit_uniform": "4u",
}


def _transform(transform: Any) -> str:
    if isinstance(transform, faiss.OPQMatrix):
        return f"OPQ{transform.M}_{transform.d_out}"
    if isinstance(transform, faiss.ITQTransform):
        return f"ITQ{transform.itq.d_out}"
    if isinstance(transform, faiss.PCAMatrix) and transform.eigen_power == 0:
        return f"PCA{'R' * transform.random_rotation}{transform.d_out}"
    raise RuntimeError(f"reverse_index_factory: no string makes {transform!r}")
