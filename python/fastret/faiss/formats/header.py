"""What the files of all indexes have behind their fourcc."""

from __future__ import annotations

from typing import NamedTuple

from ..index import Index
from .stream import Reader, Writer

_UNUSED = 1 << 20  # two numbers that FAISS writes and does not read


class Header(NamedTuple):
    d: int
    ntotal: int
    is_trained: bool
    metric_type: int
    metric_arg: float

    def give(self, index: Index) -> None:
        """Set the fields of an index whose number of vectors is not what it holds itself."""
        index.d, index.is_trained = self.d, self.is_trained
        index.metric_type, index.metric_arg = self.metric_type, self.metric_arg


def write_header(writer: Writer, index: Index) -> None:
    if index.metric_type < 0:
        raise RuntimeError("write_index: FAISS's files know no METRIC_COSINE; normalize_L2 and METRIC_INNER_PRODUCT do")
    writer.i32(index.d)
    writer.i64(index.ntotal)
    writer.i64(_UNUSED)
    writer.i64(_UNUSED)
    writer.u8(index.is_trained)
    writer.i32(index.metric_type)
    if index.metric_type > 1:
        writer.f32(index.metric_arg)


def read_header(reader: Reader) -> Header:
    d, ntotal = reader.i32(), reader.i64()
    reader.i64()
    reader.i64()
    is_trained, metric_type = bool(reader.u8()), reader.i32()
    if d < 0 or ntotal < 0 or metric_type < 0:
        reader.fail(f"its header contradicts itself: d {d}, ntotal {ntotal}, metric {metric_type}")
    return Header(d, ntotal, is_trained, metric_type, reader.f32() if metric_type > 1 else 0.0)
