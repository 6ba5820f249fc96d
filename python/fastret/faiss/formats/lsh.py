"""Files of IndexLSH: IxHe."""

from __future__ import annotations

import torch

from ..codes.lsh import IndexLSH
from ..transforms.linear import RandomRotationMatrix
from .header import read_header, write_header
from .registry import indexes, transforms
from .stream import Reader, Writer


@indexes.writes(IndexLSH)
def write_lsh(writer: Writer, index: IndexLSH) -> None:
    writer.fourcc(b"IxHe")
    write_header(writer, index)
    writer.i32(index.nbits)
    writer.u8(index.rotate_data)
    writer.u8(index.train_thresholds)
    writer.vector(index._thresholds.numpy(), "<f4")
    writer.i32(index.code_size)
    transforms.write(writer, index.rrot)
    writer.vector(index._codes.numpy(), "u1")


@indexes.reads(b"IxHe")
def read_lsh(reader: Reader, fourcc: bytes) -> IndexLSH:
    header = read_header(reader)
    nbits, rotate_data, train_thresholds = reader.i32(), bool(reader.u8()), bool(reader.u8())
    thresholds = torch.from_numpy(reader.vector("<f4"))
    code_size = reader.i32()
    rotation = transforms.read(reader)
    if (
        not 0 <= nbits <= 8 * code_size < nbits + 8
        or not isinstance(rotation, RandomRotationMatrix)
        or (rotate_data and (rotation.d_in, rotation.d_out, rotation._A.numel()) != (header.d, nbits, header.d * nbits))
        or not (rotate_data or nbits <= header.d)
        or (train_thresholds and header.is_trained and len(thresholds) != nbits)
    ):
        reader.fail(f"{nbits} bits in {code_size} bytes, {len(thresholds)} thresholds and {rotation!r}, d {header.d}")
    index = IndexLSH(header.d, min(nbits, header.d), False)
    header.give(index)
    index.nbits, index.rotate_data, index.train_thresholds = nbits, rotate_data, train_thresholds
    index.rrot, index._thresholds = rotation, thresholds
    index._codes = torch.from_numpy(reader.vector("u1", header.ntotal * code_size))
    return index
