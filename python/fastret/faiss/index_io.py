"""FAISS's own files of flat indexes, both ways.

Little-endian: fourcc "IxFI" (inner product) or "IxF2" (L2); d int32; ntotal int64; two unused int64, 1 << 20;
is_trained uint8; metric_type int32; the number of floats uint64; then ntotal * d float32: what
write_index_header and write_xb_vector of faiss/impl/index_write.cpp write.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import torch

from ..replacing import replacing
from .flat import METRIC_INNER_PRODUCT, METRIC_L2, Index, IndexFlat, IndexFlatIP, IndexFlatL2

_HEADER = struct.Struct("<4siqqqBiQ")
_UNUSED = 1 << 20
_FOURCC = {METRIC_INNER_PRODUCT: b"IxFI", METRIC_L2: b"IxF2"}


def write_index(index: Index, fname: str | os.PathLike[str]) -> None:
    """Write a flat index to a file that faiss.read_index reads, atomically.

    Raises TypeError for what is no index, RuntimeError (as FAISS does) if the file cannot be written whole;
    what was there before is then untouched.
    """
    if not isinstance(index, IndexFlat):
        raise TypeError(f"write_index: a fastret.faiss index is needed, got {type(index).__name__}")
    vectors = index.vectors.numpy().astype("<f4", copy=False)
    header = _HEADER.pack(
        _FOURCC[index.metric_type],
        index.d,
        index.ntotal,
        _UNUSED,
        _UNUSED,
        index.is_trained,
        index.metric_type,
        vectors.size,
    )
    try:
        with replacing(fname) as temporary, temporary.open("wb") as file:
            file.write(header)
            file.write(vectors.data)
    except OSError as error:
        raise RuntimeError(f"write_index: could not write {os.fspath(fname)}: {error}") from error


def read_index(fname: str | os.PathLike[str]) -> IndexFlat:
    """Read a flat index that FAISS or write_index wrote: an IndexFlatIP or an IndexFlatL2.

    Raises RuntimeError (as FAISS does), naming the file, if it cannot be opened, is truncated or altered, or
    holds another kind of index.
    """
    path = Path(fname)
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER.size)
            fourcc = header[:4]
            if fourcc not in _FOURCC.values():
                raise RuntimeError(
                    f"read_index: {path} begins with {fourcc!r} and is no flat index (IxFI, IxF2); "
                    "real faiss reads its other kinds"
                )
            if len(header) < _HEADER.size:
                raise RuntimeError(f"read_index: {path} is truncated: {len(header)} bytes")
            _, d, ntotal, _, _, _, metric, size = _HEADER.unpack(header)
            if d < 0 or ntotal < 0 or size != d * ntotal or _FOURCC.get(metric) != fourcc:
                raise RuntimeError(f"read_index: {path} was altered, its header contradicts itself")
            expected_bytes, actual_bytes = _HEADER.size + 4 * size, path.stat().st_size
            if actual_bytes != expected_bytes:
                raise RuntimeError(
                    f"read_index: {path} was truncated or altered: {actual_bytes} bytes, "
                    f"its header promises {expected_bytes}"
                )
            vectors = np.fromfile(file, dtype="<f4", count=size).astype(np.float32, copy=False)
    except OSError as error:
        raise RuntimeError(f"read_index: could not read {path}: {error}") from error
    index = IndexFlatIP(d) if metric == METRIC_INNER_PRODUCT else IndexFlatL2(d)
    index.add(torch.from_numpy(vectors.reshape(ntotal, d)))
    return index
