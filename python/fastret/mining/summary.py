"""What a mining run found, in numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from .candidates import Mined


@dataclass
class MiningSummary:
    """Counts and means over queries; with several positives each counts."""

    queries: int = 0
    positives: int = 0
    negatives: int = 0
    queries_short_of_negatives: int = 0
    sum_of_positive_scores: float = 0.0
    sum_of_negative_scores: float = 0.0
    rows: int = 0
    """Of the data set that was made."""

    @classmethod
    def of(cls, mined: Iterable[Mined], num_negatives: int, rows: int) -> MiningSummary:
        summary = cls(rows=rows)
        for one in mined:
            summary.queries += 1
            summary.positives += len(one.positive_scores)
            summary.negatives += len(one.negatives)
            summary.queries_short_of_negatives += len(one.negatives) < num_negatives
            summary.sum_of_positive_scores += math.fsum(one.positive_scores)
            summary.sum_of_negative_scores += math.fsum(one.negative_scores)
        return summary

    def __add__(self, other: MiningSummary) -> MiningSummary:
        theirs = asdict(other)
        return MiningSummary(**{name: value + theirs[name] for name, value in asdict(self).items()})

    @property
    def mean_positive_score(self) -> float:
        return self.sum_of_positive_scores / self.positives if self.positives else math.nan

    @property
    def mean_negative_score(self) -> float:
        return self.sum_of_negative_scores / self.negatives if self.negatives else math.nan

    def __str__(self) -> str:
        text = (
            f"{self.rows:,} rows: {self.queries:,} queries with {self.positives:,} positives "
            f"(mean score {self.mean_positive_score:.4f}) and {self.negatives:,} negatives "
            f"(mean score {self.mean_negative_score:.4f})"
        )
        if self.queries_short_of_negatives:
            text += f"; too few negatives were within the limits for {self.queries_short_of_negatives:,} queries"
        return text
