"""Files of graph indexes: IHNf (float32 vectors), IHNs (scalar quantizer), IHNp (product quantizer)."""

from __future__ import annotations

from typing import NoReturn

import numpy as np
import torch

from ..hnsw import IndexHNSW, IndexHNSWFlat, IndexHNSWPQ, IndexHNSWSQ
from ..hnsw_graph import HNSW
from ..index import Index
from .header import read_header, write_header
from .registry import indexes
from .stream import IO_FLAG_SKIP_STORAGE, Reader, Writer

_UPPER_BEAM = 1  # of a search of several candidates on the upper levels, which FAISS gave up
_FOURCC: dict[type[IndexHNSW], bytes] = {
    IndexHNSWFlat: b"IHNf",
    IndexHNSWSQ: b"IHNs",
    IndexHNSWPQ: b"IHNp",
}
_KIND = {fourcc: kind for kind, fourcc in _FOURCC.items()}
_NO_STORAGE = b"null"


@indexes.writes(*_FOURCC)
def write_hnsw(writer: Writer, index: IndexHNSW) -> None:
    writer.fourcc(next(_FOURCC[kind] for kind in type(index).__mro__ if kind in _FOURCC))
    write_header(writer, index)
    write_graph(writer, index.hnsw)
    if writer.io_flags & IO_FLAG_SKIP_STORAGE or index.storage is None:
        writer.fourcc(_NO_STORAGE)
    else:
        indexes.write(writer, index.storage)


@indexes.reads(*_KIND)
def read_hnsw(reader: Reader, fourcc: bytes) -> IndexHNSW:
    header = read_header(reader)
    index = _KIND[fourcc]()
    header.give(index)
    index._give_metric()
    index.ntotal = header.ntotal
    read_graph(reader, index.hnsw, header.ntotal)
    index.storage = indexes.read(reader)
    if index.storage is not None and (index.storage.d != index.d or index.storage.ntotal != index.ntotal):
        reader.fail(f"a graph of {index!r} with the storage {index.storage!r}")
    return index


def write_graph(writer: Writer, hnsw: HNSW) -> None:
    writer.vector(hnsw._assign_probas.numpy(), "<f8")
    writer.vector(hnsw._level_starts.numpy(), "<i4")
    writer.vector(hnsw._levels.numpy(), "<i4")
    writer.vector(hnsw._offsets.numpy(), "<u8")
    writer.vector(hnsw._neighbors.numpy(), "<i4")
    for number in (hnsw.entry_point, hnsw.max_level, hnsw.efConstruction, hnsw.efSearch, _UPPER_BEAM):
        writer.i32(number)


def read_graph(reader: Reader, hnsw: HNSW, ntotal: int) -> None:
    hnsw._assign_probas = torch.from_numpy(reader.vector("<f8"))
    starts = reader.vector("<i4")
    levels, offsets = reader.vector("<i4", ntotal), reader.vector("<i8", ntotal + 1)
    neighbors = reader.vector("<i4", int(offsets[-1]))
    entry = np.array([reader.i32(), reader.i32()], np.int32)
    hnsw.efConstruction, hnsw.efSearch = reader.i32(), reader.i32()
    reader.i32()
    if len(starts) < 2 or starts[0] != 0 or (np.diff(starts) < 0).any() or starts[1] == 0:
        reader.fail("the places on each level do not ascend")
    if ntotal and not (levels.min() >= 1 and levels.max() < len(starts)):
        reader.fail(f"levels from {levels.min()} to {levels.max()} where {len(starts) - 1} is the highest")
    if offsets[0] != 0 or (np.diff(offsets) != starts[levels]).any():
        reader.fail("the places of its vectors are not those of their levels")
    if len(neighbors) and not (neighbors.min() >= -1 and neighbors.max() < ntotal):
        reader.fail(f"neighbours from {neighbors.min()} to {neighbors.max()} of {ntotal} vectors")
    if ntotal and not (0 <= entry[0] < ntotal and 0 <= entry[1] < levels[entry[0]]):
        reader.fail(f"searches begin at vector {entry[0]} of {ntotal}, on level {entry[1]}")
    hnsw._level_starts, hnsw._levels, hnsw._offsets, hnsw._neighbors, hnsw._entry = map(
        torch.from_numpy, (starts, levels, offsets, neighbors, entry)
    )


@indexes.reads(_NO_STORAGE)
def read_no_storage(reader: Reader, fourcc: bytes) -> Index | None:
    return None


@indexes.reads(b"IHN2")
def refuse_two_levels(reader: Reader, fourcc: bytes) -> NoReturn:
    raise RuntimeError(
        f"read_index: {reader.name} holds an IndexHNSW2Level, which is not known here; IndexHNSWFlat and IndexIVFPQ "
        "are, and real faiss can be used for it: pip install faiss-cpu, import faiss"
    )
