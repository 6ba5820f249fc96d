"""Indexes of binary vectors, compared by the number of bits that differ: FAISS's IndexBinary and IndexBinaryFlat."""

from __future__ import annotations

import copy
import operator
from typing import Any

import torch
from torch import Tensor

from ...index.storage import roomier
from ...ops.hamming_search import ProbedLists, hamming_range_search, hamming_search
from ..any_index import AnyIndex
from ..arrays import code_rows, fill, id_list, in_kind_of, positive_k
from ..metrics import METRIC_L2
from ..search_parameters import SearchParameters
from ..selectors import IDSelector
from ..vectors import MaybeOwnedVectorUInt8, VectorField

ALL_ONES = 255  # the bytes of a vector that was not found


class IndexBinary(AnyIndex):
    """The base of every index of binary vectors of d bits, in d / 8 bytes; cannot search by itself.

    Vectors are uint8 [n, d / 8], numpy or torch; Hamming distances are int32 and ids int64 of the kind of the queries.
    Where fewer than k are found: id -1 and 2^31 - 1.

    Kinds of indexes implement the methods with an underscore, on tensors that were checked. `names` [ntotal] are ids
    to call the vectors instead of their own numbers 0, 1, 2, ...
    """

    metric_type: int = METRIC_L2

    def __init__(self, d: int = 0, metric: int = METRIC_L2) -> None:
        self.d, self.metric_type = operator.index(d), operator.index(metric)
        if self.d < 0 or self.d % 8:
            raise RuntimeError(f"{type(self).__name__}: d must be a multiple of 8, got {d}")

    @property
    def code_size(self) -> int:
        """Bytes per vector."""
        return self.d // 8

    def sa_code_size(self) -> int:
        """Bytes per vector."""
        return self.code_size

    @property
    def ntotal(self) -> int:
        return self._ntotal

    def __repr__(self) -> str:
        return f"{type(self).__name__}(d={self.d}, ntotal={self.ntotal})"

    def __reduce_ex__(self, protocol: Any) -> Any:
        from .io import deserialize_index_binary, serialize_index_binary

        return deserialize_index_binary, (serialize_index_binary(self),)

    # --- what kinds of indexes implement ---

    def _train(self, codes: Tensor) -> None:
        """codes [n, code_size]"""

    def _add(self, codes: Tensor) -> None:
        self._refuse("add")

    def _add_with_ids(self, codes: Tensor, ids: Tensor) -> None:
        self._refuse("add_with_ids", "it numbers its own vectors; put it into IndexBinaryIDMap")

    def _search(
        self, codes: Tensor, k: int, params: SearchParameters | None, names: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """distances [n, k] int32 and ids [n, k]"""
        self._refuse("search")

    def _range_search(
        self, codes: Tensor, radius: int, params: SearchParameters | None, names: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """lims [n + 1] int64, distances, ids"""
        self._refuse("range_search")

    # --- what is asked of them ---

    def train(self, x: Any) -> None:
        """Learn from vectors x [n, d / 8] what the index needs."""
        self._train(self._codes_of("train", x))

    def add(self, x: Any) -> None:
        """Append vectors x [n, d / 8], which get the next ids."""
        codes = self._codes_of("add", x)
        self._require_trained("add")
        self._add(codes)

    def add_with_ids(self, x: Any, ids: Any) -> None:
        """Append vectors x [n, d / 8] under ids [n] int64. A RuntimeError for an index that numbers its own."""
        codes = self._codes_of("add_with_ids", x)
        new_ids = id_list(self._named("add_with_ids"), ids, len(codes))
        self._require_trained("add_with_ids")
        self._add_with_ids(codes, new_ids)

    def search(
        self,
        x: Any,
        k: int,
        *,
        params: SearchParameters | None = None,
        D: Any = None,
        I: Any = None,  # noqa: E741
    ) -> tuple[Any, Any]:
        """The k nearest of each query x [n, d / 8]: distances D [n, k] int32 and ids I [n, k] int64.

        Arrays passed as D and I are filled and returned.
        """
        operation = self._named("search")
        codes, k = self._codes_of("search", x), positive_k(operation, k)
        distances, ids = self._search(codes, k, params)
        return fill(operation, D, in_kind_of(x, distances)), fill(operation, I, in_kind_of(x, ids))

    def range_search(self, x: Any, thresh: int, *, params: SearchParameters | None = None) -> tuple[Any, Any, Any]:
        """What is nearer than `thresh`, an integer, as (lims uint64 [n + 1], D float32, I), as in FAISS.

        Those of query i are at lims[i]:lims[i + 1], ids ascending.
        """
        codes = self._codes_of("range_search", x)
        lims, distances, ids = self._range_search(codes, operator.index(thresh), params)
        return in_kind_of(x, lims.to(torch.uint64)), in_kind_of(x, distances.float()), in_kind_of(x, ids)

    def search_and_reconstruct(self, x: Any, k: int, *, params: SearchParameters | None = None) -> tuple[Any, Any, Any]:
        """As `search`, and the vectors that were found: R [n, k, d / 8] uint8, 255 where there is none."""
        codes = self._codes_of("search_and_reconstruct", x)
        distances, ids = self._search(codes, positive_k(self._named("search_and_reconstruct"), k), params)
        vectors = torch.full((*ids.shape, self.code_size), ALL_ONES, dtype=torch.uint8)
        vectors[ids >= 0] = self._reconstruct(ids[ids >= 0])
        return in_kind_of(x, distances), in_kind_of(x, ids), in_kind_of(x, vectors)

    def reconstruct(self, key: int, x: Any = None) -> Any:
        """A copy of vector `key`, [d / 8] uint8. Raises RuntimeError if there is none."""
        found = self._reconstruct(torch.tensor([operator.index(key)]))[0]
        return fill(self._named("reconstruct"), x, found.numpy())

    def reconstruct_n(self, n0: int = 0, ni: int = -1, x: Any = None) -> Any:
        """Copies of vectors n0 ... n0 + ni - 1, [ni, d / 8] uint8; ni = -1 means up to the last."""
        n0, ni = self._run_of(n0, ni, self.ntotal)
        return fill(self._named("reconstruct_n"), x, self._reconstruct(torch.arange(n0, n0 + ni)).numpy())

    def check_compatible_for_merge(self, otherIndex: IndexBinary) -> None:
        """Raises RuntimeError unless `merge_from` can take over the vectors of another index."""
        if not isinstance(otherIndex, IndexBinary):
            raise TypeError(f"{self._named('merge_from')}: a binary index is needed, got {type(otherIndex).__name__}")
        super().check_compatible_for_merge(otherIndex)

    def display(self) -> None:
        """Prints what the index is."""
        print(f"{self!r}, is_trained={self.is_trained}")

    # --- shared by them ---

    def _codes_of(self, operation: str, x: Any) -> Tensor:
        return code_rows(self._named(operation), x, self.code_size)

    def _require_inside(self, operation: str, keys: Tensor) -> None:
        if len(keys) and not (int(keys.min()) >= 0 and int(keys.max()) < self.ntotal):
            self._refuse(operation, f"vectors {int(keys.min())} to {int(keys.max())} of {self.ntotal} were asked for")


class IndexBinaryFlat(IndexBinary):
    """Exact search among binary vectors numbered 0, 1, 2, ...: faiss.IndexBinaryFlat(d).

    Of equal distances the smaller id is first. use_heap, query_batch_size and approx_topk_mode choose between FAISS's
    ways to search and change nothing here.
    """

    xb = VectorField("_codes", MaybeOwnedVectorUInt8)
    use_heap: bool = True
    query_batch_size: int = 32
    approx_topk_mode: int = 0
    _room: Tensor  # [>= ntotal, code_size] uint8

    def __init__(self, d: int = 0, metric: int = METRIC_L2) -> None:
        super().__init__(d, metric)
        self._reset()

    @property
    def _codes(self) -> Tensor:
        """[ntotal, code_size]"""
        return self._room[: self._ntotal]

    @_codes.setter
    def _codes(self, codes: Tensor) -> None:
        self._room = codes.reshape(-1, self.code_size) if self.code_size else codes.reshape(len(codes), 0)
        self._ntotal = len(self._room)

    def _add(self, codes: Tensor) -> None:
        total = self._ntotal + len(codes)
        self._room = roomier(self._room, self._ntotal, total)
        self._room[self._ntotal : total] = codes
        self._ntotal = total

    def _search(
        self, codes: Tensor, k: int, params: SearchParameters | None, names: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        distances, ids = hamming_search(codes, self._codes, k, **self._visited(len(codes), params, names))
        return distances, ids

    def _range_search(
        self, codes: Tensor, radius: int, params: SearchParameters | None, names: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        return hamming_range_search(codes, self._codes, radius, **self._visited(len(codes), params, names))

    def _visited(self, n: int, params: SearchParameters | None, names: Tensor | None) -> dict[str, Any]:
        """All vectors that are selected; those with names as one inverted list, which has ids."""
        ids = torch.arange(self.ntotal) if names is None else names
        allowed = None if params is None or params.sel is None else params.sel.members(ids)
        lists = None if names is None else one_list(names, n)
        return {"allowed": allowed, "lists": lists}

    def _reconstruct(self, keys: Tensor) -> Tensor:
        self._require_inside("reconstruct", keys)
        return self._codes[keys]

    def _remove(self, selector: IDSelector) -> int:
        """Later vectors move down, as in FAISS."""
        kept = ~selector.members(torch.arange(self.ntotal))
        removed = len(kept) - int(kept.sum())
        if removed:
            self._codes = self._codes[kept]
        return removed

    def _reset(self) -> None:
        self._codes = torch.empty(0, self.code_size, dtype=torch.uint8)


def one_list(ids: Tensor, num_queries: int) -> ProbedLists:
    """All keys as one inverted list that every query visits, for their ids [N]."""
    return ProbedLists(ids, torch.tensor([0]), torch.tensor([len(ids)]), torch.zeros(num_queries, 1, dtype=torch.int64))


def clone_binary_index(index: IndexBinary) -> Any:
    """A binary index of its own with the same contents."""
    return copy.deepcopy(index)


def downcast_IndexBinary(index: IndexBinary) -> IndexBinary:
    """The index: Python objects are of their own kind already."""
    return index
