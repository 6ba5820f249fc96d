"""Files of binary hash tables: IBHh (IndexBinaryHash) and IBHm (IndexBinaryMultiHash)."""

from __future__ import annotations

import numpy as np
import torch

from ..binary.hash import Buckets, IndexBinaryHash, IndexBinaryMultiHash
from ..binary.index import IndexBinaryFlat
from ..bitstrings import pack_bitstrings
from ..pointers import NumpyArray
from .binary import read_binary_header, read_binary_part, write_binary_header
from .registry import binary_indexes
from .stream import Reader, Writer


@binary_indexes.writes(IndexBinaryHash)
def write_binary_hash(writer: Writer, index: IndexBinaryHash) -> None:
    write_binary_header(writer, b"IBHh", index)
    writer.i32(index.b)
    writer.i32(index.nflip)
    buckets = index._buckets()
    size_bits = int(buckets.sizes.max()).bit_length() if len(buckets.sizes) else 0
    writer.u64(len(buckets.hashes))
    writer.i32(size_bits)
    pairs = np.stack([buckets.hashes.numpy(), buckets.sizes.numpy()], 1).reshape(1, -1)
    writer.vector(pack_bitstrings(pairs, np.tile([index.b, size_bits], len(buckets.hashes))), "u1")
    for start, size in zip(buckets.starts.tolist(), buckets.sizes.tolist(), strict=True):
        places = buckets.order[start : start + size]
        writer.vector(index._ids[places].numpy(), "<i8")
        writer.vector(index._codes[places].numpy(), "u1")


@binary_indexes.reads(b"IBHh")
def read_binary_hash(reader: Reader, fourcc: bytes) -> IndexBinaryHash:
    header = read_binary_header(reader)
    b, nflip = reader.i32(), reader.i32()
    index = IndexBinaryHash(header.d, b)
    header.give(index)
    index.nflip = nflip
    num_buckets, size_bits = reader.u64(), reader.i32()
    bits = reader.vector("u1")
    if not 0 <= size_bits < 63 or len(bits) != (num_buckets * (b + size_bits) + 7) // 8:
        reader.fail(f"{len(bits)} bytes for {num_buckets} hashes of {b} bits and sizes of {size_bits}")
    # The hashes are those of the vectors.
    ids, codes = [np.empty(0, np.int64)], [np.empty(0, np.uint8)]
    for _ in range(num_buckets):
        ids.append(reader.vector("<i8"))
        codes.append(reader.vector("u1", len(ids[-1]) * index.code_size))
    index._ids = torch.from_numpy(np.concatenate(ids))
    index._codes = torch.from_numpy(np.concatenate(codes)).reshape(len(index._ids), index.code_size)
    if index.ntotal != header.ntotal:
        reader.fail(f"{index.ntotal} vectors in the tables, {header.ntotal} in the header")
    return index


@binary_indexes.writes(IndexBinaryMultiHash)
def write_binary_multi_hash(writer: Writer, index: IndexBinaryMultiHash) -> None:
    write_binary_header(writer, b"IBHm", index)
    binary_indexes.write(writer, index.storage)
    for number in (index.b, index.nhash, index.nflip):
        writer.i32(number)
    for table in index._tables():
        id_bits = max(0, index.ntotal - 1).bit_length()
        writer.i32(id_bits)
        writer.u64(len(table.hashes))
        writer.vector(_packed_table(table, index.b, id_bits), "u1")


def _packed_table(table: Buckets, b: int, id_bits: int) -> NumpyArray:
    """Of each bucket the hash, its size and its ids."""
    hashes, starts, sizes, order = (part.numpy() for part in table)
    first = starts + 2 * np.arange(len(hashes))
    numbers, widths = np.empty((2, len(order) + 2 * len(hashes)), np.int64)
    widths[:] = id_bits
    widths[first] = b
    inside = np.ones(len(numbers), bool)
    inside[first] = inside[first + 1] = False
    numbers[first], numbers[first + 1], numbers[inside] = hashes, sizes, order
    return pack_bitstrings(numbers[None], widths)


@binary_indexes.reads(b"IBHm")
def read_binary_multi_hash(reader: Reader, fourcc: bytes) -> IndexBinaryMultiHash:
    header = read_binary_header(reader)
    storage = read_binary_part(reader, header)
    b, nhash, nflip = reader.i32(), reader.i32(), reader.i32()
    if not isinstance(storage, IndexBinaryFlat) or storage.ntotal != header.ntotal:
        reader.fail(f"tables of {header.ntotal} vectors with {storage!r}")
    index = IndexBinaryMultiHash(header.d, nhash, b)
    header.give(index)
    index.storage, index.nflip = storage, nflip
    for _ in range(nhash):  # the tables are those of the vectors
        reader.i32()
        reader.u64()
        reader.vector("u1")
    return index
