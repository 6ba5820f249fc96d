"""Files of scalar quantizers (inside others) and of their index: IxSQ."""

from __future__ import annotations

import torch

from ..codes.index_scalar_quantizer import IndexScalarQuantizer
from ..codes.scalar_quantizer import ScalarQuantizer
from .header import read_header, write_header
from .registry import indexes
from .stream import Reader, Writer


def write_scalar_quantizer(writer: Writer, quantizer: ScalarQuantizer) -> None:
    writer.i32(quantizer.qtype)
    writer.i32(quantizer.rangestat)
    writer.f32(quantizer.rangestat_arg)
    writer.u64(quantizer.d)
    writer.u64(quantizer.code_size)
    writer.vector(quantizer._trained.numpy(), "<f4")


def read_scalar_quantizer(reader: Reader) -> ScalarQuantizer:
    qtype, rangestat, argument = reader.i32(), reader.i32(), reader.f32()
    d, code_size = reader.u64(), reader.u64()
    quantizer = ScalarQuantizer(d, qtype)
    quantizer.rangestat, quantizer.rangestat_arg = rangestat, argument
    quantizer._trained = torch.from_numpy(reader.vector("<f4"))
    ranges = 2 if quantizer._uniform else 2 * d if quantizer._has_ranges else 0
    if code_size != quantizer.code_size or quantizer._trained.numel() not in (0, ranges):
        reader.fail(f"qtype {qtype} of d {d} with codes of {code_size} and {quantizer._trained.numel()} trained values")
    return quantizer


@indexes.writes(IndexScalarQuantizer)
def write_index_scalar_quantizer(writer: Writer, index: IndexScalarQuantizer) -> None:
    writer.fourcc(b"IxSQ")
    write_header(writer, index)
    write_scalar_quantizer(writer, index.sq)
    writer.vector(index._codes.numpy(), "u1")


@indexes.reads(b"IxSQ")
def read_index_scalar_quantizer(reader: Reader, fourcc: bytes) -> IndexScalarQuantizer:
    header = read_header(reader)
    index = IndexScalarQuantizer(header.d)
    header.give(index)
    index.sq = read_scalar_quantizer(reader)
    if index.sq.d != header.d:
        reader.fail(f"an index of d {header.d} with a quantizer of d {index.sq.d}")
    index._codes = torch.from_numpy(reader.vector("u1", header.ntotal * index.sq.code_size))
    return index
