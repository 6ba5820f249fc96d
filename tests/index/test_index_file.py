"""save and load: whole or not at all, and every altered byte is noticed."""

from __future__ import annotations

import hashlib
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from fastret import FlatIndex
from fastret.index import file_format


def vectors(n: int, dim: int = 4, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


def small_index(metric: str = "cosine", dtype: torch.dtype = torch.float32) -> FlatIndex:
    index = FlatIndex(4, metric, dtype=dtype)
    index.add(vectors(3), [30, 10, 20])
    return index


def packed_index(first_pass: str = "int8", dtype: torch.dtype = torch.float32) -> FlatIndex:
    index = FlatIndex(40, "l2", first_pass=first_pass, dtype=dtype)
    index.add(vectors(70, 40))
    index.pack()
    index.add(vectors(35, 40, seed=3))  # with room to grow
    return index


def trimmed(index: FlatIndex) -> FlatIndex:
    """The same without room to grow."""
    same = FlatIndex(index.dim, index.metric, first_pass=index.first_pass, dtype=index.dtype)
    same.add(index.vectors, index.ids)
    same.pack()
    return same


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """A disk that is full after `size_bytes`: the kernel refuses to write beyond."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("metric", ["ip", "cosine", "l2"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_load_gives_back_what_was_saved(tmp_path: Path, metric: str, dtype: torch.dtype) -> None:
    index = small_index(metric, dtype)
    index.remove(30)
    index.save(tmp_path / "index")
    loaded = FlatIndex.load(tmp_path / "index")
    assert repr(loaded) == repr(index)
    assert torch.equal(loaded.vectors, index.vectors)
    assert torch.equal(loaded.ids, index.ids)
    queries = vectors(2, seed=1).to(dtype)
    assert all(torch.equal(a, b) for a, b in zip(loaded.search(queries, 3), index.search(queries, 3), strict=True))
    loaded.add(vectors(1))
    assert loaded.ids.tolist() == [10, 20, 31]


@pytest.mark.parametrize("first_pass", ["int8", "int16", "float32"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_packed_keys_are_saved_with_the_index(tmp_path: Path, first_pass: str, dtype: torch.dtype) -> None:
    index = packed_index(first_pass, dtype)
    index.save(tmp_path / "index")
    loaded = FlatIndex.load(tmp_path / "index")
    assert loaded.first_pass == first_pass
    assert loaded.memory() == trimmed(index).memory()
    queries = vectors(80, 40, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(loaded.search(queries, 9), index.search(queries, 9), strict=True))
    for row in vectors(40, 40, seed=2).split(1):  # what was loaded can grow
        loaded.add(row)
        index.add(row)
    assert all(torch.equal(a, b) for a, b in zip(loaded.search(queries, 9), index.search(queries, 9), strict=True))


def test_packed_keys_may_be_left_out(tmp_path: Path) -> None:
    packed_index().save(tmp_path / "with")
    packed_index().save(tmp_path / "without", packed=False)
    loaded = FlatIndex.load(tmp_path / "without")
    assert loaded.memory()["packed keys"] == 0
    assert loaded.first_pass == "int8"
    assert (tmp_path / "without").stat().st_size < (tmp_path / "with").stat().st_size - 105 * (40 + 20)


def test_packed_keys_of_another_layout_are_packed_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_format, "LAYOUT", "0")
    packed_index().save(tmp_path / "index")
    monkeypatch.undo()
    loaded = FlatIndex.load(tmp_path / "index")
    assert loaded.memory()["packed keys"] == 0
    loaded.search(vectors(80, 40, seed=1), 9)
    assert loaded.memory()["packed keys"] > 0


def test_files_of_version_1_are_read(tmp_path: Path) -> None:
    # As the version that wrote them did.
    tensors = {"vectors": vectors(3), "ids": torch.tensor([10, 20, 30])}
    metadata = {"format": "fastret.FlatIndex", "version": "1", "metric": "l2", "next_id": "31"}
    digest = hashlib.sha256(repr(sorted(metadata.items())).encode())
    for tensor in tensors.values():
        digest.update(f"{tensor.dtype} {list(tensor.shape)}".encode() + tensor.numpy().tobytes())
    path = tmp_path / "index"
    save_file(tensors, path, metadata | {"sha256": digest.hexdigest()})
    loaded = FlatIndex.load(path)
    assert (loaded.metric, loaded.first_pass, loaded.ids.tolist()) == ("l2", "auto", [10, 20, 30])
    assert torch.equal(loaded.vectors, vectors(3))
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    with pytest.raises(ValueError, match="was altered, its checksum does not match its contents"):
        FlatIndex.load(path)


def test_the_checksum_may_be_left_aside(tmp_path: Path) -> None:
    path = tmp_path / "index"
    small_index().save(path)
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    assert FlatIndex.load(path, verify=False).ntotal == 3


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        ({"vectors": torch.zeros(3, 2)}, "it has no 'ids'"),
        ({"vectors": torch.zeros(3, 2), "ids": torch.zeros(2, dtype=torch.int64)}, r"its vectors \[3, 2\] do not go"),
        ({"vectors": torch.zeros(3, 2, dtype=torch.float64), "ids": torch.zeros(3)}, "its vectors are F64"),
    ],
)
def test_parts_that_do_not_fit_together_are_named(tmp_path: Path, tensors: dict[str, Tensor], reason: str) -> None:
    path = tmp_path / "index"
    save_file(tensors, path, {"format": "fastret.FlatIndex", "version": "2", "metric": "ip", "next_id": "3"})
    with pytest.raises(ValueError, match=f"^FlatIndex.load: {path} was altered, {reason}"):
        FlatIndex.load(path, verify=False)


def test_an_empty_index_and_no_dimension_are_saved_too(tmp_path: Path) -> None:
    for dim in (0, 4):
        FlatIndex(dim).save(tmp_path / "index")
        assert repr(FlatIndex.load(tmp_path / "index")) == repr(FlatIndex(dim))


def test_a_loaded_index_does_not_depend_on_its_file(tmp_path: Path) -> None:
    path = tmp_path / "index"
    small_index().save(path)
    loaded = FlatIndex.load(path)
    path.write_bytes(b"")
    assert torch.equal(loaded.vectors, small_index().vectors)


@pytest.mark.parametrize("packed", [False, True])
def test_every_altered_byte_is_noticed(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / "index"
    (packed_index() if packed else small_index()).save(path)
    contents = path.read_bytes()
    for position in range(0, len(contents), 41 if packed else 1):
        altered = bytearray(contents)
        altered[position] ^= 0x01
        path.write_bytes(altered)
        with pytest.raises(ValueError, match=f"^FlatIndex.load: {path} "):
            FlatIndex.load(path)


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "index"
    small_index().save(path)
    contents = path.read_bytes()
    for length in range(len(contents)):
        path.write_bytes(contents[:length])
        with pytest.raises(ValueError, match=f"^FlatIndex.load: {path} is truncated, altered or no index file"):
            FlatIndex.load(path)
    path.write_bytes(contents + b"\0")
    with pytest.raises(ValueError, match=f"^FlatIndex.load: {path} is truncated, altered or no index file"):
        FlatIndex.load(path)


def test_a_full_disk_leaves_the_previous_file(tmp_path: Path) -> None:
    path = tmp_path / "index"
    small_index().save(path)
    large = FlatIndex(4)
    large.add(vectors(10_000))
    with (
        files_of_at_most(50_000),
        pytest.raises(OSError, match=f"^FlatIndex.save: could not write {path}: .*File too large"),
    ):
        large.save(path)
    assert repr(FlatIndex.load(path)) == repr(small_index())
    assert [file.name for file in tmp_path.iterdir()] == ["index"]


def test_a_write_that_fails_half_way_leaves_the_previous_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "index"
    small_index().save(path)

    def write_half(tensors: object, file: Path, metadata: object) -> None:
        Path(file).write_bytes(path.read_bytes()[:100])
        raise SafetensorError("no space left")

    monkeypatch.setattr(file_format, "save_file", write_half)
    with pytest.raises(OSError, match=f"^FlatIndex.save: could not write {path}: no space left$"):
        FlatIndex(4).save(path)
    assert repr(FlatIndex.load(path)) == repr(small_index())
    assert [file.name for file in tmp_path.iterdir()] == ["index"]


def test_a_kill_in_mid_write_leaves_the_previous_file(tmp_path: Path) -> None:
    path = tmp_path / "index"
    small_index().save(path)
    script = """
import os, signal, sys, torch
from fastret import FlatIndex
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
index = FlatIndex(4)
index.add(torch.zeros(100, 4))
index.save(sys.argv[1])
"""
    killed = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert repr(FlatIndex.load(path)) == repr(small_index())


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "index"
    with pytest.raises(OSError, match=f"^FlatIndex.save: could not write {path}: "):
        small_index().save(path)
    with pytest.raises(FileNotFoundError, match=str(path)):
        FlatIndex.load(path)


def test_other_safetensors_and_later_versions_are_named(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match=r"is a safetensors file but not a FlatIndex$"):
        FlatIndex.load(path)
    save_file({"vectors": torch.zeros(2, 2)}, path, {"format": "fastret.FlatIndex", "version": "9"})
    with pytest.raises(ValueError, match=r"has version 9, this fastret reads 1 and 2$"):
        FlatIndex.load(path)


def test_a_folder_is_no_index_file(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match=r"FlatIndex\.load: .* is a folder, and an index is a file"):
        FlatIndex.load(tmp_path)
    with pytest.raises(OSError, match=r"FlatIndex\.save: could not write .*: .* and .* is a folder"):
        FlatIndex(8).save(tmp_path)
