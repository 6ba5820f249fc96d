"""Files of inverted files of whole and scalar-quantized vectors: IwFl, IwSq, and the older IvFl, IvFL, IvSQ, IwSQ."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch

from ..index import Index
from ..ivf.direct_map import DirectMap, pairs_of
from ..ivf.flat import IndexIVFFlat, IndexIVFScalarQuantizer
from ..ivf.index import IndexIVF
from ..ivf.inverted_lists import ArrayInvertedLists, InvertedLists
from .header import read_header, write_header
from .inverted_lists import read_lists, write_lists
from .registry import indexes
from .scalar_quantizer import read_scalar_quantizer, write_scalar_quantizer
from .stream import NumpyArray, Reader, Writer

Kind = TypeVar("Kind", bound=IndexIVF)


def write_ivf_header(writer: Writer, index: IndexIVF) -> None:
    """What the files of every inverted file begin with."""
    write_header(writer, index)
    writer.u64(index.nlist)
    writer.u64(index.nprobe)
    indexes.write(writer, index._coarse())
    write_direct_map(writer, index.direct_map)


def read_ivf_header(reader: Reader, index: Kind, *, with_ids: bool = False) -> tuple[Kind, list[NumpyArray]]:
    """Fill an index that was made without arguments; the oldest files hold the ids of each list here."""
    header = read_header(reader)
    header.give(index)
    index.ntotal = header.ntotal
    index.nlist, index.nprobe = reader.u64(), reader.u64()
    quantizer = indexes.read(reader)
    if not isinstance(quantizer, Index) or quantizer.d != header.d:
        reader.fail(f"an inverted file of d {header.d} with {quantizer!r} for its quantizer")
    index.quantizer, index.own_fields = quantizer, True
    ids = [reader.vector("<i8") for _ in range(index.nlist)] if with_ids else []
    index.direct_map = read_direct_map(reader)
    return index, ids


def write_direct_map(writer: Writer, direct_map: DirectMap) -> None:
    writer.u8(direct_map.type)
    writer.vector(direct_map._array.numpy(), "<i8")
    if direct_map.type == DirectMap.Hashtable:
        writer.vector(pairs_of(direct_map._hashtable), "<i8", size=len(direct_map._hashtable))


def read_direct_map(reader: Reader) -> DirectMap:
    direct_map = DirectMap()
    direct_map.type = reader.u8()
    if direct_map.type > DirectMap.Hashtable:
        reader.fail(f"a direct map of type {direct_map.type}")
    direct_map._array = torch.from_numpy(reader.vector("<i8").astype(np.int64))
    if direct_map.type == DirectMap.Hashtable:
        pairs = reader.array(2 * reader.u64(), "<i8").tolist()
        direct_map._hashtable = dict(zip(pairs[::2], pairs[1::2], strict=True))
    return direct_map


def give_lists(reader: Reader, index: IndexIVF, lists: InvertedLists | None) -> None:
    """Lists that must be those of the index."""
    if lists is not None and (lists.nlist, lists.code_size) != (index.nlist, index.code_size):
        reader.fail(
            f"lists of nlist {lists.nlist} and code_size {lists.code_size} in an index of "
            f"{index.nlist} and {index.code_size}"
        )
    index.invlists, index.own_invlists = lists, True


@indexes.writes(IndexIVFFlat)
def write_ivf_flat(writer: Writer, index: IndexIVFFlat) -> None:
    writer.fourcc(b"IwFl")
    write_ivf_header(writer, index)
    write_lists(writer, index.invlists)


@indexes.reads(b"IwFl", b"IvFl", b"IvFL")
def read_ivf_flat(reader: Reader, fourcc: bytes) -> IndexIVFFlat:
    index, ids = read_ivf_header(reader, IndexIVFFlat(), with_ids=fourcc != b"IwFl")
    index.code_size = 4 * index.d
    if fourcc == b"IwFl":
        give_lists(reader, index, read_lists(reader))
    else:
        give_lists(reader, index, old_lists(reader, ids, index.code_size, "u1" if fourcc == b"IvFL" else "<f4"))
    return index


@indexes.writes(IndexIVFScalarQuantizer)
def write_ivf_scalar_quantizer(writer: Writer, index: IndexIVFScalarQuantizer) -> None:
    writer.fourcc(b"IwSq")
    write_ivf_header(writer, index)
    write_scalar_quantizer(writer, index.sq)
    writer.u64(index.code_size)
    writer.u8(index.by_residual)
    write_lists(writer, index.invlists)


@indexes.reads(b"IwSq", b"IwSQ", b"IvSQ")
def read_ivf_scalar_quantizer(reader: Reader, fourcc: bytes) -> IndexIVFScalarQuantizer:
    index, ids = read_ivf_header(reader, IndexIVFScalarQuantizer(), with_ids=fourcc == b"IvSQ")
    index.sq = read_scalar_quantizer(reader)
    index.code_size = reader.u64()
    if (index.sq.d, index.sq.code_size) != (index.d, index.code_size):
        reader.fail(f"a quantizer of d {index.sq.d} in an inverted file of d {index.d}")
    index.by_residual = bool(reader.u8()) if fourcc == b"IwSq" else True
    lists = old_lists(reader, ids, index.code_size, "u1") if fourcc == b"IvSQ" else read_lists(reader)
    give_lists(reader, index, lists)
    return index


def old_lists(reader: Reader, ids: list[NumpyArray], code_size: int, dtype: str) -> ArrayInvertedLists:
    """The codes of each list, behind the ids of all."""
    codes = [reader.vector(dtype, len(mine) * code_size // np.dtype(dtype).itemsize).view(np.uint8) for mine in ids]
    nothing = np.empty(0, np.uint8)
    rows = torch.from_numpy(np.concatenate([nothing, *codes])).reshape(-1, code_size)
    numbers = torch.from_numpy(np.concatenate([nothing.astype(np.int64), *ids]))
    return ArrayInvertedLists.over(rows, numbers, torch.tensor([len(mine) for mine in ids], dtype=torch.int64))
