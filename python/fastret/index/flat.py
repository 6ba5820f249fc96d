"""FlatIndex: exact search over vectors that stay as they were given."""

from __future__ import annotations

import copy
import dataclasses
import os
import threading
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..ops import PackedKeys, SearchExplanation, explain_search, range_search, search
from ..ops.arrays import FLOAT_DTYPES, METRICS, Array, Metric, check_k, like, to_tensor
from ..ops.first_pass import FirstPass, first_pass_number
from ..ops.packing import packed_first_pass
from .file_format import IndexFile, read_index_file, write_index_file
from .filters import Filters, filters_of
from .ids import MOST_IDS, Ids, checked_id_list, positions_of, refuse_taken
from .lazy_packing import LazyPacking

_SELF_QUERIES = 8192  # of search_self at a time


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
        first_pass: "auto", "int8", "int16" or "float32": what searches on the CPU begin with, see `fastret.search`.
            Once enough queries have come to make it worth it, the vectors are packed for it, see `fastret.pack`:
            with "auto" that takes a quarter of the memory of float32 vectors. "float32" never packs.

    Vectors and queries may be torch tensors, numpy or CuPy arrays. Reads may run in several threads at once; add,
    remove and reset may not overlap with anything.

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
        first_pass: FirstPass = "auto",
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
        first_pass_number("FlatIndex", first_pass)  # refuses unknown names
        self.dim = dim
        self.metric = metric
        self.first_pass = first_pass
        self.dtype = dtype
        self.device = _usable_device(device)
        self._lock = threading.RLock()  # for what a read changes: the order of rows, and their packed keys
        self._clear()

    def reset(self) -> None:
        """Forget every vector; default ids start at 0 again."""
        self._clear()

    def _clear(self) -> None:
        # Both have room for more rows than ntotal, so that many small adds copy each row only a few times.
        self._vectors = torch.empty((0, self.dim), dtype=self.dtype, device=self.device)  # [capacity, D]
        self._ids = torch.empty(0, dtype=torch.int64, device=self.device)  # [capacity]
        self._ntotal = 0
        self._next_id = 0
        self._ids_ascend = True
        self._packing = LazyPacking(self.metric, self.first_pass)

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
            if self._next_id + n > MOST_IDS:
                raise ValueError(f"FlatIndex.add: no default ids are left beyond {self._next_id - 1}")
            new_ids = torch.arange(self._next_id, self._next_id + n, device=self.device)
            smallest, largest = self._next_id, self._next_id + n - 1
        else:
            new_ids = checked_id_list("FlatIndex.add", ids, self.device)
            if len(new_ids) != n:
                raise ValueError(f"FlatIndex.add: one id per vector, got {len(new_ids)} ids and {n} vectors")
            smallest, largest = (int(new_ids.min()), int(new_ids.max())) if n else (0, -1)
            refuse_taken("FlatIndex.add", new_ids, self._ids[: self._ntotal if smallest < self._next_id else 0])
        if n == 0:
            return
        self._reserve(self._ntotal + n)
        self._vectors[self._ntotal : self._ntotal + n] = stored
        self._ids[self._ntotal : self._ntotal + n] = new_ids
        ascending = smallest >= self._next_id and bool((new_ids[1:] > new_ids[:-1]).all())
        # In an order that leaves no wrong answer behind wherever an interrupt may come.
        if not (self._ids_ascend and ascending):
            self._packing.drop()  # the rows are about to change places
        self._ids_ascend = self._ids_ascend and ascending
        self._next_id = max(self._next_id, largest + 1)
        self._ntotal += n
        self._packing.extend(self._vectors[: self._ntotal])

    def search(
        self,
        queries: Array,
        k: int,
        *,
        allowed_ids: Ids | None = None,
        excluded_ids: Ids | None = None,
        first_pass: FirstPass | None = None,
    ) -> tuple[Array, Array]:
        """The k best vectors of each query.

        Args:
            queries: [Q, D] float32, bfloat16 or float16.
            k: >= 0.
            allowed_ids: [n] integers: the only ids that may be found. Ids that are not in the index do nothing.
            excluded_ids: [E] integers: ids that no query may find; or [Q, E], per query, padded with -1.
            first_pass: of this search alone, as of `fastret.search`; by default that of the index.

        Returns:
            scores [Q, K] float32, best first, and ids [Q, K] int64, of the kind of `queries`; where fewer
            than k are found, id -1 with score -inf (+inf for l2).

        Raises:
            ValueError, TypeError: queries that are not [Q, D] float32, bfloat16 or float16, a negative k, ids that
                are no integers of these shapes, an unknown first pass.
        """
        rows = self._checked_rows("search", "queries", queries)
        filters = filters_of("FlatIndex.search", self.ids, len(rows), allowed_ids, excluded_ids)
        scores, positions = self._neighbours(rows, k, filters, first_pass)
        # Positions ascend with ids, so that "the smaller position first" is "the smaller id first".
        return _answer(scores, queries), _answer(self._ids_at(positions), queries)

    def range_search(
        self,
        queries: Array,
        threshold: float,
        *,
        allowed_ids: Ids | None = None,
        excluded_ids: Ids | None = None,
        first_pass: FirstPass | None = None,
    ) -> tuple[Array, Array, Array]:
        """Every vector that scores better than a threshold: score > threshold, for l2 score < threshold.

        Args:
            queries: [Q, D] float32, bfloat16 or float16.
            threshold: compared in float32; an exactly equal score is left out, as in FAISS.
            allowed_ids, excluded_ids, first_pass: as of `search`.

        Returns:
            lims [Q + 1] int64, scores float32 and ids int64, of the kind of `queries`: the neighbours of
            query i are scores[lims[i]:lims[i + 1]] and ids[lims[i]:lims[i + 1]], in ascending order of id.
        """
        rows = self._checked_rows("range_search", "queries", queries)
        filters = filters_of("FlatIndex.range_search", self.ids, len(rows), allowed_ids, excluded_ids)
        lims, scores, positions = self._within(rows, threshold, filters, first_pass)
        return _answer(lims, queries), _answer(scores, queries), _answer(self._ids_at(positions), queries)

    def explain_search(
        self,
        queries: Array,
        k: int,
        *,
        allowed_ids: Ids | None = None,
        excluded_ids: Ids | None = None,
        first_pass: FirstPass | None = None,
    ) -> SearchExplanation:
        """`search`, and how it was answered: see `fastret.explain_search`. Takes and raises what `search` does."""
        rows = self._checked_rows("explain_search", "queries", queries)
        filters = filters_of("FlatIndex.explain_search", self.ids, len(rows), allowed_ids, excluded_ids)
        chosen = self._pass_of(first_pass)
        keys = self._keys_for(rows, chosen)
        explanation = explain_search(rows, keys, k, self.metric, first_pass=chosen, **filters._asdict())
        return dataclasses.replace(explanation, ids=self._ids_at(explanation.ids))

    def search_self(self, k: int, *, first_pass: FirstPass | None = None) -> tuple[Tensor, Tensor]:
        """The k best others of every stored vector: scores [N, K] float32 and ids [N, K] int64.

        Row i is of the vector whose id is `ids[i]`. A vector never finds itself, but its duplicates.
        Equivalent to `search(index.vectors, k, excluded_ids=index.ids[:, None])`.
        """
        k = check_k("FlatIndex.search_self", k)
        vectors = self.vectors
        scores = torch.empty((len(vectors), k), device=self.device)
        positions = torch.empty((len(vectors), k), dtype=torch.int64, device=self.device)
        # In batches, so that an interrupt is heard in between.
        for first in range(0, len(vectors), _SELF_QUERIES):
            batch = slice(first, first + _SELF_QUERIES)
            rows = vectors[batch]
            itself = torch.arange(first, first + len(rows), device=self.device)[:, None]
            scores[batch], positions[batch] = self._neighbours(rows, k, Filters(excluded=itself), first_pass)
        return scores, self._ids_at(positions)

    def pack(self, *, sample_queries: Array | None = None) -> None:
        """Make the vectors ready for many searches now, rather than once searches have made it worth it.

        Costs what scoring some 40 to 80 queries does; nothing on a CUDA device or where the first pass reads the
        vectors themselves.

        Args:
            sample_queries: [S, D], where searches of one to four queries shall be as fast as possible: see
                `fastret.pack`. An index that packs by itself takes the queries of such searches. Up to 64 of
                them are kept, for when the index has grown so much that its vectors are packed anew; a file has none.
        """
        sample = None if sample_queries is None else self._checked_rows("pack", "sample_queries", sample_queries)
        with self._lock:
            self._sort_by_id()
            self._packing.pack(self._vectors[: self._ntotal], sample)

    def memory(self) -> dict[str, int]:
        """Bytes held by "vectors", "ids" and "packed keys", room for the next adds included.

        Of an index in a file they are 0, and "mapped" tells the bytes that are read from there.
        """
        return {"vectors": self._vectors.nbytes, "ids": self._ids.nbytes, "packed keys": self._packing.nbytes}

    def remove(self, ids: int | Ids) -> int:
        """Remove the vectors with these ids, [n] integers; return how many there were. Unknown ids are fine."""
        unwanted = torch.isin(self._ids[: self._ntotal], checked_id_list("FlatIndex.remove", ids, self.device))
        removed = int(unwanted.sum())
        if removed:
            vectors, ids = self._vectors[: self._ntotal][~unwanted], self._ids[: self._ntotal][~unwanted]
            self._packing.drop()  # first: other rows may come to be as many, should an interrupt come before it
            self._vectors, self._ids, self._ntotal = vectors, ids, len(ids)
        return removed

    def reconstruct(self, id: int) -> Tensor:
        """A copy of the vector stored under an id, [D]. Raises ValueError if there is none."""
        if not hasattr(id, "__index__"):
            raise TypeError(f"FlatIndex.reconstruct: id must be an integer, got {type(id).__name__}")
        position = -1
        if 0 <= id < MOST_IDS:
            position = int(positions_of(torch.tensor([int(id)], device=self.device), self.ids))
        if position < 0:
            raise ValueError(f"FlatIndex.reconstruct: no vector has id {id}")
        return self._vectors[position].clone()

    def save(self, path: str | os.PathLike[str], *, packed: bool = True) -> None:
        """Write the index to a file (safetensors with a checksum), atomically.

        packed: with the packed keys, where the index has them (`pack` makes sure); False leaves them out.

        Raises OSError if it cannot be written whole; what was at `path` before is then still there.
        """
        vectors = self.vectors
        keys = self._packing.packed(vectors) if packed else None
        write_index_file(path, IndexFile(vectors, self.ids, self.metric, self._next_id, self.first_pass, keys))

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        device: str | torch.device = "cpu",
        *,
        mmap: bool = False,
        verify: bool | None = None,
        shard_bytes: int = 256 << 20,
        progress: bool | None = None,
    ) -> FlatIndex:
        """Read what `save` wrote.

        Args:
            device: where vectors are stored and searched.
            mmap: leave everything in the file, for more vectors than memory holds: a `MappedFlatIndex`, which is
                searched shard by shard with the same bits, reads packed keys instead of vectors where the file has
                them, and cannot be changed. The file must stay as it is; one that shrinks ends the process.
            verify: compare the contents with their checksum. Default: yes, but not with mmap, as it reads all.
            shard_bytes: with mmap, bytes of vectors in a shard.
            progress: with mmap, a bar over the shards of a search: None shows it on terminals only.

        Raises ValueError, naming the file, if it is truncated or (with verify) altered; with mmap, TypeError or
        ValueError for shard_bytes that are no integer or below 1.
        """
        if mmap:
            from .mapped import MappedFlatIndex  # which is a FlatIndex itself

            if torch.device(device).type != "cpu":
                raise ValueError(f"FlatIndex.load: a mapped file is searched on the CPU, got device {str(device)!r}")
            return MappedFlatIndex(path, verify=bool(verify), shard_bytes=shard_bytes, progress=progress)
        stored = read_index_file(path, verify=verify is not False)
        index = cls(
            stored.vectors.shape[1],
            stored.metric,
            dtype=stored.vectors.dtype,
            device=device,
            first_pass=stored.first_pass,
        )
        index._take(stored)
        return index

    def _take(self, stored: IndexFile) -> None:
        """Hold what is in a file, on the device of the index."""
        self._vectors = stored.vectors.to(self.device)
        self._ids = stored.ids.to(self.device)
        self._ntotal = len(stored.ids)
        self._next_id = stored.next_id
        if stored.packed is not None and self.device.type == "cpu":
            self._packing.put(stored.packed)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_lock"}  # a lock has no copies

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.RLock()

    def _neighbours(
        self, rows: Tensor, k: int, filters: Filters, first_pass: FirstPass | None
    ) -> tuple[Tensor, Tensor]:
        """scores [Q, K] and positions [Q, K] for checked queries."""
        chosen = self._pass_of(first_pass)
        keys = self._keys_for(rows, chosen)
        return search(rows, keys, k, self.metric, first_pass=chosen, **filters._asdict())

    def _within(
        self, rows: Tensor, threshold: float, filters: Filters, first_pass: FirstPass | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """lims [Q + 1], scores and positions for checked queries."""
        chosen = self._pass_of(first_pass)
        keys = self._keys_for(rows, chosen)
        return range_search(rows, keys, threshold, self.metric, first_pass=chosen, **filters._asdict())

    def _pass_of(self, first_pass: FirstPass | None) -> FirstPass:
        """Packed keys have a pass; before there are any, the cheapest is taken, but for an index that never packs."""
        return first_pass or ("float32" if self.first_pass == "float32" else "auto")

    def _keys_for(self, queries: Tensor, first_pass: FirstPass) -> Tensor | PackedKeys:
        """The vectors, packed where searches, this one included, have made that worth it.

        A search by another pass than that of packed keys neither reads nor brings them.
        """
        vectors = self.vectors
        if first_pass not in ("auto", packed_first_pass(vectors, self.first_pass)):
            return vectors
        packed = self._packing.packed(vectors)
        if packed is None:
            with self._lock:  # one thread packs, the others wait for it
                self._packing.count_queries(queries, vectors)
            packed = self._packing.packed(vectors)
        return vectors if packed is None else packed

    def _checked_rows(self, operation: str, name: str, array: Array) -> Tensor:
        rows = to_tensor(f"FlatIndex.{operation}", name, array)
        if rows.dim() != 2 or rows.shape[1] != self.dim:
            raise ValueError(f"FlatIndex.{operation}: {name} must be [n, {self.dim}], got {list(rows.shape)}")
        # numpy knows no device; tensors that are elsewhere are the caller's to move.
        return rows.to(self.device) if isinstance(array, np.ndarray) else rows.detach()

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
        if self._ids_ascend:
            return
        with self._lock:
            if not self._ids_ascend:
                self._ids, order = self._ids[: self._ntotal].sort()
                self._vectors = self._vectors[order]
                self._ids_ascend = True  # last: what other threads look at first

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
