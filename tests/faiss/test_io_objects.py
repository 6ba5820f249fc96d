"""Readers and writers of bytes beside those of faiss-cpu, and vectors that stay in a mapped file."""

from __future__ import annotations

import io
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import fastret.faiss as ours

theirs = pytest.importorskip("faiss")

BOTH = pytest.mark.parametrize("faiss", [ours, theirs], ids=["ours", "theirs"])


def small_index(faiss: ModuleType) -> Any:
    index = faiss.IndexFlatL2(4)
    index.add(np.arange(80, dtype=np.float32).reshape(20, 4))
    return index


@pytest.fixture
def data() -> bytes:
    return bytes(theirs.serialize_index(small_index(theirs)).tobytes())


@BOTH
def test_vectors_are_written_and_read(faiss: ModuleType, data: bytes) -> None:
    writer, reader = faiss.VectorIOWriter(), faiss.VectorIOReader()
    faiss.write_index(small_index(faiss), writer)
    assert faiss.vector_to_array(writer.data).tobytes() == data
    assert writer.write_bytes(b"abc") == 3
    assert writer(faiss.swig_ptr(np.arange(3, dtype=np.int32)), 4, 3) == 3
    assert writer.data.size() == len(data) + 15
    faiss.copy_array_to_vector(faiss.vector_to_array(writer.data), reader.data)
    assert faiss.read_index(reader).ntotal == 20
    assert reader.rp == len(data)
    assert reader.read_bytes(3) == b"abc"
    numbers = np.zeros(5, np.int32)
    assert reader(faiss.swig_ptr(numbers), 4, 5) == 3
    np.testing.assert_array_equal(numbers, [0, 1, 2, 0, 0])
    assert reader.read_bytes(1) == b""
    reader.rp = 0
    assert reader.read_bytes(4) == b"IxF2"


@BOTH
def test_files_are_written_and_read(faiss: ModuleType, data: bytes, tmp_path: Path) -> None:
    name = str(tmp_path / "index")
    faiss.write_index(small_index(faiss), faiss.FileIOWriter(name))
    assert (tmp_path / "index").read_bytes() == data
    reader = faiss.FileIOReader(name)
    assert reader.name == name
    assert reader.filedescriptor() > 0
    assert faiss.read_index(reader).ntotal == 20
    assert reader.read_bytes(9) == b""
    with pytest.raises(RuntimeError):
        faiss.FileIOReader(name + "2")
    with pytest.raises(RuntimeError):
        faiss.FileIOWriter(str(tmp_path / "no" / "folder"))
    with pytest.raises(RuntimeError):
        faiss.VectorIOReader().filedescriptor()


@BOTH
@pytest.mark.parametrize("bs", [3, 1 << 20])
def test_callbacks_are_written_to_and_read_from(faiss: ModuleType, bs: int, data: bytes) -> None:
    parts: list[bytes] = []
    faiss.write_index(small_index(faiss), faiss.PyCallbackIOWriter(parts.append, bs))
    assert b"".join(parts) == data
    assert max(map(len, parts)) <= bs
    reader = faiss.PyCallbackIOReader(io.BytesIO(data).read, bs)
    assert faiss.read_index(reader).ntotal == 20
    assert faiss.PyCallbackIOReader(io.BytesIO(data).read, bs).read_bytes(4) == b"IxF2"


@BOTH
def test_callbacks_that_fail(faiss: ModuleType) -> None:
    def fail(argument: Any) -> bytes:
        raise ZeroDivisionError

    for callback in (lambda n: b"", lambda n: "abc", lambda n: b"a" * (n + 5)):
        with pytest.raises(RuntimeError):
            faiss.read_index(faiss.PyCallbackIOReader(callback))
    with pytest.raises(ZeroDivisionError):
        faiss.read_index(faiss.PyCallbackIOReader(fail))
    with pytest.raises(ZeroDivisionError):
        faiss.write_index(small_index(faiss), faiss.PyCallbackIOWriter(fail))


