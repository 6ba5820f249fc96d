"""Files of IndexIVFPQ (IwPQ, the older IvPQ), IndexIVFPQR (IwQR, the older IvQR) and IndexIVFPQFastScan (IwPf)."""

from __future__ import annotations

import torch

from ..codes.pq_fast_scan import BLOCK_ROWS, packed_blocks, unpacked_blocks
from ..ivf.inverted_lists import ArrayInvertedLists
from ..ivf.pq import IndexIVFPQ, IndexIVFProductCodes
from ..ivf.pq_fast_scan import IndexIVFPQFastScan
from ..ivf.pqr import IndexIVFPQR
from .inverted_lists import read_lists, write_lists
from .ivf import give_lists, old_lists, read_ivf_header, write_ivf_header
from .pq import read_quantizer, write_quantizer
from .registry import indexes
from .stream import IO_FLAG_SKIP_PRECOMPUTE_TABLE, NumpyArray, Reader, Writer

_NO_CODE_SIZE = (1 << 64) - 1  # of lists that are stored in blocks


@indexes.writes(IndexIVFPQ)
def write_ivf_pq(writer: Writer, index: IndexIVFPQ) -> None:
    writer.fourcc(b"IwQR" if isinstance(index, IndexIVFPQR) else b"IwPQ")
    _write_beginning(writer, index)
    write_quantizer(writer, index.pq)
    write_lists(writer, index.invlists)
    if isinstance(index, IndexIVFPQR):
        write_quantizer(writer, index.refine_pq)
        writer.vector(index._refine_codes.numpy(), "u1")
        writer.f32(index.k_factor)


@indexes.reads(b"IwPQ", b"IwQR", b"IvPQ", b"IvQR")
def read_ivf_pq(reader: Reader, fourcc: bytes) -> IndexIVFPQ:
    index = IndexIVFPQR() if fourcc.endswith(b"QR") else IndexIVFPQ()
    ids = _read_beginning(reader, index, with_ids=fourcc.startswith(b"Iv"))
    _read_quantizer(reader, index)
    give_lists(reader, index, old_lists(reader, ids, index.code_size, "u1") if ids else read_lists(reader))
    _finish(reader, index)
    if isinstance(index, IndexIVFPQR):
        index.refine_pq = read_quantizer(reader)
        index.refine_pq.cp.max_points_per_centroid = IndexIVFPQR().refine_pq.cp.max_points_per_centroid
        if index.refine_pq.d != index.d:
            reader.fail(f"a second quantizer of d {index.refine_pq.d} in an inverted file of d {index.d}")
        index._refine_codes = torch.from_numpy(reader.vector("u1", index.ntotal * index.refine_pq.code_size))
        index.k_factor = reader.f32()
    return index


@indexes.writes(IndexIVFPQFastScan)
def write_ivf_pq_fast_scan(writer: Writer, index: IndexIVFPQFastScan) -> None:
    writer.fourcc(b"IwPf")
    _write_beginning(writer, index)
    writer.i32(index.bbs)
    writer.u64(index.M2)
    writer.i32(index.implem)
    writer.u64(index.qbs2)
    write_quantizer(writer, index.pq)
    writer.fourcc(b"ilbl")
    for number in (index.nlist, _NO_CODE_SIZE, index.bbs, index.bbs * index.code_size):
        writer.u64(number)
    for list_no in range(index.nlist):
        codes, list_ids = index._lists()._list(list_no)
        writer.vector(list_ids.numpy(), "<i8")
        writer.vector(packed_blocks(codes, index.bbs).numpy(), "u1")


@indexes.reads(b"IwPf")
def read_ivf_pq_fast_scan(reader: Reader, fourcc: bytes) -> IndexIVFPQFastScan:
    index = IndexIVFPQFastScan()
    _read_beginning(reader, index)
    index.bbs, pairs, index.implem, index.qbs2 = reader.i32(), reader.u64(), reader.i32(), reader.u64()
    _read_quantizer(reader, index)
    if index.pq.nbits != 4 or pairs != index.M2 or index.bbs <= 0 or index.bbs % BLOCK_ROWS:
        reader.fail(f"codes of {index.pq.nbits} bits in blocks of {index.bbs} rows")
    if reader.fourcc() != b"ilbl":
        reader.fail("no lists in blocks")
    header = [reader.u64() for _ in range(4)]
    if header[0] != index.nlist or header[2:] != [index.bbs, index.bbs * index.code_size]:
        reader.fail(f"lists {header} in an index of {index.nlist}")
    codes, ids = [torch.empty(0, index.code_size, dtype=torch.uint8)], [torch.empty(0, dtype=torch.int64)]
    for _ in range(index.nlist):
        ids.append(torch.from_numpy(reader.vector("<i8")))
        n = len(ids[-1])
        blocks = torch.from_numpy(reader.vector("u1", -(-n // index.bbs) * index.bbs * index.code_size))
        codes.append(unpacked_blocks(blocks, n, index.code_size, index.bbs))
    sizes = torch.tensor([len(mine) for mine in ids[1:]], dtype=torch.int64)
    give_lists(reader, index, ArrayInvertedLists.over(torch.cat(codes), torch.cat(ids), sizes))
    _finish(reader, index)
    return index


def _write_beginning(writer: Writer, index: IndexIVFProductCodes) -> None:
    write_ivf_header(writer, index)
    writer.u8(index.by_residual)
    writer.u64(index.code_size)


def _read_beginning(reader: Reader, index: IndexIVFProductCodes, *, with_ids: bool = False) -> list[NumpyArray]:
    _, ids = read_ivf_header(reader, index, with_ids=with_ids)
    index.by_residual, index.code_size = bool(reader.u8()), reader.u64()
    return ids


def _read_quantizer(reader: Reader, index: IndexIVFProductCodes) -> None:
    index.pq = read_quantizer(reader)
    if (index.pq.d, index.pq.code_size) != (index.d, index.code_size):
        reader.fail(f"codes of d {index.pq.d} in an inverted file of d {index.d}")


def _finish(reader: Reader, index: IndexIVFProductCodes) -> None:
    """As FAISS does, whose tables are not in the file."""
    if index.is_trained and index.by_residual and not reader.io_flags & IO_FLAG_SKIP_PRECOMPUTE_TABLE:
        index.precompute_table()
