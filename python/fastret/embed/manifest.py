"""The manifest of an embedding store: what the vectors are, and what its files must be."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..replacing import replacing

SCHEMA = "fastret.embeddings/1"
MANIFEST_FILE = "manifest.json"


@dataclass(frozen=True)
class Shard:
    """One finished file of the store."""

    file: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a store holds; complete once its shards add up to `count` rows."""

    model: Mapping[str, str]  # Encoder.describe()
    kind: str  # "text", "image", "pair", or "mixed"
    dtype: str
    dim: int
    count: int
    shard_rows: int
    ids_sha256: str
    inputs_sha256: str
    shards: tuple[Shard, ...] = ()

    @property
    def complete(self) -> bool:
        return sum(shard.rows for shard in self.shards) == self.count

    def difference(self, other: Manifest) -> str:
        """What keeps two runs from being parts of one store, in words; "" where nothing does."""
        for field in dataclasses.fields(self):
            mine, theirs = getattr(self, field.name), getattr(other, field.name)
            if field.name == "shards" or mine == theirs:
                continue
            if field.name == "model":
                key = next(key for key in {**mine, **theirs} if mine.get(key) != theirs.get(key))
                return f"{key} {mine.get(key)!r}, and this run has {theirs.get(key)!r}"
            if field.name.endswith("_sha256"):
                return f"other {field.name.removesuffix('_sha256')} than this run has"
            return f"{field.name} {mine!r}, and this run has {theirs!r}"
        return ""

    def write(self, store: Path) -> None:
        """Replace the store's manifest in one step."""
        entries = {"schema": SCHEMA, **dataclasses.asdict(self)}
        text = json.dumps({**entries, "sha256": _sha256_of_entries(entries)}, indent=2) + "\n"
        write_atomically(store / MANIFEST_FILE, text.encode())

    @classmethod
    def read(cls, store: Path) -> Manifest:
        """Raises ValueError, naming the file, where it was altered or is no manifest that this version reads."""
        file = store / MANIFEST_FILE
        try:
            entries: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            schema, sha256 = entries["schema"], entries.pop("sha256", None)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"open_store: {file} is damaged: {type(error).__name__}: {error}") from error
        if schema != SCHEMA:
            raise ValueError(f"open_store: {file} has schema {schema!r}, this version of fastret reads {SCHEMA!r}")
        if sha256 != _sha256_of_entries(entries):
            raise ValueError(f"open_store: {file} was altered: its sha256 is not that of its other entries")
        shards = tuple(Shard(**shard) for shard in entries.pop("shards"))
        del entries["schema"]
        return cls(shards=shards, **entries)


def write_atomically(file: Path, content: bytes) -> None:
    """Write a file so that a reader finds the old one or the new one, never a half; OSError names it."""
    try:
        with replacing(file) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise OSError(
            f"write_store: {file} could not be written ({error.strerror or error}); what was finished before it is "
            "whole, and the same run goes on from there"
        ) from error


def remove_half_written(folder: Path) -> None:
    """Remove what `write_atomically` left behind in runs that were killed."""
    for file in folder.glob(".*.tmp"):
        if file.name.split(".")[-3] in ("json", "safetensors"):
            file.unlink()


def _sha256_of_entries(entries: Mapping[str, Any]) -> str:
    """Of the values, not of how the JSON is laid out."""
    return hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()


def sha256_of_file(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
