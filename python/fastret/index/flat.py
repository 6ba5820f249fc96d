"""FlatIndex: exact search over vectors that stay as they were given."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from ..ops import cosine_scores, search
from ..ops.arrays import FLOAT_DTYPES, METRICS, Array, Metric, like, to_tensor
from .file_format import IndexFile, read_index_file, write_index_file

# range_search scores this many pairs at a time: 16 MiB of float32.
_QUERIES_PER_BLOCK, _KEYS_PER_BLOCK = 64, 65536

_MOST_IDS = 1 << 63  # what int64 can count

Ids: TypeAlias = Array | Sequence[int]


class FlatIndex:
    """Vectors with ids, searched exactly. Equivalent to fastret.search over the stored vectors.

    Scores are canonical: a pair has the same float32 bits for any batch, thread count and instruction set.
    Neighbours come best first, equal scores with the smaller id first, also with own ids in any order.

    Args:
        dim: D.
        metric: "ip" (inner product), "cosine", or "l2" (squared Euclidean distance).
        dtype: how vectors are stored: float32, bfloat16 or float16. Added vectors are rounded to it; one with a
            finite element that float16 cannot hold is refused.
        device: where vectors are stored and searched.

    Vectors and queries may be torch tensors, numpy or CuPy arrays. Reads may run in several threads at once;
    add, remove, reset and the first search after an out-of-order add may not overlap with anything.

    >>> index = FlatIndex(2, metric="l2")
    >>> index.add(torch.tensor([[0.0, 0.0], [3.0, 4.0]]))
    >>> index.search(torch.tensor([[0.0, 1.0]]), k=2)
    (tensor([[ 1., 18.]]), tensor([[0, 1]]))
    """

    def __init__(
        self,
        dim: int,
        metric: Metric = "ip",
        *,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = "cpu",
    ) -> None:
        if not hasattr(dim, "__index__") or isinstance(dim, bool):
            raise TypeError(f"FlatIndex: dim must be an int, got {type(dim).__name__}")
        dim = int(dim)
        if dim < 0:
            raise ValueError(f"FlatIndex: dim must not be negative, got {dim}")
        if metric not in METRICS:
            raise ValueError(f"FlatIndex: metric must be one of {', '.join(METRICS)}, got {metric!r}")
        if dtype not in FLOAT_DTYPES:
            raise TypeError(f"FlatIndex: dtype must be float32, bfloat16 or float16, got {dtype}")
        self.dim = dim
        self.metric = metric
        self.dtype = dtype
        self.device = _usable_device(device)
        self.reset()

    def reset(self) -> None:
        """Forget every vector; default ids start at 0 again."""
        # Both have room for more rows than ntotal, so that many small adds copy each row only a few times.
        self._vectors = torch.empty((0, self.dim), dtype=self.dtype, device=self.device)  # [capacity, D]
        self._ids = torch.empty(0, dtype=torch.int64, device=self.device)  # [capacity]
        self._ntotal = 0
        self._next_id = 0
        self._ids_ascend = True

    @property
    def ntotal(self) -> int:
        """N, the number of vectors."""
        return self._ntotal

    def __len__(self) -> int:
        return self._ntotal

    def __repr__(self) -> str:
        dtype = str(self.dtype).removeprefix("torch.")
        return (
            f"FlatIndex(dim={self.dim}, metric={self.metric!r}, ntotal={self.ntotal}, "
            f"dtype={dtype}, device={str(self.device)!r})"
        )

    def __copy__(self) -> FlatIndex:
        # Two indexes on one storage would write their next rows over each other.
        return copy.deepcopy(self)

    @property
    def ids(self) -> Tensor:
        """[N] int64, ascending."""
        self._sort_by_id()
        return self._ids[: self._ntotal]

    @property
    def vectors(self) -> Tensor:
        """[N, D], in the order of `ids`: the keys of every search. A view: do not write to it."""
        self._sort_by_id()
        return self._vectors[: self._ntotal]

    def add(self, vectors: Array, ids: Ids | None = None) -> None:
        """Add vectors [n, D] under `ids` [n] (unique integers >= 0), by default the next consecutive ones.

        An id is never given out twice by default, not even after its vector was removed.

        Raises:
            ValueError, TypeError: vectors that are not [n, D] float32, bfloat16 or float16; ids that are not
                [n] integers, are negative, repeated or already taken. The index is then unchanged.
        """
        rows = self._checked_rows("add", "vectors", vectors)
        n = len(rows)
        stored = rows.to(self.dtype)
        if self.dtype == torch.float16 and bool((stored.isinf() & rows.isfinite()).any()):
            raise ValueError("FlatIndex.add: float16 holds elements up to 65504, got a larger one")
        if ids is None:
            if self._next_id + n > _MOST_IDS:
                raise ValueError(f"FlatIndex.add: no default ids are left beyond {self._next_id - 1}")
            new_ids = torch.arange(self._next_id, self._next_id + n, device=self.device)
            smallest, largest = self._next_id, self._next_id + n - 1
        else:
            new_ids = self._checked_ids("add", ids)
            if len(new_ids) != n:
                raise ValueError(f"FlatIndex.add: one id per vector, got {len(new_ids)} ids and {n} vectors")
            smallest, largest = (int(new_ids.min()), int(new_ids.max())) if n else (0, -1)
            self._refuse_taken(new_ids, smallest)
        if n == 0:
            return
        self._reserve(self._ntotal + n)
        self._vectors[self._ntotal : self._ntotal + n] = stored
        self._ids[self._ntotal : self._ntotal + n] = new_ids
        ascending = smallest >= self._next_id and bool((new_ids[1:] > new_ids[:-1]).all())
        self._ids_ascend = self._ids_ascend and ascending
        self._ntotal += n
        self._next_id = max(self._next_id, largest + 1)

    def search(self, queries: Array, k: int) -> tuple[Array, Array]:
        """The k best vectors of each query.

        Args:
            queries: [Q, D] float32, bfloat16 or float16.
            k: >= 0.

        Returns:
            scores [Q, K] float32, best first, and ids [Q, K] int64, of the kind of `queries`; where fewer
            than k are found, id -1 with score -inf (+inf for l2).

        Raises:
            ValueError, TypeError: queries that are not [Q, D] float32, bfloat16 or float16, or a negative k.
        """
        rows = self._checked_rows("search", "queries", queries)
        scores, positions = search(rows, self.vectors, k, self.metric)
        # Positions ascend with ids, so that "the smaller position first" is "the smaller id first".
        return _answer(scores, queries), _answer(self._ids_at(positions), queries)

    def range_search(self, queries: Array, threshold: float) -> tuple[Array, Array, Array]:
        """Every vector that scores better than a threshold: score > threshold, for l2 score < threshold.

        Args:
            queries: [Q, D] float32, bfloat16 or float16.
            threshold: compared in float32; an exactly equal score is left out, as in FAISS.

        Returns:
            lims [Q + 1] int64, scores float32 and ids int64, of the kind of `queries`: the neighbours of
            query i are scores[lims[i]:lims[i + 1]] and ids[lims[i]:lims[i + 1]], in ascending order of id.
        """
        rows = self._checked_rows("range_search", "queries", queries)
        threshold = float(threshold)
        keys, ids = self.vectors, self.ids
        counts = torch.zeros(len(rows), dtype=torch.int64, device=self.device)
        found_scores: list[Tensor] = [torch.empty(0, device=self.device)]
        found_ids: list[Tensor] = [ids[:0]]
        for start in range(0, len(rows), _QUERIES_PER_BLOCK):
            block = rows[start : start + _QUERIES_PER_BLOCK]
            query_numbers, block_scores, block_ids = [], [], []
            for first_key in range(0, len(keys), _KEYS_PER_BLOCK):
                block_keys = slice(first_key, first_key + _KEYS_PER_BLOCK)
                scores = cosine_scores(block, keys[block_keys], self.metric)
                within = scores < threshold if self.metric == "l2" else scores > threshold
                query, key = within.nonzero(as_tuple=True)
                query_numbers.append(query)
                block_scores.append(scores[within])
                block_ids.append(ids[block_keys][key])
            if query_numbers:
                query = torch.cat(query_numbers)
                counts[start : start + len(block)] = torch.bincount(query, minlength=len(block))
                by_query = torch.argsort(query, stable=True)
                found_scores.append(torch.cat(block_scores)[by_query])
                found_ids.append(torch.cat(block_ids)[by_query])
        lims = torch.nn.functional.pad(counts.cumsum(0), (1, 0))
        scores, ids = torch.cat(found_scores), torch.cat(found_ids)
        return _answer(lims, queries), _answer(scores, queries), _answer(ids, queries)

    def remove(self, ids: int | Ids) -> int:
        """Remove the vectors with these ids, [n] integers; return how many there were. Unknown ids are fine."""
        unwanted = torch.isin(self._ids[: self._ntotal], self._checked_ids("remove", ids))
        removed = int(unwanted.sum())
        if removed:
            self._vectors = self._vectors[: self._ntotal][~unwanted]
            self._ids = self._ids[: self._ntotal][~unwanted]
            self._ntotal -= removed
        return removed

    def reconstruct(self, id: int) -> Tensor:
        """A copy of the vector stored under an id, [D]. Raises ValueError if there is none."""
        if not hasattr(id, "__index__"):
            raise TypeError(f"FlatIndex.reconstruct: id must be an integer, got {type(id).__name__}")
        if not 0 <= id < _MOST_IDS:
            raise ValueError(f"FlatIndex.reconstruct: no vector has id {id}")
        position = int(torch.searchsorted(self.ids, int(id)))
        if position == self._ntotal or int(self._ids[position]) != id:
            raise ValueError(f"FlatIndex.reconstruct: no vector has id {id}")
        return self._vectors[position].clone()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the index to a file (safetensors with a checksum), atomically.

        Raises OSError if it cannot be written whole; what was at `path` before is then still there.
        """
        write_index_file(path, IndexFile(self.vectors, self.ids, self.metric, self._next_id))

    @classmethod
    def load(cls, path: str | os.PathLike[str], device: str | torch.device = "cpu") -> FlatIndex:
        """Read what `save` wrote. Raises ValueError, naming the file, if it is truncated or altered."""
        stored = read_index_file(path)
        index = cls(stored.vectors.shape[1], stored.metric, dtype=stored.vectors.dtype, device=device)
        index._vectors = stored.vectors.to(index.device)
        index._ids = stored.ids.to(index.device)
        index._ntotal = len(stored.ids)
        index._next_id = stored.next_id
        return index

    def _checked_rows(self, operation: str, name: str, array: Array) -> Tensor:
        rows = to_tensor(f"FlatIndex.{operation}", name, array)
        if rows.dim() != 2 or rows.shape[1] != self.dim:
            raise ValueError(f"FlatIndex.{operation}: {name} must be [n, {self.dim}], got {list(rows.shape)}")
        # numpy knows no device; tensors that are elsewhere are the caller's to move.
        return rows.to(self.device) if isinstance(array, np.ndarray) else rows.detach()

    def _checked_ids(self, operation: str, ids: int | Ids) -> Tensor:
        if isinstance(ids, np.ndarray) and ids.dtype == np.uint64 and (ids >= _MOST_IDS).any():
            raise ValueError(f"FlatIndex.{operation}: ids must be below 2^63, got {int(ids.max())}")
        if isinstance(ids, np.integer):
            ids = int(ids)
        try:
            # A copy of numpy's, which may be read-only or reversed: torch takes neither.
            ids = np.array(ids) if isinstance(ids, np.ndarray) else ids
            numbers = torch.as_tensor(ids, device=self.device)
        except (TypeError, ValueError, RuntimeError) as error:
            raise TypeError(f"FlatIndex.{operation}: ids must be 64-bit integers ({error})") from error
        if isinstance(ids, int):
            numbers = numbers[None]
        if numbers.dim() != 1:
            raise ValueError(f"FlatIndex.{operation}: ids must be [n], got {list(numbers.shape)}")
        inexact = numbers.is_floating_point() or numbers.is_complex() or numbers.dtype == torch.bool
        if inexact and len(numbers):  # torch makes float32 of an empty list
            raise TypeError(f"FlatIndex.{operation}: ids must be integers, got {numbers.dtype}")
        return numbers.to(torch.int64)

    def _refuse_taken(self, ids: Tensor, smallest: int) -> None:
        if smallest < 0:
            raise ValueError(f"FlatIndex.add: ids must not be negative, got {smallest}")
        in_order = ids.sort().values
        repeated = in_order[1:][in_order[1:] == in_order[:-1]]
        if len(repeated):
            raise ValueError(f"FlatIndex.add: ids must be unique, got {int(repeated[0])} more than once")
        if smallest < self._next_id:
            taken = ids[torch.isin(ids, self._ids[: self._ntotal])]
            if len(taken):
                raise ValueError(f"FlatIndex.add: id {int(taken[0])} is already in the index")

    def _reserve(self, rows: int) -> None:
        capacity = len(self._ids)
        if rows <= capacity:
            return
        # The first add gets exactly what it needs; later ones half as much again.
        capacity = max(rows, capacity + capacity // 2)
        vectors = self._vectors.new_empty((capacity, self.dim))
        vectors[: self._ntotal] = self._vectors[: self._ntotal]
        ids = self._ids.new_empty(capacity)
        ids[: self._ntotal] = self._ids[: self._ntotal]
        self._vectors, self._ids = vectors, ids

    def _sort_by_id(self) -> None:
        """Bring rows that were added out of order into the order of their ids, once, before they are read."""
        if not self._ids_ascend:
            self._ids, order = self._ids[: self._ntotal].sort()
            self._vectors = self._vectors[order]
            self._ids_ascend = True

    def _ids_at(self, positions: Tensor) -> Tensor:
        if self._next_id == self._ntotal:  # N different ids below N, ascending: every id is its position.
            return positions
        # Position -1 (nothing found) reads the -1 at the end.
        return torch.nn.functional.pad(self.ids, (0, 1), value=-1)[positions]


def _usable_device(device: str | torch.device) -> torch.device:
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # what torch raises differs by build
        raise ValueError(f"FlatIndex: device must be one that torch can use here, got {str(device)!r}") from error


def _answer(result: Tensor, queries: Array) -> Array:
    """`result` as the kind of array that the queries are."""
    return like(result.cpu() if isinstance(queries, np.ndarray) else result, queries)
