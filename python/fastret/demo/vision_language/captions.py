"""What the model learns to say of a picture: its name, and on a second line keywords."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from ..emoji import Emoji, distinct_keywords, families
from .pictures import VIEWS

REQUEST = "\nWhat does this show?"
KEYWORDS = 4


@dataclass(frozen=True)
class CaptionedPicture:
    """`picture` is an id as `pictures.picture_views` makes them."""

    picture: str
    caption: str


class CaptionDraws:
    """Batches of captioned pictures, each a function of the seed and the step alone: a run that goes on draws the same.

    A concept is drawn first, so that people, who come in dozens of near-duplicates, do not crowd out the rest.
    """

    def __init__(self, emoji: Sequence[Emoji], *, seed: int) -> None:
        self._concepts = list(families(emoji).values())
        self._seed = seed
        if not self._concepts:
            raise ValueError("CaptionDraws: at least one emoji must be given, got none")

    def batch(self, step: int, size: int) -> list[CaptionedPicture]:
        draw = random.Random(f"{self._seed} {step}")
        return [self._one(draw) for _ in range(size)]

    def _one(self, draw: random.Random) -> CaptionedPicture:
        members = draw.choice(self._concepts)
        # Half of the time the first member, which is the base; else any near-duplicate.
        one = members[0] if draw.random() < 0.5 else draw.choice(members)
        keywords = distinct_keywords(one)
        chosen = draw.sample(keywords, min(KEYWORDS, len(keywords)))
        picture = f"{draw.choice(one.vendors)}/{one.id}/{draw.randrange(len(VIEWS))}"
        return CaptionedPicture(picture, caption(one.label, chosen))


def caption(label: str, keywords: Sequence[str]) -> str:
    return "\n".join([label, ", ".join(keywords)]) if keywords else label


def whole_captions(emoji: Sequence[Emoji], vendor: str) -> list[CaptionedPicture]:
    """One for each concept that the vendor has drawn, always the same: to measure on."""
    return [
        CaptionedPicture(f"{vendor}/{one.id}/0", caption(one.label, distinct_keywords(one)[:KEYWORDS]))
        for one in emoji
        if one.base == one.id and vendor in one.vendors
    ]


def name_of(text: str) -> str:
    """The name in a caption that the model wrote."""
    return text.partition("\n")[0].strip()
