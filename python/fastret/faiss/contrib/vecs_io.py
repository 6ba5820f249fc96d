"""Files of vectors: fvecs, ivecs and bvecs, each vector behind its dimension as a little-endian int32.

The formats are described at http://corpus-texmex.irisa.fr/.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FileName = str | os.PathLike[str]
Array = NDArray[Any]


def ivecs_read(fname: FileName) -> Array:
    """The vectors of a file, [n, d] int32."""
    records = _records(np.fromfile(fname, dtype="<i4"), fname)
    return np.ascontiguousarray(records[:, 1:])


def fvecs_read(fname: FileName) -> Array:
    """The vectors of a file, [n, d] float32."""
    return ivecs_read(fname).view(np.float32)


def ivecs_mmap(fname: FileName) -> Array:
    """The vectors of a file, [n, d] int32, which stay in it."""
    return _records(np.memmap(fname, dtype="<i4", mode="r"), fname)[:, 1:]


def fvecs_mmap(fname: FileName) -> Array:
    """The vectors of a file, [n, d] float32, which stay in it."""
    return ivecs_mmap(fname).view(np.float32)


def bvecs_mmap(fname: FileName) -> Array:
    """The vectors of a file, [n, d] uint8, which stay in it."""
    data = np.memmap(fname, dtype=np.uint8, mode="r")
    d = int(data[:4].view("<i4")[0])
    if d < 1 or len(data) % (d + 4):
        raise ValueError(f"{os.fspath(fname)} is no file of bvecs: {len(data)} bytes for vectors of {d}")
    return data.reshape(-1, d + 4)[:, 4:]


def bvecs_iter(filepath: FileName, batch_size: int = 100_000) -> Iterator[Array]:
    """The vectors of a file in batches [<= batch_size, d] uint8."""
    vectors = bvecs_mmap(filepath)
    for first in range(0, len(vectors), batch_size):
        yield vectors[first : first + batch_size]


def bvecs_iter_chunked(chunk_folder: FileName, batch_size: int = 100_000) -> Iterator[Array]:
    """The vectors of chunk_0000.bvecs, chunk_0001.bvecs, ... in batches that go on across files.

    Raises ValueError if there is no chunk or one in between is not there.
    """
    chunks = sorted(Path(chunk_folder).glob("chunk_*.bvecs"))
    if not chunks or [int(chunk.stem.removeprefix("chunk_")) for chunk in chunks] != list(range(len(chunks))):
        raise ValueError(f"bvecs_iter_chunked: chunks 0, 1, ... are needed, got {[chunk.name for chunk in chunks]}")
    kept: list[Array] = []
    for chunk in chunks:
        vectors = bvecs_mmap(chunk)
        while len(vectors):
            room = batch_size - sum(map(len, kept))
            kept.append(vectors[:room])
            vectors = vectors[room:]
            if sum(map(len, kept)) == batch_size:
                yield np.concatenate(kept)
                kept = []
    if kept:
        yield np.concatenate(kept)


def ivecs_write(fname: FileName, m: Array) -> None:
    """Write vectors [n, d] int32."""
    dimensions = np.full((len(m), 1), m.shape[1], "<i4")
    np.hstack([dimensions, m.astype("<i4", copy=False)]).tofile(fname)


def fvecs_write(fname: FileName, m: Array) -> None:
    """Write vectors [n, d] as float32."""
    ivecs_write(fname, m.astype("<f4").view("<i4"))


def _records(data: Array, fname: FileName) -> Array:
    d = int(data[0]) if len(data) else 0
    if d < 1 or len(data) % (d + 1):
        raise ValueError(f"{os.fspath(fname)} is no file of vectors: {len(data)} numbers for vectors of {d}")
    return data.reshape(-1, d + 1)
