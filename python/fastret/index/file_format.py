"""The index file: safetensors with two tensors, `vectors` [N, D] and `ids` [N], and this metadata:

format    "fastret.FlatIndex"
version   "1"
metric    "ip", "cosine" or "l2"
next_id   the id that the next vector gets by default
sha256    over the other metadata, the dtype and shape of the vectors, and the bytes of both tensors
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import NamedTuple, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..ops.arrays import Metric
from ..replacing import replacing

FORMAT = "fastret.FlatIndex"
VERSION = "1"


class IndexFile(NamedTuple):
    vectors: Tensor  # [N, D]
    ids: Tensor  # [N] int64, ascending
    metric: Metric
    next_id: int


def write_index_file(path: str | os.PathLike[str], index: IndexFile) -> None:
    """Write atomically. Raises OSError, naming the file; the file that was there is then untouched."""
    vectors, ids = index.vectors.cpu().contiguous(), index.ids.cpu().contiguous()
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "metric": index.metric,
        "next_id": str(index.next_id),
    }
    metadata["sha256"] = _sha256(metadata, vectors, ids)
    try:
        with replacing(path) as temporary:
            save_file({"vectors": vectors, "ids": ids}, temporary, metadata)
    except (SafetensorError, OSError) as error:
        raise OSError(f"FlatIndex.save: could not write {os.fspath(path)}: {error}") from error


def read_index_file(path: str | os.PathLike[str]) -> IndexFile:
    """Read and verify. Raises ValueError, naming the file, for anything but the bytes that were written."""
    name = os.fspath(path)
    if Path(name).is_dir():
        raise IsADirectoryError(f"FlatIndex.load: {name} is a folder, and an index is a file")
    try:
        with safe_open(name, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            if metadata.get("format") != FORMAT:
                raise ValueError(f"FlatIndex.load: {name} is a safetensors file but not a FlatIndex")
            if metadata.get("version") != VERSION:
                version = metadata.get("version")
                raise ValueError(f"FlatIndex.load: {name} has version {version}, this fastret reads {VERSION}")
            # Copies: these are memory-mapped, and a file that shrank later would take the process along.
            vectors, ids = file.get_tensor("vectors").clone(), file.get_tensor("ids").clone()
    except SafetensorError as error:
        raise ValueError(f"FlatIndex.load: {name} is truncated, altered or no index file: {error}") from error
    expected = metadata.pop("sha256", None)
    if _sha256(metadata, vectors, ids) != expected:
        raise ValueError(f"FlatIndex.load: {name} was altered, its checksum does not match its contents")
    return IndexFile(vectors, ids, cast(Metric, metadata["metric"]), int(metadata["next_id"]))


def is_index_file(path: str | os.PathLike[str]) -> bool:
    """Whether `path` is a safetensors file that says it is a FlatIndex."""
    try:
        with safe_open(os.fspath(path), framework="pt") as file:
            return dict(file.metadata() or {}).get("format") == FORMAT
    except SafetensorError:
        return False


def _sha256(metadata: dict[str, str], vectors: Tensor, ids: Tensor) -> str:
    digest = hashlib.sha256(repr(sorted(metadata.items())).encode())
    for tensor in (vectors, ids):
        digest.update(f"{tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
