"""Several indexes that answer as one: IndexShards, which share the vectors, and IndexReplicas, which all have them."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch
from torch import Tensor

from .binary.index import IndexBinary
from .index import Index
from .metrics import METRIC_L2, is_similarity_metric
from .result_heaps import merged
from .search_parameters import SearchParameters
from .selectors import IDSelectorTranslated
from .struct import FaissObject

T = TypeVar("T")


class _SeveralIndexes(FaissObject):
    """Indexes of one kind of vectors, each worked on in its own thread if `threaded`."""

    own_indices: bool = False
    d: int
    _metric: int = METRIC_L2
    _kind: type[Index] | type[IndexBinary]

    def _begin(self, d: int, threaded: bool) -> None:
        self._indexes: list[Any] = []
        self._threaded = threaded
        self.d = operator.index(d)

    @property
    def ntotal(self) -> int:
        return self._total()

    @ntotal.setter
    def ntotal(self, ntotal: int) -> None:
        """Nothing to do: the indexes are asked each time."""

    def _total(self) -> int:
        return sum(index.ntotal for index in self._indexes)

    @property
    def metric_type(self) -> int:
        return self._indexes[0].metric_type if self._indexes else self._metric

    @metric_type.setter
    def metric_type(self, metric: int) -> None:
        self._metric = metric

    @property
    def is_trained(self) -> bool:
        return all(index.is_trained for index in self._indexes)

    @is_trained.setter
    def is_trained(self, is_trained: bool) -> None:
        """Nothing to do: the indexes are asked each time."""

    def addIndex(self, index: Any) -> None:
        """Take one more index in. Raises RuntimeError if it does not go with the others."""
        operation = f"{type(self).__name__}.addIndex"
        if not isinstance(index, self._kind):
            raise TypeError(f"{operation}: an {self._kind.__name__} is needed, got {type(index).__name__}")
        if any(index is other for other in self._indexes):
            raise RuntimeError(f"{operation}: {index!r} is there already")
        if self.d not in (0, index.d):
            raise RuntimeError(f"{operation}: d must be {self.d}, got {index.d}")
        for other in self._indexes[:1]:
            if (index.metric_type, index.is_trained) != (other.metric_type, other.is_trained):
                raise RuntimeError(f"{operation}: metric and training must be those of {other!r}, got {index!r}")
            self._check_beside(operation, index, other)
        self._indexes.append(index)
        self.d = index.d

    def removeIndex(self, index: Any) -> None:
        """Let one of the indexes go. Raises RuntimeError if it is none of them."""
        for number, other in enumerate(self._indexes):
            if index is other:
                del self._indexes[number]
                return
        raise RuntimeError(f"{type(self).__name__}.removeIndex: {index!r} is not there")

    def count(self) -> int:
        """How many indexes there are."""
        return len(self._indexes)

    def at(self, i: int) -> Any:
        """Index number i. Raises RuntimeError if there is none."""
        if not 0 <= i < len(self._indexes):
            raise RuntimeError(f"{type(self).__name__}.at: index {i} was asked for, there are {len(self._indexes)}")
        return self._indexes[i]

    def syncWithSubIndexes(self) -> None:
        """Nothing to do: the indexes are asked each time."""

    def _check_beside(self, operation: str, index: Any, other: Any) -> None:
        """Raises RuntimeError unless `index` goes with `other`."""

    def _run(self, work: Callable[[int, Any], T]) -> list[T]:
        """work(number, index) for every index."""
        if not self._threaded or len(self._indexes) < 2:
            return [work(number, index) for number, index in enumerate(self._indexes)]
        with ThreadPoolExecutor(len(self._indexes)) as pool:
            return list(pool.map(work, range(len(self._indexes)), self._indexes))

    def _require_any(self, operation: str) -> None:
        if not self._indexes:
            raise RuntimeError(f"{type(self).__name__}.{operation}: there are no indexes in it")

    def _train(self, rows: Tensor) -> None:
        self._run(lambda number, index: index.train(rows))

    def _reset(self) -> None:
        self._run(lambda number, index: index.reset())


class _Shards(_SeveralIndexes):
    successive_ids: bool = True

    def __init__(self, d: int = 0, *flags: bool) -> None:
        flags = (d, *flags) if isinstance(d, bool) else flags
        threaded, self.successive_ids = (*flags, *(False, True)[len(flags) :])
        self._begin(0 if isinstance(d, bool) else d, threaded)

    def add_shard(self, index: Any) -> None:
        """addIndex"""
        self.addIndex(index)

    def remove_shard(self, index: Any) -> None:
        """removeIndex"""
        self.removeIndex(index)

    def _add(self, rows: Tensor) -> None:
        if not self.successive_ids:
            self._add_with_ids(rows, torch.arange(self.ntotal, self.ntotal + len(rows)))
            return
        if self.ntotal:
            raise RuntimeError(f"{type(self).__name__}.add: successive_ids allow a single add, it holds {self.ntotal}")
        self._run(lambda number, index: index.add(rows[self._share(number, len(rows))]))

    def _add_with_ids(self, rows: Tensor, ids: Tensor) -> None:
        if self.successive_ids:
            raise RuntimeError(
                f"{type(self).__name__}.add_with_ids: with successive_ids vectors have no ids of their own"
            )

        def add(number: int, index: Any) -> None:
            share = self._share(number, len(rows))
            index.add_with_ids(rows[share], ids[share])

        self._run(add)

    def _share(self, number: int, n: int) -> slice:
        count = len(self._indexes)
        return slice(number * n // count, (number + 1) * n // count)

    def _search(self, rows: Tensor, k: int, params: SearchParameters | None) -> tuple[Tensor, Tensor]:
        """The best of all shards, of equal scores the smaller id; a selector is about the ids that are returned."""
        self._require_any("search")
        sizes = torch.tensor([index.ntotal for index in self._indexes])
        first_ids = (sizes.cumsum(0) - sizes) * self.successive_ids

        def search(number: int, index: Any) -> tuple[Tensor, Tensor]:
            first = int(first_ids[number])
            scores, ids = index.search(rows, k, params=_from(params, first, index.ntotal))
            return scores, torch.where(ids < 0, ids, ids + first)

        scores, ids = (torch.stack(column) for column in zip(*self._run(search), strict=True))
        return merged(scores.float(), ids, similarity=is_similarity_metric(self.metric_type))


class _Replicas(_SeveralIndexes):
    def __init__(self, d: int = 0, threaded: bool = True) -> None:
        self._begin(*((0, d) if isinstance(d, bool) else (d, threaded)))

    def add_replica(self, index: Any) -> None:
        """addIndex"""
        self.addIndex(index)

    def remove_replica(self, index: Any) -> None:
        """removeIndex"""
        self.removeIndex(index)

    def _total(self) -> int:
        return self._indexes[0].ntotal if self._indexes else 0

    def _check_beside(self, operation: str, index: Any, other: Any) -> None:
        if index.ntotal != other.ntotal:
            raise RuntimeError(f"{operation}: replicas must hold the {other.ntotal} vectors, got {index!r}")

    def _add(self, rows: Tensor) -> None:
        self._run(lambda number, index: index.add(rows))

    def _search(self, rows: Tensor, k: int, params: SearchParameters | None) -> tuple[Tensor, Tensor]:
        """Each replica answers its share of the queries."""
        self._require_any("search")
        shares = torch.tensor_split(rows, len(self._indexes))
        answers = self._run(lambda number, index: index.search(shares[number], k, params=params))
        scores, ids = (torch.cat(column) for column in zip(*answers, strict=True))
        return scores, ids

    def _reconstruct(self, keys: Tensor) -> Tensor:
        self._require_any("reconstruct")
        found: Tensor = self._indexes[0]._reconstruct(keys)
        return found


class ThreadedIndexBase(_SeveralIndexes, Index):
    """The base of IndexShards and IndexReplicas."""

    _kind = Index


class ThreadedIndexBaseBinary(_SeveralIndexes, IndexBinary):
    """The base of IndexBinaryShards and IndexBinaryReplicas."""

    _kind = IndexBinary


class IndexShards(_Shards, ThreadedIndexBase):
    """Vectors that several indexes share: IndexShards(d, threaded=False, successive_ids=True).

    With successive_ids, those of each shard are numbered behind those of the one before, and `add`, once only, parts
    the vectors among them. Else the shards keep ids, which `add_with_ids` parts with the vectors.
    """


class IndexReplicas(_Replicas, ThreadedIndexBase):
    """Indexes with the same vectors that share the queries: IndexReplicas(d, threaded=True)."""


class IndexBinaryShards(_Shards, ThreadedIndexBaseBinary):
    """IndexShards of binary vectors."""

    def _search(
        self, rows: Tensor, k: int, params: SearchParameters | None, names: Any = None
    ) -> tuple[Tensor, Tensor]:
        distances, ids = super()._search(rows, k, params)
        return distances.clamp(max=2.0**30).int().masked_fill(ids < 0, 2**31 - 1), ids


class IndexBinaryReplicas(_Replicas, ThreadedIndexBaseBinary):
    """IndexReplicas of binary vectors."""

    def _search(
        self, rows: Tensor, k: int, params: SearchParameters | None, names: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        return super()._search(rows, k, params)


IndexProxy = IndexReplicas


def _from(params: SearchParameters | None, first: int, n: int) -> SearchParameters | None:
    """For a shard whose n vectors are numbered from `first` on."""
    if params is None or params.sel is None or first == 0:
        return params
    translated = copy.copy(params)
    translated.sel = IDSelectorTranslated(torch.arange(first, first + n), params.sel)
    return translated
