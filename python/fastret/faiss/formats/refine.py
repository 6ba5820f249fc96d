"""Files of IndexRefine and IndexRefineFlat: IxRF."""

from __future__ import annotations

from ..flat import IndexFlat
from ..refine import IndexRefine, IndexRefineFlat
from .header import read_header, write_header
from .registry import indexes
from .stream import Reader, Writer


@indexes.writes(IndexRefine)
def write_refine(writer: Writer, index: IndexRefine) -> None:
    writer.fourcc(b"IxRF")
    write_header(writer, index)
    indexes.write(writer, index.base_index)
    indexes.write(writer, index.refine_index)
    writer.f32(index.k_factor)


@indexes.reads(b"IxRF")
def read_refine(reader: Reader, fourcc: bytes) -> IndexRefine:
    header = read_header(reader)
    base_index, refine_index = indexes.read(reader), indexes.read(reader)
    kind = IndexRefineFlat if isinstance(refine_index, IndexFlat) else IndexRefine
    index = kind.__new__(kind)
    try:
        IndexRefine.__init__(index, base_index, refine_index)
    except RuntimeError as error:
        reader.fail(str(error))
    index.own_refine_index = True
    index.k_factor = reader.f32()
    header.give(index)
    return index
