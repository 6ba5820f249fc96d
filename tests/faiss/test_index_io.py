"""FAISS's flat files: what one library writes the other reads, and damage is named."""

from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import pytest

import fastret.faiss as ours

theirs = pytest.importorskip("faiss")

MAKERS = ["IndexFlatIP", "IndexFlatL2"]


@pytest.fixture
def vectors(generator: np.random.Generator) -> np.ndarray:
    return generator.standard_normal((20, 8), dtype=np.float32)


@pytest.mark.parametrize("name", MAKERS)
def test_the_files_are_the_same_bytes(tmp_path: Path, name: str, vectors: np.ndarray) -> None:
    for module, file in ((ours, "ours"), (theirs, "theirs")):
        index = getattr(module, name)(8)
        index.add(vectors)
        module.write_index(index, str(tmp_path / file))
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("n", [0, 20])
def test_each_reads_what_the_other_wrote(tmp_path: Path, name: str, n: int, vectors: np.ndarray) -> None:
    for writer, reader in ((ours, theirs), (theirs, ours)):
        path = str(tmp_path / "index")
        index = getattr(writer, name)(8)
        index.add(vectors[:n])
        writer.write_index(index, path)
        read = reader.read_index(path)
        assert type(read).__name__ == name
        assert (read.ntotal, read.d, read.metric_type) == (n, 8, index.metric_type)
        np.testing.assert_array_equal(read.reconstruct_n(), vectors[:n])
        np.testing.assert_array_equal(read.search(vectors[:3], 5)[1], index.search(vectors[:3], 5)[1])


def test_a_path_object_will_do_and_a_read_index_takes_more(tmp_path: Path, vectors: np.ndarray) -> None:
    index = ours.IndexFlat(8)
    index.add(vectors)
    ours.write_index(index, tmp_path / "index")
    read = ours.read_index(tmp_path / "index")
    read.add(vectors)
    assert isinstance(read, ours.IndexFlatL2)
    assert read.ntotal == 40


@pytest.fixture
def written(tmp_path: Path, vectors: np.ndarray) -> Path:
    index = theirs.IndexFlatIP(8)
    index.add(vectors)
    theirs.write_index(index, str(tmp_path / "index"))
    return tmp_path / "index"


def test_every_truncation_is_named(written: Path) -> None:
    contents = written.read_bytes()
    for length in [*range(50), len(contents) - 1]:
        written.write_bytes(contents[:length])
        with pytest.raises(RuntimeError, match=f"^read_index: {written} .*"):
            ours.read_index(written)
    written.write_bytes(contents + b"\0")
    with pytest.raises(
        RuntimeError, match=f"^read_index: {written} was altered: it goes on behind the end of its index$"
    ):
        ours.read_index(written)


@pytest.mark.parametrize("position", [0, 4, 8, 33, 37])  # fourcc, d, ntotal, metric_type, number of floats
def test_an_altered_header_is_named(written: Path, position: int) -> None:
    contents = bytearray(written.read_bytes())
    contents[position] ^= 0x01
    written.write_bytes(contents)
    with pytest.raises(RuntimeError, match=f"^read_index: {written} "):
        ours.read_index(written)


def test_an_index_of_another_kind_is_named(written: Path) -> None:
    written.write_bytes(b"IxZZ" + written.read_bytes()[4:])
    with pytest.raises(
        RuntimeError,
        match=rf"^read_index: {written} holds b'IxZZ' where a known index must be; real faiss may read it: "
        "pip install faiss-cpu, import faiss$",
    ):
        ours.read_index(written)


@pytest.mark.parametrize("name", MAKERS)
def test_bytes_and_memory_maps_hold_the_same_index(tmp_path: Path, name: str, vectors: np.ndarray) -> None:
    index, path = getattr(ours, name)(8), tmp_path / "index"
    index.add(vectors)
    ours.write_index(index, path)
    assert ours.serialize_index(index).tobytes() == path.read_bytes()
    for read in (
        ours.deserialize_index(np.frombuffer(path.read_bytes(), np.uint8)),
        ours.read_index(path, ours.IO_FLAG_MMAP_IFC),
        ours.clone_index(index),
    ):
        for answer, expected in zip(read.search(vectors, 5), index.search(vectors, 5), strict=True):
            np.testing.assert_array_equal(answer, expected)
        read.add(vectors)  # a copy: neither the file nor the other index changes
        assert (read.ntotal, index.ntotal) == (40, 20)
    np.testing.assert_array_equal(ours.read_index(path).reconstruct_n(), vectors)


def test_a_file_that_is_not_there_is_a_runtime_error(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "index"
    with pytest.raises(RuntimeError, match=f"^read_index: could not read {path}: "):
        ours.read_index(path)
    with pytest.raises(RuntimeError, match=f"^write_index: could not write {path}: "):
        ours.write_index(ours.IndexFlatL2(2), path)


def test_only_an_index_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"^write_index: int is no index that has a file format$"):
        ours.write_index(3, tmp_path / "index")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^write_index: IndexFlatL2 is no index that has a file format$"):
        ours.write_index(theirs.IndexFlatL2(2), tmp_path / "index")


def test_a_full_disk_leaves_the_previous_file(written: Path) -> None:
    previous = written.read_bytes()
    index = ours.IndexFlatIP(8)
    index.add(np.zeros((10_000, 8), dtype=np.float32))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(RuntimeError, match=f"^write_index: could not write {written}: .*File too large"):
            ours.write_index(index, written)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert written.read_bytes() == previous
    assert [file.name for file in written.parent.iterdir()] == ["index"]
