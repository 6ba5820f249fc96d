"""Inverted lists inside files: ilar (all vectors), ilod (a reference to a file of OnDiskInvertedLists), il00 (none)."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch

from ..ivf.inverted_lists import ArrayInvertedLists, InvertedLists
from ..ivf.on_disk_lists import OnDiskInvertedLists
from .registry import inverted_lists
from .stream import (
    IO_FLAG_MMAP,
    IO_FLAG_ONDISK_SAME_DIR,
    IO_FLAG_READ_ONLY,
    IO_FLAG_SKIP_IVF_DATA,
    NumpyArray,
    Reader,
    Writer,
)


def write_lists(writer: Writer, lists: InvertedLists | None) -> None:
    if lists is None:
        writer.fourcc(b"il00")
    else:
        inverted_lists.write(writer, lists)


def read_lists(reader: Reader) -> InvertedLists | None:
    lists = inverted_lists.read(reader)
    assert lists is None or isinstance(lists, InvertedLists)
    return lists


@inverted_lists.reads(b"il00")
def read_none(reader: Reader, fourcc: bytes) -> None:
    return None


@inverted_lists.writes(ArrayInvertedLists)
def write_array_lists(writer: Writer, lists: ArrayInvertedLists) -> None:
    """All sizes, or where most lists are empty, the numbers and sizes of those that are not."""
    writer.fourcc(b"ilar")
    writer.u64(lists.nlist)
    writer.u64(lists.code_size)
    sizes = lists._sizes().numpy()
    filled = sizes.nonzero()[0]
    if len(filled) > lists.nlist // 2:
        writer.fourcc(b"full")
        writer.vector(sizes, "<u8")
    else:
        writer.fourcc(b"sprs")
        writer.vector(np.stack([filled, sizes[filled]], 1), "<u8")
    arena = lists._arena()
    writer.parts(_parts(arena.codes.numpy(), arena.ids.numpy(), arena.starts.numpy()[filled], sizes[filled]))


def _parts(codes: NumpyArray, ids: NumpyArray, starts: NumpyArray, sizes: NumpyArray) -> list[memoryview]:
    """The bytes of the codes and of the ids of each list in an arena, as files have them."""
    code_size = codes.shape[1]
    code_bytes, id_bytes = (part.reshape(-1).view(np.uint8).data for part in (codes, ids))
    parts: list[memoryview] = []
    for first, end in zip(starts.tolist(), (starts + sizes).tolist(), strict=True):
        parts += code_bytes[first * code_size : end * code_size], id_bytes[8 * first : 8 * end]
    return parts


@inverted_lists.reads(b"ilar")
def read_array_lists(reader: Reader, fourcc: bytes) -> InvertedLists:
    """Memory-mapped, the lists stay in the file and are read-only."""
    nlist, code_size = reader.u64(), reader.u64()
    kind = reader.fourcc()
    if kind == b"full":
        sizes = reader.vector("<i8", nlist)
    elif kind == b"sprs":
        pairs = reader.vector("<i8")
        if len(pairs) % 2 or nlist >= 1 << 40 or ((pairs[::2] < 0) | (pairs[::2] >= nlist)).any():
            reader.fail(f"{len(pairs)} numbers tell the sizes of {nlist} lists")
        sizes = np.zeros(nlist, np.int64)
        sizes[pairs[::2]] = pairs[1::2]
    else:
        reader.fail(f"{kind!r} where the sizes of lists must be")
    if (sizes < 0).any() or float(sizes.sum(dtype=float)) * (code_size + 8) > 1 << 62:
        reader.fail("its lists have impossible sizes")
    if reader.io_flags & IO_FLAG_MMAP == IO_FLAG_MMAP:
        memory = reader.array(int(sizes.sum()) * (code_size + 8), "u1")
        return OnDiskInvertedLists.over(memory, sizes, code_size)
    if reader.io_flags & IO_FLAG_SKIP_IVF_DATA:
        raise RuntimeError(f"read_index: the lists in {reader.name} are no file of their own that could be skipped")
    return _in_memory(reader, torch.from_numpy(sizes.astype(np.int64)), code_size)


def _in_memory(reader: Reader, sizes: torch.Tensor, code_size: int) -> ArrayInvertedLists:
    n = int(sizes.sum())
    # All of it is asked for at once, so that a file that promises too much is refused before.
    reader.require(n * (code_size + 8))
    codes, ids = reader.empty(n * code_size, "u1").reshape(n, code_size), reader.empty(n, "<i8")
    reader.fill_parts(_parts(codes, ids, (sizes.cumsum(0) - sizes).numpy(), sizes.numpy()))
    return ArrayInvertedLists.over(torch.from_numpy(codes), torch.from_numpy(ids), sizes)


@inverted_lists.writes(OnDiskInvertedLists)
def write_on_disk_lists(writer: Writer, lists: OnDiskInvertedLists) -> None:
    if not lists.filename:
        raise RuntimeError("write_index: these lists are inside another file, which cannot be referred to")
    if isinstance(lists._memory, np.memmap):
        lists._memory.flush()
    writer.fourcc(b"ilod")
    writer.u64(lists.nlist)
    writer.u64(lists.code_size)
    writer.vector(lists._table, "<i8", size=lists.nlist)
    writer.vector(np.array(lists._slots, np.int64), "<i8", size=len(lists._slots))
    writer.string(lists.filename.encode())
    writer.u64(lists.totsize)


@inverted_lists.reads(b"ilod")
def read_on_disk_lists(reader: Reader, fourcc: bytes) -> OnDiskInvertedLists:
    nlist, code_size = reader.u64(), reader.u64()
    if reader.u64() != nlist:
        reader.fail(f"it does not tell where {nlist} lists are")
    table = reader.array(3 * nlist, "<i8").reshape(nlist, 3)
    slots = reader.array(2 * reader.u64(), "<i8").reshape(-1, 2)
    lists = OnDiskInvertedLists(0, code_size, os.fsdecode(reader.string()))
    lists.nlist, lists.totsize = nlist, reader.u64()
    lists._table = table.astype(np.int64)
    lists._slots = [(offset, size) for offset, size in slots.tolist()]
    ends = table[:, 2] + table[:, 1] * (code_size + 8)
    if ((table[:, 0] > table[:, 1]) | (table[:, 1] > 0) & ((table[:, 2] < 0) | (ends > lists.totsize))).any():
        reader.fail("its lists lie beyond the end of their file")
    lists.read_only = bool(reader.io_flags & IO_FLAG_READ_ONLY)
    if reader.io_flags & IO_FLAG_ONDISK_SAME_DIR:
        lists.filename = str(Path(reader.name).parent / Path(lists.filename).name)
    if not reader.io_flags & IO_FLAG_SKIP_IVF_DATA:
        lists.do_mmap()
    return lists
