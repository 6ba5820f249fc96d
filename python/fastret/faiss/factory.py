"""FAISS's index_factory: indexes from strings such as "OPQ16_64,IVF1024,PQ16x4fs,RFlat"."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

from .flat import IndexFlat
from .index import Index
from .metrics import METRIC_INNER_PRODUCT, METRIC_L2

_SCALAR_TYPES = {
    "SQ8": "QT_8bit",
    "SQ6": "QT_6bit",
    "SQ4": "QT_4bit",
    "SQfp16": "QT_fp16",
    "SQbf16": "QT_bf16",
    "SQ8_direct": "QT_8bit_direct",
    "SQ8_direct_signed": "QT_8bit_direct_signed",
}
_SCALAR = f"({'|'.join(_SCALAR_TYPES)})"
_PRODUCT = r"PQ(\d+)(?:x(\d+))?(np)?"
_NLIST = r"(?P<lists>\d+)(?P<unit>[kM]?)"
_LISTS = rf"(?:IMI2x(?P<bits>\d+)|IVF{_NLIST}(?:_HNSW(?P<links>\d*)|\((?P<inner>.+)\))?),(?P<code>[^()]*)"
_NLIST_UNITS = {"": 1, "k": 1 << 10, "M": 1 << 20}

# Kinds of FAISS by what asks for them, where no other entry does: to say which are not here.
_OTHER_KINDS = {
    r"RCQ.+": "ResidualCoarseQuantizer",
    r"RQ.+": "IndexResidualQuantizer",
    r"LSCQ.+": "LocalSearchCoarseQuantizer",
    r"LSQ.+": "IndexLocalSearchQuantizer",
    r"PRQ.+": "IndexProductResidualQuantizer",
    r"PLSQ.+": "IndexProductLocalSearchQuantizer",
    r"RaBitQ.*": "IndexRaBitQ",
    r"ZnLattice.+": "IndexLattice",
    r"NSG\d*([,_].*)?": "IndexNSGFlat",
    r"MinMax(FP16)?,.+": "IndexRowwiseMinMax",
    r"Residual\d+(x\d+)?,PQ.+": "Index2Layer",
    rf"IVF{_NLIST}_NSG\d+,.+": "IndexNSGFlat",
    rf"IVF{_NLIST}[^,]*,FlatPanorama\d*": "IndexIVFFlatPanorama",
    rf"IVF{_NLIST}[^,]*,(RQ|LSQ|PRQ|PLSQ).+": "IndexIVFAdditiveQuantizer",
    rf"IVF{_NLIST}[^,]*,RaBitQ.*": "IndexIVFRaBitQ",
    rf"IVF{_NLIST}[^,]*,(ITQ|PCA|PCAR)\d*,SH.*": "IndexIVFSpectralHash",
}


def index_factory(d: int, description: str, metric: int = METRIC_L2, own_invlists: bool = True) -> Index:
    """An index of vectors of d, not trained and empty, from its description.

    A description is made of, in this order and most of it optional,
    - transforms: PCA64, PCAR64, PCAW64, PCAWR64, OPQ16_64, RR64, ITQ64, Pad64, L2norm;
    - Flat, SQ8 SQ6 SQ4 SQfp16 SQbf16 SQ8_direct SQ8_direct_signed, PQ16 PQ16x4 PQ16np PQ16x4fs, LSH LSHr LSHrt,
      HNSW32 HNSW32_SQ8 HNSW32_PQ16, or lists IVF1024 IVF65536_HNSW32 IVF1024(any index), a comma, and what they hold:
      Flat, SQ8 ..., PQ16 PQ16x4 PQ16np PQ16x4fs PQ16x4fsr;
    - RFlat or Refine(any index);
    - IDMap or IDMap2, at the beginning or the end.

    own_invlists=False leaves an IVF index without lists of its own.

    Raises RuntimeError for what is no description, and for kinds of indexes that are not here, which it names.
    """
    if not isinstance(description, str):
        raise TypeError(f"index_factory: description must be a str, got {type(description).__name__}")
    index: Index = _parse(operator.index(d), description, metric, own_invlists)
    return index


def _parse(d: int, text: str, metric: int, own_invlists: bool = True) -> Any:
    for kind in ("IDMap2", "IDMap"):
        if match := re.fullmatch(f"(.+),{kind}|{kind},(.+)", text):
            return _owning(_made(f"Index{kind}", _parse(d, match[1] or match[2], metric)))
    if match := re.fullmatch(r"(.+),RFlat", text):
        return _owning(_made("IndexRefineFlat", _parse(d, match[1], metric)))
    if match := re.fullmatch(r"(.+),Refine\((.+)\)", text):
        index = _owning(_made("IndexRefine", _parse(d, match[1], metric), _parse(d, match[2], metric)))
        index.own_refine_index = True
        return index
    chain: list[Any] = []
    while (match := re.fullmatch(r"([^,]+),(.*)", text)) and (transform := _transform(match[1], d)):
        chain.append(transform)
        d, text = transform.d_out, match[2]
    if chain:
        index = _owning(_made("IndexPreTransform", _parse(d, text, metric)))
        for transform in reversed(chain):
            index.prepend_transform(transform)
        return index
    for pattern, make in _STORAGES.items():
        if match := re.fullmatch(pattern, text):
            return make(match, d, metric)
    if (match := re.fullmatch(_LISTS, text)) and (index := _lists(match, d, metric, own_invlists)):
        return index
    for pattern, kind in _OTHER_KINDS.items():
        if re.fullmatch(pattern, text):
            _kind(kind)
    raise RuntimeError(f"index_factory: {text!r} describes no index")


def _kind(name: str) -> Any:
    """A class of this namespace. Raises RuntimeError if it is not here."""
    from .. import faiss

    try:
        return getattr(faiss, name)
    except AttributeError as missing:
        raise RuntimeError(f"index_factory: {missing}") from None


def _made(name: str, *arguments: Any) -> Any:
    return _kind(name)(*arguments)


def _owning(index: Any) -> Any:
    index.own_fields = True
    return index


def _transform(text: str, d: int) -> Any:
    """A transform of vectors of d, or None if the text describes none."""
    if match := re.fullmatch(r"PCA(W?)(R?)(\d+)", text):
        return _made("PCAMatrix", d, int(match[3]), -0.5 if match[1] else 0.0, bool(match[2]))
    if re.fullmatch(r"L2[nN]orm", text):
        return _made("NormalizationTransform", d, 2.0)
    if match := re.fullmatch(r"RR(\d+)?", text):
        return _made("RandomRotationMatrix", d, int(match[1] or d))
    if match := re.fullmatch(r"ITQ(\d+)?", text):
        return _made("ITQTransform", d, int(match[1] or d), match[1] is not None)
    if match := re.fullmatch(r"OPQ(\d+)(?:_(\d+))?", text):
        return _made("OPQMatrix", d, int(match[1]), int(match[2] or d))
    if match := re.fullmatch(r"Pad(\d+)", text):
        return _made("RemapDimensionsTransform", d, max(d, int(match[1])), False)
    return None


def _scalar_type(name: str) -> int:
    number: int = getattr(_kind("ScalarQuantizer"), _SCALAR_TYPES[name])
    return number


def _hashed(match: re.Match[str], d: int, metric: int) -> Any:
    if metric != METRIC_L2:
        raise RuntimeError(f"index_factory: {match[0]!r} is for METRIC_L2, got {metric}")
    return _made("IndexLSH", d, int(match[1] or d), bool(match[2]), bool(match[3]))


def _product(match: re.Match[str], d: int, metric: int) -> Any:
    index = _made("IndexPQ", d, int(match[1]), int(match[2] or 8), metric)
    index.do_polysemous_training = not match[3]
    return index


def _graph(match: re.Match[str], d: int, metric: int) -> Any:
    links, code = int(match[1] or 32), match[2] or "Flat"
    if code == "Flat":
        return _made("IndexHNSWFlat", d, links, metric)
    if scalar := re.fullmatch(_SCALAR, code):
        return _made("IndexHNSWSQ", d, _scalar_type(scalar[1]), links, metric)
    if product := re.fullmatch(_PRODUCT, code):
        index = _made("IndexHNSWPQ", d, int(product[1]), links, int(product[2] or 8))
        index.storage.do_polysemous_training = not product[3]
        return index
    if re.fullmatch(r"(2x)?\d+\+PQ\d*", code):
        _kind("IndexHNSW2Level")
    raise RuntimeError(f"index_factory: {code!r} in {match[0]!r} is nothing that a graph holds")


# Indexes that hold vectors, or codes of them, without lists.
_STORAGES: dict[str, Callable[[re.Match[str], int, int], Any]] = {
    "Flat": lambda match, d, metric: _made("IndexFlat", d, metric),
    r"LSH(\d*)(r?)(t?)": _hashed,
    _SCALAR: lambda match, d, metric: _made("IndexScalarQuantizer", d, _scalar_type(match[1]), metric),
    _PRODUCT: _product,
    r"PQ(\d+)x4fs(?:_(\d+))?": lambda match, d, metric: _made(
        "IndexPQFastScan", d, int(match[1]), 4, metric, int(match[2] or 32)
    ),
    r"HNSW(\d*)(?:[,_](.*))?": _graph,
}


def _lists(match: re.Match[str], d: int, metric: int, own_invlists: bool) -> Any:
    """An index of inverted lists, or None where what the lists shall hold is not of the kinds here."""
    code = match["code"]
    quantizer, nlist = _quantizer(match, d, metric)
    arguments = (quantizer, quantizer.d, nlist)
    if code == "Flat":
        index = _made("IndexIVFFlat", *arguments, metric, own_invlists)
    elif code == "FlatDedup":
        index = _made("IndexIVFFlatDedup", *arguments, metric, own_invlists)
    elif scalar := re.fullmatch(_SCALAR, code):
        index = _made("IndexIVFScalarQuantizer", *arguments, _scalar_type(scalar[1]), metric, True, own_invlists)
    elif product := re.fullmatch(_PRODUCT, code):
        index = _made("IndexIVFPQ", *arguments, int(product[1]), int(product[2] or 8), metric, own_invlists)
        index.do_polysemous_training = not product[3]
    elif product := re.fullmatch(r"PQ(\d+)\+(\d+)", code):
        index = _made("IndexIVFPQR", *arguments, int(product[1]), 8, int(product[2]), 8, own_invlists)
    elif product := re.fullmatch(r"PQ(\d+)x4fs(r?)(?:_(\d+))?", code):
        index = _made("IndexIVFPQFastScan", *arguments, int(product[1]), 4, metric, int(product[3] or 32), own_invlists)
        index.by_residual = bool(product[2])
    else:
        return None
    index.quantizer_trains_alone = _trains_alone(quantizer)
    index.cp.spherical = metric == METRIC_INNER_PRODUCT
    return _owning(index)


def _quantizer(match: re.Match[str], d: int, metric: int) -> tuple[Any, int]:
    """What chooses the lists, and how many there are."""
    if bits := match["bits"]:
        if metric != METRIC_L2:
            raise RuntimeError(f"index_factory: {match[0]!r} is for METRIC_L2, got {metric}")
        return _made("MultiIndexQuantizer", d, 2, int(bits)), 1 << (2 * int(bits))
    nlist = int(match["lists"]) * _NLIST_UNITS[match["unit"]]
    if match["inner"] is not None:
        return _parse(d, match["inner"], metric), nlist
    if match["links"] is not None:
        return _made("IndexHNSWFlat", d, int(match["links"] or 32), metric), nlist
    return _made("IndexFlat", d, metric), nlist


def _trains_alone(quantizer: Index) -> int:
    """FAISS's code for how a quantizer is trained: 0 by k-means, 1 by its own `train`, 2 on what k-means gives."""
    if isinstance(quantizer, IndexFlat):
        return 0
    return 1 if type(quantizer).__name__ == "MultiIndexQuantizer" else 2
