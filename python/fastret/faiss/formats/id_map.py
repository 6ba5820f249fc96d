"""Files of indexes with ids of one's own: IxMp (IndexIDMap) and IxM2 (IndexIDMap2)."""

from __future__ import annotations

import torch

from ..id_map import IndexIDMap, IndexIDMap2
from ..index import Index
from .header import read_header, write_header
from .registry import indexes
from .stream import Reader, Writer


@indexes.writes(IndexIDMap)
def write_id_map(writer: Writer, index: IndexIDMap) -> None:
    writer.fourcc(b"IxM2" if isinstance(index, IndexIDMap2) else b"IxMp")
    write_header(writer, index)
    indexes.write(writer, index.index)
    writer.vector(index._ids.numpy(), "<i8")


@indexes.reads(b"IxMp", b"IxM2")
def read_id_map(reader: Reader, fourcc: bytes) -> IndexIDMap:
    header = read_header(reader)
    held = indexes.read(reader)
    if not isinstance(held, Index):
        reader.fail(f"ids for a {type(held).__name__}")
    ids = torch.from_numpy(reader.vector("<i8", header.ntotal))
    index = IndexIDMap2.over(held, ids) if fourcc == b"IxM2" else IndexIDMap.over(held, ids)
    return index
