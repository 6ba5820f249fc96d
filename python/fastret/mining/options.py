"""What is a hard negative: sentence-transformers' options by their names, checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from ..ops.arrays import check_number

SamplingStrategy = Literal["top", "random"]
OutputFormat = Literal["triplet", "n-tuple", "labeled-pair", "labeled-list"]
Similarity = Literal["cosine", "ip"]

OP = "mine_dataset"

PRESETS: Mapping[str, Mapping[str, Any]] = {
    # The methods of NV-Retriever, arXiv 2407.15831, by its names. The numbers are starting points.
    "naive-topk": {},
    "topk-shifted": {"range_min": 10},
    "topk-abs": {"max_score": 0.7},
    "topk-marginpos": {"absolute_margin": 0.05},
    "topk-percpos": {"relative_margin": 0.05},
    # UniME, arXiv 2504.17432: negatives up to 0.1 better than the positive, of these the 8 hardest.
    "unime": {"absolute_margin": -0.1, "num_negatives": 8},
}
"""Named settings: `mine_dataset(..., **PRESETS["topk-percpos"])`."""


@dataclass(frozen=True)
class MiningOptions:
    """Raises ValueError or TypeError, in one sentence, for options that are none or contradict each other."""

    range_min: int = 0
    range_max: int | None = None
    max_score: float | None = None
    min_score: float | None = None
    absolute_margin: float | None = None
    relative_margin: float | None = None
    num_negatives: int = 3
    sampling_strategy: SamplingStrategy = "top"
    include_positives: bool = False
    exclude_self: bool = False
    output_format: OutputFormat = "triplet"
    output_scores: bool = False
    metric: Similarity = "cosine"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("num_negatives", 1), ("range_min", 0), ("range_max", 1)):
            value = getattr(self, name)
            if value is None and name == "range_max":
                continue
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{OP}: {name} must be an int, got {type(value).__name__}")
            if value < least:
                raise ValueError(f"{OP}: {name} must be at least {least}, got {value}")
        if self.range_max is not None and self.range_max - self.range_min < self.num_negatives:
            raise ValueError(
                f"{OP}: range_max - range_min must be at least num_negatives, got {self.range_max} - {self.range_min} "
                f"and {self.num_negatives}"
            )
        for name in ("max_score", "min_score", "absolute_margin", "relative_margin"):
            value = getattr(self, name)
            if value is not None and math.isnan(check_number(OP, name, value)):
                raise ValueError(f"{OP}: {name} must not be NaN")
        for name, choices in (
            ("sampling_strategy", get_args(SamplingStrategy)),
            ("output_format", get_args(OutputFormat)),
            ("metric", get_args(Similarity)),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(f"{OP}: {name} must be one of {', '.join(choices)}, got {getattr(self, name)!r}")
        if self.include_positives and self.output_format != "n-tuple":
            raise ValueError(
                f'{OP}: include_positives needs output_format="n-tuple", which keeps the order of the ranking, '
                f"got {self.output_format!r}"
            )

    @property
    def has_ceiling(self) -> bool:
        """Whether anything takes candidates away from the top of the ranking."""
        return any(limit is not None for limit in (self.max_score, self.absolute_margin, self.relative_margin))

    def last_rank(self, max_positives: int, rescored: bool) -> int:
        """range_max, or what sentence-transformers derives where there is none: room for what limits take away."""
        if self.range_max is not None:
            return self.range_max
        room = 10 if self.has_ceiling or rescored else 1
        return self.range_min + room * self.num_negatives + max_positives
