"""Files of product quantizers and of IndexPQ: IxPq, and the older IxPQ and IxPo."""

from __future__ import annotations

from typing import Any

import torch

from ..codes.index_pq import IndexPQ
from ..codes.product_quantizer import ProductQuantizer
from ..index_io import read_from, write_to
from ..metrics import METRIC_L2
from .header import read_header, write_header
from .registry import Registry, indexes
from .stream import Reader, Writer


def write_quantizer(writer: Writer, pq: ProductQuantizer) -> None:
    writer.u64(pq.d)
    writer.u64(pq.M)
    writer.u64(pq.nbits)
    writer.vector(pq._centroids.numpy(), "<f4")


def read_quantizer(reader: Reader) -> ProductQuantizer:
    d, num_codes, nbits = reader.u64(), reader.u64(), reader.u64()
    if num_codes <= 0 or d % num_codes or nbits > 16:
        reader.fail(f"a product quantizer of d {d}, M {num_codes} and nbits {nbits}")
    # The number of centroids is read and compared before any memory is asked for.
    centroids = torch.from_numpy(reader.vector("<f4", d << nbits))
    pq = ProductQuantizer(0, 1, 0)
    pq.d, pq.M, pq.nbits = d, num_codes, nbits
    pq._centroids = centroids.reshape(num_codes, 1 << nbits, d // num_codes)
    pq.set_derived_values()
    return pq


@indexes.writes(IndexPQ)
def write_pq(writer: Writer, index: IndexPQ) -> None:
    writer.fourcc(b"IxPq")
    write_header(writer, index)
    write_quantizer(writer, index.pq)
    writer.vector(index._codes.numpy(), "u1")
    writer.i32(index.search_type)
    writer.u8(index.encode_signs)
    writer.i32(index.polysemous_ht)


@indexes.reads(b"IxPq", b"IxPQ", b"IxPo")
def read_pq(reader: Reader, fourcc: bytes) -> IndexPQ:
    header = read_header(reader)
    pq = read_quantizer(reader)
    if pq.d != header.d:
        reader.fail(f"a quantizer of d {pq.d} in an index of d {header.d}")
    codes = torch.from_numpy(reader.vector("u1", header.ntotal * pq.code_size))
    index = IndexPQ()
    index.pq = pq
    header.give(index)
    index._codes = codes
    if fourcc != b"IxPQ":  # the oldest tells nothing of searches
        index.search_type, index.encode_signs, index.polysemous_ht = reader.i32(), bool(reader.u8()), reader.i32()
    if fourcc != b"IxPq":  # the older ones say METRIC_INNER_PRODUCT and mean METRIC_L2
        index.metric_type = METRIC_L2
    return index


# What write_ProductQuantizer and read_ProductQuantizer hold, without a fourcc.
class _Quantizers(Registry[ProductQuantizer]):
    def read(self, reader: Reader) -> ProductQuantizer:
        return read_quantizer(reader)

    def write(self, writer: Writer, value: Any) -> None:
        if not isinstance(value, ProductQuantizer):
            raise TypeError(f"write_ProductQuantizer: a ProductQuantizer is needed, got {type(value).__name__}")
        write_quantizer(writer, value)


product_quantizers = _Quantizers("product quantizer")


def write_ProductQuantizer(pq: ProductQuantizer, f: Any) -> None:
    """Write a product quantizer to a file (a name, a Path) or to an IOWriter."""
    write_to(product_quantizers, pq, f)


def read_ProductQuantizer(f: Any) -> ProductQuantizer:
    """Read what write_ProductQuantizer wrote. Raises RuntimeError for anything else."""
    return read_from(product_quantizers, f)