@BOTH
@pytest.mark.parametrize("bsz", [7, 1 << 20])
def test_buffers_between(faiss: ModuleType, bsz: int, data: bytes) -> None:
    reads: list[int] = []
    stream = io.BytesIO(data)

    def read(size: int) -> bytes:
        reads.append(size)
        return stream.read(size)

    assert faiss.read_index(faiss.BufferedIOReader(faiss.PyCallbackIOReader(read), bsz)).ntotal == 20
    assert len(reads) <= len(data) // 7 + 2
    target = faiss.VectorIOWriter()
    writer = faiss.BufferedIOWriter(target, bsz)
    faiss.write_index(small_index(faiss), writer)
    del writer
    assert faiss.vector_to_array(target.data).tobytes() == data


@BOTH
def test_memory_is_read_where_it_is(faiss: ModuleType, data: bytes) -> None:
    memory = np.frombuffer(data * 2, np.uint8).copy()
    reader = faiss.ZeroCopyIOReader(faiss.swig_ptr(memory), memory.size)
    assert faiss.read_index(reader).ntotal == 20
    index = faiss.read_index(reader, faiss.IO_FLAG_MMAP_IFC)
    memory[-320:] = 0
    np.testing.assert_array_equal(index.reconstruct(3), np.zeros(4))
    reader.reset()
    assert reader.read_bytes(4) == b"IxF2"


@BOTH
def test_bases_cannot_be_made(faiss: ModuleType) -> None:
    for kind in (faiss.IOReader, faiss.IOWriter):
        with pytest.raises(AttributeError):
            kind()


@pytest.mark.parametrize("how", ["flag", "reader", "ondisk flag"])
@pytest.mark.parametrize("kind", ["IndexFlatIP", "IndexFlatL2"])
def test_mapped_vectors_stay_in_the_file_and_give_the_same_bits(
    how: str, kind: str, tmp_path: Path, generator: np.random.Generator
) -> None:
    vectors, queries = (generator.standard_normal((n, 17), dtype=np.float32) for n in (3000, 40))
    index = getattr(ours, kind)(17)
    index.add(vectors)
    path = tmp_path / "index"
    ours.write_index(index, path)
    if how == "reader":
        reader = ours.MappedFileIOReader(ours.MmappedFileMappingOwner(path))
        mapped = ours.read_index(reader, ours.IO_FLAG_MMAP_IFC)
    else:
        mapped = ours.read_index(path, ours.IO_FLAG_MMAP_IFC if how == "flag" else ours.IO_FLAG_MMAP)
    assert mapped.vectors.data_ptr() % 4 == 1  # behind a header of 45 bytes and the number of elements
    for _ in range(30):  # until vectors are packed
        answers = index.search(queries, 10), mapped.search(queries, 10)
        for answer, expected in zip(*answers, strict=True):
            np.testing.assert_array_equal(answer.view(np.uint8), expected.view(np.uint8))
    for answer, expected in zip(index.range_search(queries, 3.0), mapped.range_search(queries, 3.0), strict=True):
        np.testing.assert_array_equal(answer, expected)
    np.testing.assert_array_equal(index.reconstruct_n(), mapped.reconstruct_n())
    # What is added is not in the file, which stays as it was.
    before = path.read_bytes()
    for one in (index, mapped):
        one.add(vectors[:5])
        assert one.remove_ids(np.arange(3)) == 3
    assert path.read_bytes() == before
    np.testing.assert_array_equal(index.search(queries, 10)[1], mapped.search(queries, 10)[1])
    ours.write_index(mapped, tmp_path / "again")
    assert theirs.read_index(str(tmp_path / "again")).ntotal == 3002


def test_what_cannot_be_mapped_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    for name in ("empty", "missing"):
        with pytest.raises(RuntimeError, match=name):
            ours.read_index(tmp_path / name, ours.IO_FLAG_MMAP_IFC)
        with pytest.raises(RuntimeError, match=name):
            ours.MmappedFileMappingOwner(tmp_path / name)


def test_errors_name_the_reader() -> None:
    reader = ours.VectorIOReader()
    ours.copy_array_to_vector(np.frombuffer(b"IxF2abc", np.uint8).copy(), reader.data)
    with pytest.raises(RuntimeError, match="VectorIOReader was truncated"):
        ours.read_index(reader)
