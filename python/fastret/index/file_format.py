"""The index file: safetensors with the tensors `vectors` [N, D] and `ids` [N], with packed keys also `panels`, `facts`
and `frame` (see `fastret.PackedKeys`), with principal axes `axes`, `head_residuals` and `tails`, and this metadata:

format         "fastret.FlatIndex"
version        "2"; "1", which is read too, had neither first_pass nor packed keys
metric         "ip", "cosine" or "l2"
next_id        the id that the next vector gets by default
first_pass     that the index was made with
packed_pass, packed_layout, has_unbounded, axes_defect
               of packed keys; those of another layout than this fastret's are not read
sha256         over the other metadata, and dtype, shape and bytes of the tensors: vectors, ids, others by name
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..ops import PackedKeys
from ..ops.arrays import INTEGERS, Metric, to_tensor
from ..ops.first_pass import FirstPass
from ..ops.packing import LAYOUT, Packing
from ..ops.principal_axes import PrincipalAxes
from ..replacing import replacing

FORMAT = "fastret.FlatIndex"
VERSION = "2"
READABLE = ("1", "2")

_DTYPES = {
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
}


class IndexFile(NamedTuple):
    vectors: Tensor  # [N, D]
    ids: Tensor  # [N] int64, ascending
    metric: Metric
    next_id: int
    first_pass: FirstPass
    packed: PackedKeys | None  # of `vectors`


def write_index_file(path: str | os.PathLike[str], index: IndexFile) -> None:
    """Write atomically. Raises OSError, naming the file; the file that was there is then untouched."""
    tensors = {"vectors": index.vectors.cpu().contiguous(), "ids": index.ids.cpu().contiguous()}
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "metric": index.metric,
        "next_id": str(index.next_id),
        "first_pass": index.first_pass,
    }
    if index.packed is not None and index.packed.packing is not None:
        stored = index.packed.packing.rows(0, index.packed.ntotal)  # without the room for more
        tensors |= stored.tensors()
        metadata["packed_pass"] = index.packed.first_pass
        metadata["packed_layout"] = LAYOUT
        metadata["has_unbounded"] = str(stored.has_unbounded)
        if stored.principal:
            metadata["axes_defect"] = repr(stored.principal.defect)
    metadata["sha256"] = _sha256(metadata, tensors)
    try:
        with replacing(path) as temporary:
            save_file(tensors, temporary, metadata)
    except (SafetensorError, OSError) as error:
        raise OSError(f"FlatIndex.save: could not write {os.fspath(path)}: {error}") from error


def read_index_file(path: str | os.PathLike[str], *, mmap: bool = False, verify: bool = True) -> IndexFile:
    """Read; with `mmap` the tensors stay in the file, which must not change.

    Raises ValueError, naming the file, for a truncated one, and with `verify` for anything but the bytes that were
    written.
    """
    name = os.fspath(path)
    if Path(name).is_dir():
        raise IsADirectoryError(f"FlatIndex.load: {name} is a folder, and an index is a file")
    try:
        # Opened as numpy's, since torch's way reserves memory for the whole file.
        with safe_open(name, framework="numpy") as file:
            metadata = dict(file.metadata() or {})
    except SafetensorError as error:
        raise ValueError(f"FlatIndex.load: {name} is truncated, altered or no index file: {error}") from error
    if metadata.get("format") != FORMAT:
        raise ValueError(f"FlatIndex.load: {name} is a safetensors file but not a FlatIndex")
    if metadata.get("version") not in READABLE:
        version = metadata.get("version")
        raise ValueError(f"FlatIndex.load: {name} has version {version}, this fastret reads {' and '.join(READABLE)}")
    expected = metadata.pop("sha256", None)
    try:
        tensors = _mapped_tensors(Path(name))
        if not mmap:
            # Copies: a file that shrank later would take the process along.
            tensors = {part: tensor.clone() for part, tensor in tensors.items()}
        if verify and _sha256(metadata, tensors) != expected:
            raise ValueError("its checksum does not match its contents")
        return _index_file(metadata, tensors)
    except KeyError as error:
        raise ValueError(f"FlatIndex.load: {name} was altered, it has no {error}") from error
    except ValueError as error:
        raise ValueError(f"FlatIndex.load: {name} was altered, {error}") from error


def is_index_file(path: str | os.PathLike[str]) -> bool:
    """Whether `path` is a safetensors file that says it is a FlatIndex."""
    try:
        with safe_open(os.fspath(path), framework="numpy") as file:
            return dict(file.metadata() or {}).get("format") == FORMAT
    except SafetensorError:
        return False


def _index_file(metadata: Mapping[str, str], tensors: Mapping[str, Tensor]) -> IndexFile:
    vectors, ids = tensors["vectors"], tensors["ids"]
    if vectors.dim() != 2 or ids.shape != vectors.shape[:1] or ids.dtype != torch.int64:
        raise ValueError(f"its vectors {list(vectors.shape)} do not go with ids {list(ids.shape)} {ids.dtype}")
    metric = cast(Metric, metadata["metric"])
    packed = None
    if metadata.get("packed_layout") == LAYOUT:
        parts = tensors["panels"], tensors["facts"], tensors["frame"]
        principal = None
        if "axes_defect" in metadata:
            axes, head_residuals, tails = tensors["axes"], tensors["head_residuals"], tensors["tails"]
            principal = PrincipalAxes(axes, head_residuals, tails, float(metadata["axes_defect"]))
        packing = Packing(*parts, metadata["has_unbounded"] == "True", principal)
        packed = PackedKeys(vectors, metric, cast(FirstPass, metadata["packed_pass"]), packing)
    first_pass = cast(FirstPass, metadata.get("first_pass", "auto"))
    return IndexFile(vectors, ids, metric, int(metadata["next_id"]), first_pass, packed)


def _mapped_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file that was found valid, read-only and in the file.

    The file is eight bytes of length, a JSON header of that length, then the bytes that its `data_offsets` tell.
    """
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header: dict[str, Any] = json.loads(file.read(length))
    header.pop("__metadata__", None)
    tensors = {}
    for name, facts in header.items():
        if facts["dtype"] not in _DTYPES:
            raise ValueError(f"its {name} are {facts['dtype']}")
        begin, end = facts["data_offsets"]
        if begin == end:
            tensors[name] = torch.empty(facts["shape"], dtype=_DTYPES[facts["dtype"]])
            continue
        raw = np.memmap(path, np.uint8, mode="r", offset=8 + length + begin, shape=(end - begin,))
        tensors[name] = to_tensor("load", name, raw, INTEGERS).view(_DTYPES[facts["dtype"]]).view(facts["shape"])
    return tensors


def _sha256(metadata: Mapping[str, str], tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(repr(sorted(metadata.items())).encode())
    for name in ("vectors", "ids", *sorted(tensors.keys() - {"vectors", "ids"})):
        tensor = tensors[name]
        digest.update(f"{tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
