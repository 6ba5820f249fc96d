"""Files of IndexPreTransform: IxPT."""

from __future__ import annotations

from ..index import Index
from ..transforms.pre_transform import IndexPreTransform
from .header import read_header, write_header
from .registry import indexes, transforms
from .stream import Reader, Writer


@indexes.writes(IndexPreTransform)
def write_pre_transform(writer: Writer, index: IndexPreTransform) -> None:
    writer.fourcc(b"IxPT")
    write_header(writer, index)
    writer.i32(len(index._chain))
    for transform in index._chain:
        transforms.write(writer, transform)
    indexes.write(writer, index.index)


@indexes.reads(b"IxPT")
def read_pre_transform(reader: Reader, fourcc: bytes) -> IndexPreTransform:
    header = read_header(reader)
    chain = [transforms.read(reader) for _ in range(reader.i32())]
    inner = indexes.read(reader)
    sizes = [header.d, *(d for transform in chain for d in (transform.d_in, transform.d_out)), inner.d]
    if not isinstance(inner, Index) or sizes[::2] != sizes[1::2]:
        reader.fail(f"transforms {chain} of vectors of d {header.d} for {inner!r}")
    index = IndexPreTransform(inner)
    index._chain = chain
    header.give(index)
    return index
