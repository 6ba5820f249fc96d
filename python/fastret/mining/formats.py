"""What was mined as rows of sentence-transformers' four formats, in tables that Hugging Face `datasets` loads."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .candidates import Mined
from .options import OP, MiningOptions
from .pairs import Cell, Pairs

if TYPE_CHECKING:
    import pyarrow

Scored = list[tuple[int, float]]  # documents with their scores


class Format:
    """Makes tables of what was mined."""

    def __init__(self, pairs: Pairs, options: MiningOptions) -> None:
        self._pairs, self._options = pairs, options
        self._anchor, self._positive = pairs.anchor_column_name, pairs.positive_column_name
        self._make = {
            "triplet": self._triplets,
            "n-tuple": self._tuples,
            "labeled-pair": self._labeled_pairs,
            "labeled-list": self._labeled_lists,
        }[options.output_format]
        self.features = self._features()

    @property
    def has_images(self) -> bool:
        return not all(isinstance(side[0], str) for side in (self._pairs.queries, self._pairs.corpus))

    @property
    def num_negatives(self) -> int:
        return self._options.num_negatives

    def table(self, mined: Iterable[Mined]) -> pyarrow.Table:
        """One table; it may have no rows."""
        import pyarrow

        rows = [row for one in mined for row in self._rows_of(one)]
        return pyarrow.Table.from_pylist(rows, schema=self.schema())

    def schema(self) -> pyarrow.Schema:
        """The columns, with what tells `datasets` which of them are images."""
        import pyarrow

        fields = [(name, _arrow_type(feature)) for name, feature in self.features.items()]
        info = {"info": {"features": self.features}}
        return pyarrow.schema(fields, metadata={"huggingface": json.dumps(info)})

    def _features(self) -> dict[str, Any]:
        """The columns, as `datasets` writes them down. Raises ValueError where two would have one name."""
        form, scored = self._options.output_format, self._options.output_scores
        queries, documents = _feature(self._pairs.queries), _feature(self._pairs.corpus)
        number, label = {"dtype": "float64", "_type": "Value"}, {"dtype": "int64", "_type": "Value"}
        if form == "labeled-pair":
            last: dict[str, Any] = {"score": number} if scored else {"label": label}
        elif form == "labeled-list":
            documents = _list_of(documents)
            last = {"scores": _list_of(number)} if scored else {"labels": _list_of(label)}
        else:
            many = [f"negative_{i}" for i in range(1, self._options.num_negatives + 1)]
            last = dict.fromkeys(["negative"] if form == "triplet" else many, documents)
            last |= {"scores": _list_of(number)} if scored else {}
        for name in (self._anchor, self._positive):
            if name in last:
                raise ValueError(
                    f"{OP}: the result has a column called {name!r} of its own; rename that of the data set"
                )
        return {self._anchor: queries, self._positive: documents, **last}

    def _rows_of(self, mined: Mined) -> Iterator[dict[str, Any]]:
        query = _value(self._pairs.queries[mined.number])
        positives = list(zip(self._pairs.positives[mined.number], mined.positive_scores, strict=True))
        negatives = list(zip(mined.negatives, mined.negative_scores, strict=True))
        return self._make(query, positives, negatives)

    def _document(self, number: int) -> Any:
        return _value(self._pairs.corpus[number])

    def _triplets(self, query: Any, positives: Scored, negatives: Scored) -> Iterator[dict[str, Any]]:
        for positive, positive_score in positives:
            for negative, score in negatives:
                row = {self._anchor: query, self._positive: self._document(positive)}
                yield row | {"negative": self._document(negative), "scores": [positive_score, score]}

    def _tuples(self, query: Any, positives: Scored, negatives: Scored) -> Iterator[dict[str, Any]]:
        if len(negatives) < self._options.num_negatives:
            return
        columns = {f"negative_{i}": self._document(negative) for i, (negative, _) in enumerate(negatives, start=1)}
        for positive, positive_score in positives:
            row = {self._anchor: query, self._positive: self._document(positive)}
            yield row | columns | {"scores": [positive_score, *(score for _, score in negatives)]}

    def _labeled_pairs(self, query: Any, positives: Scored, negatives: Scored) -> Iterator[dict[str, Any]]:
        for label, documents in ((1, positives), (0, negatives)):
            for document, score in documents:
                row = {self._anchor: query, self._positive: self._document(document)}
                yield row | {"label": label, "score": score}

    def _labeled_lists(self, query: Any, positives: Scored, negatives: Scored) -> Iterator[dict[str, Any]]:
        for positive in positives if negatives else []:
            documents = [positive, *negatives]
            yield {
                self._anchor: query,
                self._positive: [self._document(document) for document, _ in documents],
                "scores": [score for _, score in documents],
                "labels": [1] + [0] * len(negatives),
            }


def _feature(cells: Iterable[Cell]) -> dict[str, Any]:
    kinds = {isinstance(cell, str) for cell in cells}
    if len(kinds) > 1:
        raise ValueError(f"{OP}: a column must have texts or images throughout, got both")
    return {"dtype": "string", "_type": "Value"} if True in kinds else {"_type": "Image"}


def _list_of(feature: dict[str, Any]) -> dict[str, Any]:
    return {"feature": feature, "_type": "List"}


def _arrow_type(feature: dict[str, Any]) -> pyarrow.DataType:
    import pyarrow

    if feature["_type"] == "List":
        return pyarrow.list_(_arrow_type(feature["feature"]))
    if feature["_type"] == "Image":
        return pyarrow.struct({"bytes": pyarrow.binary(), "path": pyarrow.string()})
    return {"string": pyarrow.string(), "float64": pyarrow.float64(), "int64": pyarrow.int64()}[feature["dtype"]]


def _value(cell: Cell) -> Any:
    """A text, or an image as `datasets` stores it: a file by its path, what is no file as its bytes."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, Path):
        return {"bytes": None, "path": str(cell)}
    if isinstance(cell, bytes):
        return {"bytes": cell, "path": None}
    content = io.BytesIO()
    cell.save(content, "png")
    return {"bytes": content.getvalue(), "path": None}
