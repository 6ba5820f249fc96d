"""Exact ranks of the relevant candidates in the whole corpus, ties included.

The order is that of `fastret.search`: by canonical score, equal scores by the smaller candidate position. A
rank is therefore 1 + the number of strictly higher scores + the number of equal scores at smaller positions.
It is counted, so that MAP, nDCG and recall need no ranking beyond the relevant candidates.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from fastret.ops import cosine_scores
from fastret.ops.arrays import Metric

from .dataset import Judgements

# Scores held at a time: 64 MiB of float32, and as much again for the sorted copy.
SCORES_PER_CHUNK = 1 << 24


@dataclass(frozen=True)
class RelevantRanks:
    """Ranks of the P relevant candidates of J queries, grouped by query, best rank first within a query.

    A candidate whose score is NaN is never retrieved: its rank is inf.
    """

    starts: np.ndarray  # [J] int64: the pairs of query j begin at starts[j]
    ranks: np.ndarray  # [P] float64
    grades: np.ndarray  # [P] float64
    first_optimistic: np.ndarray  # [J] float64: rank of the first relevant if it won all its ties
    first_pessimistic: np.ndarray  # [J] float64: the same if it lost them
    tied: np.ndarray  # [J] int64: candidates not relevant that share the first relevant's score


def score_chunks(
    queries: Tensor,  # [J, D]
    candidates: Tensor,  # [N, D]
    metric: Metric,
    scores_per_chunk: int = SCORES_PER_CHUNK,
) -> Iterator[np.ndarray]:
    """Canonical scores as values to maximise, [q, N] float32 for consecutive runs of queries."""
    step = max(1, scores_per_chunk // max(1, len(candidates)))
    for begin in range(0, len(queries), step):
        scores = cosine_scores(queries[begin : begin + step], candidates, metric=metric).float().cpu().numpy()
        yield -scores if metric == "l2" else scores


def relevant_ranks(score_rows: Iterable[np.ndarray], judged: Judgements) -> RelevantRanks:
    """Ranks from chunks [q, N] of the scores of the judged queries, larger is better. Overwrites the chunks."""
    ranks, grades, optimistic, tied = [], [], [], []
    query = 0
    for chunk in score_rows:
        excluded = judged.excluded[query : query + len(chunk)]
        has_self = np.flatnonzero(excluded >= 0)
        chunk[has_self, excluded[has_self]] = np.nan  # never counted, never retrieved
        ascending = np.sort(chunk, axis=1)  # NaN last
        scored = chunk.shape[1] - np.count_nonzero(np.isnan(chunk), axis=1)
        for row, row_ascending, row_scored in zip(chunk, ascending, scored, strict=True):
            positions = judged.relevant[query]
            row_ranks, higher, equal = _ranks_in_row(row, row_ascending[:row_scored], positions)
            order = np.argsort(row_ranks, kind="stable")
            first = order[0]
            ranks.append(row_ranks[order])
            grades.append(judged.grades[query][order])
            optimistic.append(1.0 + higher[first] if np.isfinite(row_ranks[first]) else np.inf)
            tied.append(equal[first] - np.count_nonzero(row[positions] == row[positions[first]]))
            query += 1
    counts = np.array([len(r) for r in ranks], dtype=np.int64)
    first_optimistic = np.array(optimistic)
    tied_counts = np.array(tied, dtype=np.int64)
    return RelevantRanks(
        starts=np.cumsum(counts) - counts,
        ranks=np.concatenate(ranks),
        grades=np.concatenate(grades),
        first_optimistic=first_optimistic,
        first_pessimistic=first_optimistic + tied_counts,
        tied=tied_counts,
    )


def _ranks_in_row(
    row: np.ndarray,  # [N] float32
    ascending: np.ndarray,  # the row without NaN, sorted
    positions: np.ndarray,  # [R] int64
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rank, number of higher scores and number of equal scores (itself included) of each position."""
    wanted = row[positions]
    higher = len(ascending) - np.searchsorted(ascending, wanted, side="right")
    equal = len(ascending) - np.searchsorted(ascending, wanted, side="left") - higher
    ranks = 1.0 + higher
    for i in np.flatnonzero(equal > 1):
        ranks[i] += np.count_nonzero(row[: positions[i]] == wanted[i])
    ranks[np.isnan(wanted)] = np.inf
    return ranks, higher, equal
