"""Files of binary indexes: IBxF (flat), IBwF (inverted lists), IBHf (graph), IBMp and IBM2 (ids), IBFf (floats)."""

from __future__ import annotations

from typing import NamedTuple

import torch

from ..binary.from_float import IndexBinaryFromFloat
from ..binary.hnsw import IndexBinaryHNSW
from ..binary.id_map import IndexBinaryIDMap, IndexBinaryIDMap2
from ..binary.index import IndexBinary, IndexBinaryFlat
from ..binary.ivf import IndexBinaryIVF
from ..hnsw_graph import HNSW
from ..index import Index
from .hnsw import read_graph, write_graph
from .inverted_lists import read_lists, write_lists
from .ivf import read_direct_map, write_direct_map
from .registry import binary_indexes, indexes
from .stream import Reader, Writer


class BinaryHeader(NamedTuple):
    d: int
    ntotal: int
    is_trained: bool
    metric_type: int

    def give(self, index: IndexBinary) -> None:
        index.is_trained, index.metric_type = self.is_trained, self.metric_type


def write_binary_header(writer: Writer, fourcc: bytes, index: IndexBinary) -> None:
    writer.fourcc(fourcc)
    writer.i32(index.d)
    writer.i32(index.code_size)
    writer.i64(index.ntotal)
    writer.u8(index.is_trained)
    writer.i32(index.metric_type)


def read_binary_header(reader: Reader) -> BinaryHeader:
    d, code_size, ntotal = reader.i32(), reader.i32(), reader.i64()
    if d < 0 or d != 8 * code_size or ntotal < 0:
        reader.fail(f"its header contradicts itself: d {d}, {code_size} bytes per vector, ntotal {ntotal}")
    return BinaryHeader(d, ntotal, bool(reader.u8()), reader.i32())


def read_binary_part(reader: Reader, header: BinaryHeader) -> IndexBinary:
    """A binary index in another, of the same d."""
    index = binary_indexes.read(reader)
    if not isinstance(index, IndexBinary) or index.d != header.d:
        reader.fail(f"a binary index of d {header.d} with {index!r} in it")
    return index


@binary_indexes.writes(IndexBinaryFlat)
def write_binary_flat(writer: Writer, index: IndexBinaryFlat) -> None:
    write_binary_header(writer, b"IBxF", index)
    writer.vector(index._codes.numpy(), "u1")


@binary_indexes.reads(b"IBxF")
def read_binary_flat(reader: Reader, fourcc: bytes) -> IndexBinaryFlat:
    header = read_binary_header(reader)
    index = IndexBinaryFlat(header.d)
    header.give(index)
    codes = reader.vector("u1", header.ntotal * index.code_size)
    index._codes = torch.from_numpy(codes.reshape(header.ntotal, index.code_size))
    return index


@binary_indexes.writes(IndexBinaryIDMap)
def write_binary_id_map(writer: Writer, index: IndexBinaryIDMap) -> None:
    write_binary_header(writer, b"IBM2" if isinstance(index, IndexBinaryIDMap2) else b"IBMp", index)
    binary_indexes.write(writer, index.index)
    writer.vector(index._ids.numpy(), "<i8")


@binary_indexes.reads(b"IBMp", b"IBM2")
def read_binary_id_map(reader: Reader, fourcc: bytes) -> IndexBinaryIDMap:
    header = read_binary_header(reader)
    held = read_binary_part(reader, header)
    ids = torch.from_numpy(reader.vector("<i8", header.ntotal))
    if held.ntotal != len(ids):
        reader.fail(f"{len(ids)} ids for {held!r}")
    return (IndexBinaryIDMap2 if fourcc == b"IBM2" else IndexBinaryIDMap).over(held, ids)


@binary_indexes.writes(IndexBinaryFromFloat)
def write_binary_from_float(writer: Writer, index: IndexBinaryFromFloat) -> None:
    write_binary_header(writer, b"IBFf", index)
    indexes.write(writer, index.index)


@binary_indexes.reads(b"IBFf")
def read_binary_from_float(reader: Reader, fourcc: bytes) -> IndexBinaryFromFloat:
    header = read_binary_header(reader)
    held = indexes.read(reader)
    if not isinstance(held, Index) or held.d != header.d:
        reader.fail(f"a binary index of d {header.d} with {held!r} in it")
    index = IndexBinaryFromFloat(held)
    header.give(index)
    return index


@binary_indexes.writes(IndexBinaryIVF)
def write_binary_ivf(writer: Writer, index: IndexBinaryIVF) -> None:
    write_binary_header(writer, b"IBwF", index)
    writer.u64(index.nlist)
    writer.u64(index.nprobe)
    binary_indexes.write(writer, index._coarse())
    write_direct_map(writer, index.direct_map)
    write_lists(writer, index.invlists)


@binary_indexes.reads(b"IBwF")
def read_binary_ivf(reader: Reader, fourcc: bytes) -> IndexBinaryIVF:
    header = read_binary_header(reader)
    nlist, nprobe = reader.u64(), reader.u64()
    index = IndexBinaryIVF(read_binary_part(reader, header), header.d, nlist, own_invlists=False)
    header.give(index)
    index.nprobe, index.own_fields, index._ntotal = nprobe, True, header.ntotal
    index.direct_map = read_direct_map(reader)
    index.invlists, index.own_invlists = read_lists(reader), True
    if index.invlists is not None and (index.invlists.nlist, index.invlists.code_size) != (nlist, index.code_size):
        reader.fail(f"{index!r} of {nlist} lists has {index.invlists.nlist} of {index.invlists.code_size} bytes")
    return index


@binary_indexes.writes(IndexBinaryHNSW)
def write_binary_hnsw(writer: Writer, index: IndexBinaryHNSW) -> None:
    write_binary_header(writer, b"IBHf", index)
    write_graph(writer, index.hnsw)
    binary_indexes.write(writer, index.storage)


@binary_indexes.reads(b"IBHf")
def read_binary_hnsw(reader: Reader, fourcc: bytes) -> IndexBinaryHNSW:
    header = read_binary_header(reader)
    hnsw = HNSW()
    read_graph(reader, hnsw, header.ntotal)
    index = IndexBinaryHNSW(read_binary_part(reader, header))
    header.give(index)
    index._hnsw, index.own_fields = hnsw, True
    if index.ntotal != header.ntotal:
        reader.fail(f"a graph of {header.ntotal} vectors with {index.storage!r}")
    return index
