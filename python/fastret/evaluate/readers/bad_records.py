"""What to do with a record that cannot be used: stop at the first, or leave it out and count it."""

from __future__ import annotations

from collections import Counter

# The reasons under which records are counted.
MALFORMED = "malformed record"
DUPLICATE_ID = "duplicate id"
EMPTY_TEXT = "empty text"
NO_IMAGE_FILE = "image file not found"
UNDECODABLE_IMAGE = "image does not decode"
MISSING_INPUT = "input that the task needs is missing"
UNKNOWN_ID = "qrel naming an unknown id"
CONTRADICTION = "qrel contradicting an earlier one"


class BadRecords:
    """Counts by reason what a reader leaves out, or stops it at the first."""

    def __init__(self, skip_bad: bool) -> None:
        self.skip_bad = skip_bad
        self.skipped: Counter[str] = Counter()

    def found(self, reason: str, sentence: str) -> None:
        """Leave a record out and count it, or raise ValueError with the sentence: file, line, id, fault."""
        if not self.skip_bad:
            raise ValueError(sentence)
        self.skipped[reason] += 1
