"""fastret embed: embeddings of a data set, kept in a store on disk."""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import BatchSize, Device, Dtype, Pooling, Prompt, SkipBad, Split

if TYPE_CHECKING:
    from ..embed import Encoder
    from ..evaluate import Collection
    from ..evaluate.readers.bad_records import BadRecords

EXAMPLES = """Examples:

fastret embed --data photos --kind image --model openai/clip-vit-base-patch32 --out stores/photos

fastret embed --data captions.txt --model minilm --out stores/captions

fastret embed --data beir/scifact --kind text --queries --model my-mllm --prompt summary --out stores/queries --json"""

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}


class Kind(str, Enum):
    text = "text"
    image = "image"
    pair = "pair"


def register(app: typer.Typer) -> None:
    app.command("embed", epilog=EXAMPLES)(embed)


def embed(
    data: Annotated[
        Path,
        typer.Option(
            help="A folder of images, a .txt file of one text per line, a .jsonl file of id, text and image, or any "
            "data set that `fastret evaluate` reads."
        ),
    ],
    model: Annotated[str, typer.Option(help="A model's name or folder, a .gguf file, minilm or smollm2.")],
    out: Annotated[Path, typer.Option(help="Folder of the store. A run that was stopped goes on where it was.")],
    kind: Annotated[
        Kind | None, typer.Option(help="What to embed. Default: text for a .txt file, otherwise image.")
    ] = None,
    queries: Annotated[
        bool, typer.Option("--queries", help="Embed a data set's queries instead of its candidates.")
    ] = False,
    split: Split = None,
    pooling: Pooling = None,
    prompt: Prompt = None,
    batch_size: BatchSize = 32,
    dtype: Dtype = "auto",
    device: Device = "auto",
    skip_bad: SkipBad = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Embed texts, images or pairs into memory-mapped shards with ids and a manifest."""
    from ..embed import load_encoder
    from ..embed.refused_images import REFUSED_IMAGE
    from ..embed.store import write_store

    wanted = kind or (Kind.text if data.suffix == ".txt" else Kind.image)
    collection, skipped = _read(data, wanted, queries=queries, split=split, skip_bad=skip_bad)
    if others := {found or "empty" for found in collection.kinds()} - {wanted.value}:
        raise ValueError(
            f"{data}: --kind {wanted.value} needs {wanted.value} items throughout, got {min(others)} items"
        )
    encoder = load_encoder(model, pooling=pooling, prompt=prompt, dtype=dtype, device=device)
    if wanted.value not in encoder.inputs:
        raise ValueError(f"{model} embeds {' and '.join(sorted(encoder.inputs))} inputs, not {wanted.value}")
    if skip_bad and wanted is not Kind.text:
        taken = _taken(encoder, collection)
        if refused := len(collection) - len(taken):
            collection, skipped = taken, {**skipped, REFUSED_IMAGE: refused}
    store = write_store(
        out, encoder, collection.ids, texts=collection.texts, images=collection.images, batch_size=batch_size
    )
    if as_json:
        facts = {"store": str(out), "count": len(store), "dim": store.manifest.dim, "kind": store.manifest.kind}
        typer.echo(json.dumps({**facts, "model": dict(store.manifest.model), "skipped": skipped}))
        return
    typer.echo(f"{out}: {len(store)} embeddings of {store.manifest.dim} dimensions from {model}")
    for reason, count in skipped.items():
        typer.echo(f"left out: {count} ({reason})")


def _read(
    data: Path, kind: Kind, *, queries: bool, split: str | None, skip_bad: bool
) -> tuple[Collection, dict[str, int]]:
    """The items to embed, and how many were left out for which reason."""
    from ..evaluate.readers.bad_records import BadRecords

    bad = BadRecords(skip_bad)
    if data.is_file() and data.suffix == ".txt":
        collection = _text_lines(data, bad)
    elif data.is_file() and data.suffix == ".jsonl" and data.name != "metadata.jsonl":
        collection = _json_lines(data, kind, bad)
    elif data.is_dir() and (files := _image_files(data)):
        collection = _decodable(files, data, bad)
    else:
        return _data_set_side(data, kind, queries=queries, split=split, skip_bad=skip_bad)
    return collection, dict(bad.skipped)


def _taken(encoder: Encoder, collection: Collection) -> Collection:
    """The items whose images the encoder takes."""
    from ..embed.refused_images import image_faults
    from ..evaluate import Collection

    rows = [row for row, fault in enumerate(image_faults(encoder, collection.images)) if fault is None]
    return Collection(
        [collection.ids[row] for row in rows],
        [collection.texts[row] for row in rows],
        [collection.images[row] for row in rows],
    )


def _text_lines(file: Path, bad: BadRecords) -> Collection:
    """One text per line; a text's id is the number of its line."""
    from ..evaluate import Collection
    from ..evaluate.readers.bad_records import EMPTY_TEXT

    texts = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        if line.strip():
            texts[str(number)] = line
        else:
            bad.found(EMPTY_TEXT, f"{file} line {number}: the text must not be empty")
    return Collection(list(texts), list(texts.values()), [None] * len(texts))


def _json_lines(file: Path, kind: Kind, bad: BadRecords) -> Collection:
    """Records with `_id` or `id`, and `text`, `image` (a path beside the file) or both; the kind says which count."""
    from ..evaluate import Collection
    from ..evaluate.readers.bad_records import MISSING_INPUT
    from ..evaluate.readers.items import read_items
    from ..evaluate.readers.records import read_records

    items = []
    for item in read_items(read_records(file, bad), file.parent, bad):
        if (kind is not Kind.image and item.text is None) or (kind is not Kind.text and item.image is None):
            bad.found(MISSING_INPUT, f"{item.place}, id {item.id!r}: lacks what --kind {kind.value} embeds")
        else:
            items.append(item)
    return Collection(
        [item.id for item in items],
        [None if kind is Kind.image else item.text for item in items],
        [None if kind is Kind.text else item.image for item in items],
    )


def _image_files(folder: Path) -> list[Path]:
    """The images below a folder that is no data set of its own."""
    if any(folder.glob("*.json*")) or any(folder.glob("*/metadata.jsonl")) or any(folder.glob("*.parquet")):
        return []
    return sorted(file for file in folder.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES)


def _decodable(files: Sequence[Path], folder: Path, bad: BadRecords) -> Collection:
    """Images by their path below the folder."""
    from ..evaluate import Collection
    from ..evaluate.readers.bad_records import UNDECODABLE_IMAGE
    from ..evaluate.readers.images import decoding_faults

    kept = []
    for file, fault in zip(files, decoding_faults(files), strict=True):
        if fault is None:
            kept.append(file)
        else:
            bad.found(UNDECODABLE_IMAGE, f"{file}: the image does not decode: {fault}")
    return Collection([file.relative_to(folder).as_posix() for file in kept], [None] * len(kept), list(kept))


def _data_set_side(
    data: Path, kind: Kind, *, queries: bool, split: str | None, skip_bad: bool
) -> tuple[Collection, dict[str, int]]:
    """The candidates or queries of a retrieval data set, whatever the other side is made of."""
    from ..evaluate.readers import read_source
    from ..evaluate.tasks import parse_task

    source = read_source(data, split=split, skip_bad=skip_bad)
    side = {Kind.text: "t", Kind.image: "i", Kind.pair: "it"}[kind]
    refusals = []
    for other in ("t", "i", "it"):
        try:
            dataset = source.dataset(parse_task(f"{side}2{other}" if queries else f"{other}2{side}"))
        except ValueError as refusal:
            refusals.append(refusal)
            continue
        collection = dataset.queries if queries else dataset.candidates
        return collection, dict(dataset.skipped)
    raise refusals[0]
