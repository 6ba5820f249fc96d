"""Files of flat indexes: IxFI (inner product), IxF2 (L2), IxFl (other metrics)."""

from __future__ import annotations

import torch

from ..flat import IndexFlat, IndexFlatIP, IndexFlatL2
from ..metrics import METRIC_INNER_PRODUCT, METRIC_L2
from .header import read_header, write_header
from .registry import indexes
from .stream import Reader, Writer

_FOURCC = {METRIC_INNER_PRODUCT: b"IxFI", METRIC_L2: b"IxF2"}


@indexes.writes(IndexFlat)
def write_flat(writer: Writer, index: IndexFlat) -> None:
    writer.fourcc(_FOURCC.get(index.metric_type, b"IxFl"))
    write_header(writer, index)
    writer.vector(index.vectors.cpu().numpy(), "<f4")


@indexes.reads(b"IxFI", b"IxF2", b"IxFl")
def read_flat(reader: Reader, fourcc: bytes) -> IndexFlat:
    header = read_header(reader)
    if fourcc != _FOURCC.get(header.metric_type, b"IxFl") and fourcc != b"IxFl":
        reader.fail(f"{fourcc!r} with metric {header.metric_type}")
    index: IndexFlat
    if fourcc == b"IxFI":
        index = IndexFlatIP(header.d)
    elif fourcc == b"IxF2":
        index = IndexFlatL2(header.d)
    else:
        index = IndexFlat(header.d, header.metric_type)
        index.metric_arg = header.metric_arg
    vectors = reader.vector("<f4", header.d * header.ntotal).reshape(header.ntotal, header.d)
    index._adopt(torch.from_numpy(vectors))
    return index
