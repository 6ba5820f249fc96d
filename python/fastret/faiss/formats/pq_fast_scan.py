"""Files of IndexPQFastScan: IPfs."""

from __future__ import annotations

import torch

from ..codes.pq_fast_scan import BLOCK_ROWS, IndexPQFastScan, unpacked_blocks
from .header import read_header, write_header
from .pq import read_quantizer, write_quantizer
from .registry import indexes
from .stream import Reader, Writer


@indexes.writes(IndexPQFastScan)
def write_pq_fast_scan(writer: Writer, index: IndexPQFastScan) -> None:
    writer.fourcc(b"IPfs")
    write_header(writer, index)
    write_quantizer(writer, index.pq)
    for number in (index.implem, index.bbs, index.qbs):
        writer.i32(number)
    writer.u64(index.ntotal2)
    writer.u64(index.M2)
    writer.vector(index._blocks.numpy(), "u1")


@indexes.reads(b"IPfs")
def read_pq_fast_scan(reader: Reader, fourcc: bytes) -> IndexPQFastScan:
    header = read_header(reader)
    pq = read_quantizer(reader)
    implem, bbs, qbs = reader.i32(), reader.i32(), reader.i32()
    if pq.d != header.d or pq.nbits != 4 or bbs <= 0 or bbs % BLOCK_ROWS:
        reader.fail(f"codes of {pq.nbits} bits in blocks of {bbs} rows")
    rows = -(-header.ntotal // bbs) * bbs
    if reader.u64() != rows or reader.u64() != pq.M + pq.M % 2:
        reader.fail("its header contradicts itself")
    blocks = torch.from_numpy(reader.vector("u1", rows * pq.code_size))
    index = IndexPQFastScan()
    index.pq = pq
    header.give(index)
    index.implem, index.bbs, index.qbs = implem, bbs, qbs
    index._codes = unpacked_blocks(blocks, header.ntotal, pq.code_size, bbs)
    return index
