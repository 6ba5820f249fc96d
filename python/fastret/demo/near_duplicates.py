"""Near-duplicates scored apart: the same waving hand in four skin tones, the same shrug by three people."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from fastret.evaluate import Collection, Dataset, Evaluation, evaluate_embeddings

from .emoji import Emoji, families
from .features import Features, text_collection
from .heads import ProjectionHeads
from .pictures import TESTED_VENDOR

# What a hit is: the very image; any image of the concept; the very image, the concept being known.
EXACT, CONCEPT, WITHIN = "exact image", "any image of the concept", "exact image, concept given"


def near_duplicates(held_out: Sequence[Emoji]) -> list[Emoji]:
    """The emoji of every concept that has more than one."""
    return [one for members in families(held_out).values() if len(members) > 1 for one in members]


def evaluate_near_duplicates(
    held_out: Sequence[Emoji], heads: ProjectionHeads, pictures: Features, wordings: Features, seed: int
) -> list[Evaluation]:
    """Label to image among near-duplicates alone, by the three meanings of a hit.

    Raises ValueError where no held-out concept has near-duplicates.
    """
    emoji = near_duplicates(held_out)
    if not emoji:
        raise ValueError("near_duplicates: a held-out concept with near-duplicates is needed, got none")
    ids = [one.id for one in emoji]
    labels = text_collection(ids, [one.label for one in emoji])
    images = Collection(ids, [None] * len(ids), [None] * len(ids))
    texts_in_space = heads.project_texts(wordings.of("label", ids))
    images_in_space = heads.project_images(pictures.of(TESTED_VENDOR, ids))

    exact = {id_: {id_: 1} for id_ in ids}
    members = families(emoji)
    concept = {one.id: {other.id: 1 for other in members[one.base]} for one in emoji}
    number = {base: n for n, base in enumerate(members)}
    concepts = torch.tensor([number[one.base] for one in emoji])

    def evaluate(name: str, qrels: dict[str, dict[str, int]], texts: Tensor, images_: Tensor) -> Evaluation:
        dataset = Dataset(f"near-duplicates: {name}", "t2i", labels, images, qrels)
        return evaluate_embeddings(texts, images_, dataset, model=name, metric="ip", seed=seed)

    return [
        evaluate(EXACT, exact, texts_in_space, images_in_space),
        evaluate(CONCEPT, concept, texts_in_space, images_in_space),
        evaluate(
            WITHIN, exact, _own_concept_first(texts_in_space, concepts), _own_concept_first(images_in_space, concepts)
        ),
    ]


def chance_within(held_out: Sequence[Emoji]) -> float:
    """The share of hits that guessing among a concept's own images would give."""
    members = families(near_duplicates(held_out))
    return len(members) / sum(map(len, members.values()))


def _own_concept_first(unit_vectors: Tensor, concepts: Tensor) -> Tensor:
    """Adds 4 to the inner products within a concept: cosines differ by 2 at most, so these come before all others."""
    return torch.cat([unit_vectors, 2.0 * one_hot(concepts)], dim=1)
