"""Relevance judgements: BEIR's tab-separated files and TREC's qrels."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from .bad_records import CONTRADICTION, MALFORMED, UNKNOWN_ID, BadRecords

_GRADE_HEADERS = frozenset({"score", "grade", "relevance", "rel", "label"})
_INTEGER = re.compile(r"[+-]?\d+(\.0*)?")


class Judgement(NamedTuple):
    """One line of a qrels file: how relevant the candidate is to the query, above 0 where it is."""

    place: str
    query_id: str
    candidate_id: str
    grade: int


def read_qrels(path: Path, bad: BadRecords) -> Iterator[Judgement]:
    """`query-id <tab> corpus-id <tab> score`, header or none, or TREC's `query 0 candidate grade`."""
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            place = f"{path} line {number}"
            fields = line.rstrip("\r\n").split("\t")
            if len(fields) != 3:
                fields = line.split()
            if len(fields) == 4:  # TREC: the second field is an iteration that nobody uses
                del fields[1]
            if number == 1 and fields[-1] in _GRADE_HEADERS:
                continue
            grade = integer_grade(fields[2]) if len(fields) == 3 else None
            if grade is not None:
                yield Judgement(place, fields[0], fields[1], grade)
            else:
                bad.found(
                    MALFORMED,
                    f"{place}: must be query, candidate and an integer grade "
                    f"(TREC: query 0 candidate grade), got {line.strip()!r}",
                )


def integer_grade(text: str) -> int | None:
    """The grade, which some files write as 1.0; None where it is no integer."""
    return int(float(text)) if _INTEGER.fullmatch(text) else None


def known_qrels(
    judgements: Iterator[Judgement],
    query_ids: Collection[str],
    candidate_ids: Collection[str],
    bad: BadRecords,
) -> dict[str, dict[str, int]]:
    """Judgements as a mapping, those reported that name an unknown id or contradict an earlier one."""
    qrels: dict[str, dict[str, int]] = {}
    for place, query_id, candidate_id, grade in judgements:
        if query_id not in query_ids:
            bad.found(UNKNOWN_ID, f"{place}: the qrel names the query {query_id!r}, which is not among the queries")
        elif candidate_id not in candidate_ids:
            bad.found(
                UNKNOWN_ID,
                f"{place}: the qrel names the candidate {candidate_id!r}, which is not among the candidates",
            )
        elif (before := qrels.setdefault(query_id, {}).setdefault(candidate_id, grade)) != grade:
            bad.found(
                CONTRADICTION,
                f"{place}: the qrel of query {query_id!r} and candidate {candidate_id!r} has the grade {grade}, "
                f"an earlier one {before}",
            )
    return qrels
