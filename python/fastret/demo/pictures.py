"""Text and image: heads trained on some concepts, tested on concepts that they never saw."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from fastret.evaluate import Collection, Dataset, Evaluation, evaluate_embeddings

from .emoji import VENDORS, Emoji, families, thumbnails
from .features import Features, image_collection, text_collection
from .heads import ProjectionHeads, train_heads

TESTED_VENDOR = "noto"  # it has drawn every emoji of the data set
MODEL = "EfficientNet + MiniLM"


@dataclass(frozen=True)
class ConceptSplit:
    """Emoji by side; a concept and all of its near-duplicates are on the same one."""

    trained: list[Emoji]
    held_out: list[Emoji]


def split_concepts(emoji: Sequence[Emoji], share: float, seed: int) -> ConceptSplit:
    """Holds out `share` of the concepts. Flags take no part: nothing in a text tells what a country's looks like."""
    by_base = families(one for one in emoji if one.group != "flags")
    bases = sorted(by_base)
    random.Random(seed).shuffle(bases)
    held_out = round(share * len(bases))
    return ConceptSplit(
        trained=[one for base in sorted(bases[held_out:]) for one in by_base[base]],
        held_out=[one for base in sorted(bases[:held_out]) for one in by_base[base]],
    )


def picture_collection(emoji: Sequence[Emoji]) -> Collection:
    """Every image of the emoji, under `vendor/id`."""
    drawn = {f"{v}/{id_}": image for v in VENDORS for id_, image in thumbnails(v).items()}
    ids = [f"{vendor}/{one.id}" for vendor in VENDORS for one in emoji if vendor in one.vendors]
    return image_collection(ids, [drawn[id_] for id_ in ids])


def wording_collection(emoji: Sequence[Emoji]) -> Collection:
    """Label and caption of the emoji, under `label/id` and `caption/id`."""
    wordings = {f"label/{one.id}": one.label for one in emoji} | {f"caption/{one.id}": one.caption for one in emoji}
    return text_collection(list(wordings), list(wordings.values()))


def train_on(
    trained: Sequence[Emoji],
    pictures: Features,
    wordings: Features,
    *,
    steps: int,
    seed: int,
    progress: bool | None = None,
) -> ProjectionHeads:
    """Heads trained on every vendor's image of the emoji, with label or caption as its text."""
    drawn = {vendor: [one.id for one in trained if vendor in one.vendors] for vendor in VENDORS}
    all_ids = [id_ for ids in drawn.values() for id_ in ids]
    number = {one.id: n for n, one in enumerate(trained)}
    return train_heads(
        torch.cat([pictures.of(vendor, ids) for vendor, ids in drawn.items()]),
        torch.stack([wordings.of(kind, all_ids) for kind in ("label", "caption")], dim=1),
        torch.tensor([number[id_] for id_ in all_ids]),
        steps=steps,
        seed=seed,
        progress=progress,
    )


def evaluate_concepts(
    held_out: Sequence[Emoji], heads: ProjectionHeads, pictures: Features, wordings: Features, seed: int
) -> list[Evaluation]:
    """Label to image and back over the held-out concepts, near-duplicates left out."""
    ids = [one.id for one in held_out if one.base == one.id]
    labels = text_collection(ids, [one.label for one in held_out if one.base == one.id])
    images = Collection(ids, [None] * len(ids), [None] * len(ids))
    texts_in_space = heads.project_texts(wordings.of("label", ids))
    images_in_space = heads.project_images(pictures.of(TESTED_VENDOR, ids))
    qrels = {id_: {id_: 1} for id_ in ids}
    name = "emoji of concepts that were not trained on"
    return [
        evaluate_embeddings(
            texts_in_space, images_in_space, Dataset(name, "t2i", labels, images, qrels), model=MODEL, seed=seed
        ),
        evaluate_embeddings(
            images_in_space, texts_in_space, Dataset(name, "i2t", images, labels, qrels), model=MODEL, seed=seed
        ),
    ]
