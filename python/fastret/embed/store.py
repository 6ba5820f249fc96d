"""Embeddings on disk: memory-mapped shards, ids and a manifest; a run that was killed goes on where it was.

A store is a folder:

    manifest.json                    what the vectors are (schema, model, dtype, dim, count) and a checksum per shard
    ids.json                         the id of every row, in order
    embeddings-00000.safetensors     rows 0 to shard_rows, one tensor "embeddings" [rows, D]; and so on

Every file is written under another name, flushed and renamed, the shard before the manifest that lists it: a kill or
a full disk at any moment leaves a store whose listed shards are whole.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from .batching import Progress, progress_bar
from .encoder import Encoder
from .fingerprint import inputs_sha256
from .images import ImageInput
from .manifest import MANIFEST_FILE, Manifest, Shard, remove_half_written, sha256_of_file, write_atomically
from .mixed_rows import encode_rows, kind_of

Texts = Sequence[str | None] | None
Images = Sequence[ImageInput | None] | None

IDS_FILE = "ids.json"
DTYPES = (torch.float32, torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class EmbeddingStore:
    """An open store: ids in row order, shards mapped from disk, and the manifest.

    `shards` are tensors [rows, D] of the store's dtype whose pages are read when touched; together they are the rows
    in order. Feed them to an index one by one where the store does not fit in memory.
    """

    path: Path
    ids: list[str]
    shards: tuple[Tensor, ...]
    manifest: Manifest

    def __len__(self) -> int:
        return self.manifest.count

    @cached_property
    def embeddings(self) -> Tensor:
        """[N, D]: the mapped shard itself where there is one, otherwise the shards copied together, once."""
        if len(self.shards) == 1:
            return self.shards[0]
        if not self.shards:
            return torch.empty(0, self.manifest.dim, dtype=getattr(torch, self.manifest.dtype))
        return torch.cat(self.shards)


def open_store(path: str | Path, *, verify: bool = False) -> EmbeddingStore:
    """Open a finished store; the shards are mapped, not read.

    Always checked: the manifest, the ids, and each shard's size, shape and dtype. `verify=True` also reads every
    shard and compares its checksum.
    Raises FileNotFoundError where there is no store, and ValueError, naming the file, where one is unfinished,
    truncated or altered.
    """
    path = Path(path)
    if not (path / MANIFEST_FILE).is_file():
        raise FileNotFoundError(f"open_store: {path} is not an embedding store: it has no {MANIFEST_FILE}")
    manifest = Manifest.read(path)
    if not manifest.complete:
        rows = sum(shard.rows for shard in manifest.shards)
        raise ValueError(
            f"open_store: {path} is unfinished, with {rows} of {manifest.count} rows; the run that writes it goes on "
            "from there when it is started again"
        )
    ids = _read_ids(path, manifest)
    shards = tuple(_open_shard(path, shard, manifest, verify=verify) for shard in manifest.shards)
    return EmbeddingStore(path, ids, shards, manifest)


def write_store(
    path: str | Path,
    encoder: Encoder,
    ids: Sequence[str],
    *,
    texts: Texts = None,
    images: Images = None,
    dtype: torch.dtype = torch.float32,
    batch_size: int = 32,
    shard_rows: int = 1024,
    progress: Progress = None,
    description: str = "embed",
) -> EmbeddingStore:
    """Embed texts, images, or pairs of both, row i under ids[i], into a store of [N, D] vectors, and open it.

    A row whose text is None is embedded as an image, one whose image is None as a text, one with both as a pair.

    Where `path` holds the beginning of the same store, finished shards are kept and the run goes on at the next;
    with the same batch_size the bytes are those of a run that was never stopped. A finished store is opened as it is.
    Inputs are compared by content: image files may have moved in the meantime, and must not have changed.

    shard_rows: the most rows that a kill loses: 1024 are minutes of a slow model, and few enough files for millions
        of rows.
    description: what stands beside the progress bar.

    Raises ValueError where ids are repeated or not as many as the inputs; where the folder holds something else; where
    it was begun with another model, prompt, dtype, ids or inputs; and where a finished shard was altered.
    Raises OSError, naming the file, where the disk is full or cannot be written.
    """
    path, ids = Path(path), list(ids)
    plan = _plan(encoder, ids, texts, images, dtype, shard_rows)
    done = _begin(path, plan, ids)
    if progress is None or isinstance(progress, bool):
        with progress_bar(
            len(ids), progress, done=sum(shard.rows for shard in done.values()), description=description
        ) as bar:
            _write_missing_shards(path, encoder, plan, done, texts, images, batch_size, bar.update)
    else:
        _write_missing_shards(path, encoder, plan, done, texts, images, batch_size, progress)
    return open_store(path)


def _plan(
    encoder: Encoder,
    ids: list[str],
    texts: Texts,
    images: Images,
    dtype: torch.dtype,
    shard_rows: int,
) -> Manifest:
    """The manifest that the store will have, without its shards."""
    if texts is None and images is None:
        raise ValueError("write_store: give texts, images, or both for pairs")
    for name, inputs in (("texts", texts), ("images", images)):
        if inputs is not None and len(inputs) != len(ids):
            raise ValueError(f"write_store: ids and {name} must be as many, got {len(ids)} and {len(inputs)}")
    seen: set[str] = set()
    for identifier in ids:
        if identifier in seen:
            raise ValueError(f"write_store: ids must be distinct, got {identifier!r} twice")
        seen.add(identifier)
    kinds = set(_kinds(ids, texts, images))
    if unsupported := sorted(kinds - encoder.inputs):
        raise ValueError(
            f"write_store: {encoder.name} takes {' and '.join(sorted(encoder.inputs))} inputs, got {unsupported[0]}"
        )
    if dtype not in DTYPES:
        raise ValueError(f"write_store: dtype must be float32, float16 or bfloat16, got {dtype}")
    if shard_rows < 1:
        raise ValueError(f"write_store: shard_rows must be at least 1, got {shard_rows}")
    return Manifest(
        model=encoder.describe(),
        kind=kinds.pop() if len(kinds) == 1 else "mixed",
        dtype=str(dtype).removeprefix("torch."),
        dim=encoder.dim,
        count=len(ids),
        shard_rows=shard_rows,
        ids_sha256=hashlib.sha256(_ids_bytes(ids)).hexdigest(),
        inputs_sha256=inputs_sha256(texts, images),
    )


def _begin(path: Path, plan: Manifest, ids: list[str]) -> dict[str, Shard]:
    """Make the folder ready and return the finished shards that it holds, by file name."""
    if path.exists() and not path.is_dir():
        raise ValueError(f"write_store: {path} is a file; a store is a folder")
    remove_half_written(path)
    if (path / MANIFEST_FILE).is_file():
        begun = Manifest.read(path)
        if difference := begun.difference(plan):
            raise ValueError(
                f"write_store: {path} was begun with {difference}; choose another folder, or delete this one"
            )
        _read_ids(path, begun)
        # A shard that was deleted is made again; one that was altered is named, not silently replaced.
        listed = {shard.file: shard for shard in begun.shards if (path / shard.file).exists()}
        for shard in listed.values():
            _open_shard(path, shard, begun, verify=True)
        return listed
    if path.is_dir() and any(entry.name != IDS_FILE for entry in path.iterdir()):
        raise ValueError(f"write_store: {path} holds other files and is no store; choose another folder")
    path.mkdir(parents=True, exist_ok=True)
    write_atomically(path / IDS_FILE, _ids_bytes(ids))
    plan.write(path)
    return {}


def _write_missing_shards(
    path: Path,
    encoder: Encoder,
    plan: Manifest,
    done: dict[str, Shard],
    texts: Texts,
    images: Images,
    batch_size: int,
    progress: Progress,
) -> None:
    for number, start in enumerate(range(0, plan.count, plan.shard_rows)):
        file = f"embeddings-{number:05d}.safetensors"
        if file in done:
            continue
        stop = min(start + plan.shard_rows, plan.count)
        absent = [None] * (stop - start)
        embeddings = encode_rows(
            encoder,
            absent if texts is None else texts[start:stop],
            absent if images is None else images[start:stop],
            batch_size=batch_size,
            progress=progress,
        )
        content = safetensors.torch.save({"embeddings": embeddings.to(getattr(torch, plan.dtype)).contiguous()})
        write_atomically(path / file, content)
        done[file] = Shard(file, len(embeddings), len(content), hashlib.sha256(content).hexdigest())
        replace(plan, shards=tuple(done[name] for name in sorted(done))).write(path)


def _kinds(ids: Sequence[object], texts: Texts, images: Images) -> list[str]:
    """ "text", "image" or "pair" for each row; raise ValueError, naming the first row with neither."""
    kinds = []
    for row, identifier in enumerate(ids):
        kind = kind_of(None if texts is None else texts[row], None if images is None else images[row])
        if not kind:
            raise ValueError(f"write_store: {identifier!r} has neither a text nor an image")
        kinds.append(kind)
    return kinds


def _open_shard(path: Path, shard: Shard, manifest: Manifest, *, verify: bool) -> Tensor:
    """Map one shard; raise ValueError, naming it, where it is not the file that was written."""
    file = path / shard.file
    if not file.is_file():
        raise ValueError(f"open_store: the shard {file} is missing")
    size = file.stat().st_size
    if size != shard.bytes:
        raise ValueError(f"open_store: the shard {file} is damaged: it has {size} bytes and should have {shard.bytes}")
    try:
        with safetensors.safe_open(file, framework="pt") as opened:
            embeddings: Tensor = opened.get_tensor("embeddings")
    except safetensors.SafetensorError as error:
        raise ValueError(f"open_store: the shard {file} is damaged: {error}") from error
    expected = ((shard.rows, manifest.dim), manifest.dtype)
    if (tuple(embeddings.shape), str(embeddings.dtype).removeprefix("torch.")) != expected:
        raise ValueError(
            f"open_store: the shard {file} is damaged: it holds {embeddings.dtype} {list(embeddings.shape)} and should "
            f"hold {manifest.dtype} {list(expected[0])}"
        )
    if verify and sha256_of_file(file) != shard.sha256:
        raise ValueError(f"open_store: the shard {file} was altered: its checksum is not the one in {MANIFEST_FILE}")
    return embeddings


def _read_ids(path: Path, manifest: Manifest) -> list[str]:
    file = path / IDS_FILE
    if not file.is_file():
        raise ValueError(f"open_store: {file} is missing")
    content = file.read_bytes()
    if hashlib.sha256(content).hexdigest() != manifest.ids_sha256:
        raise ValueError(f"open_store: {file} was altered: its checksum is not the one in {MANIFEST_FILE}")
    ids: list[str] = json.loads(content)
    return ids


def _ids_bytes(ids: list[str]) -> bytes:
    return json.dumps(ids, ensure_ascii=False, indent=0).encode()
