"""Binary vectors in hash tables by some of their bits: FAISS's IndexBinaryHash and IndexBinaryMultiHash."""

from __future__ import annotations

import operator
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...ops.hamming_search import NO_DISTANCE, ProbedLists, hamming_range_search, hamming_search
from ..search_parameters import SearchParameters
from .index import IndexBinary, IndexBinaryFlat

_MOST_BITS = 62  # of a hash, an int64


class Buckets(NamedTuple):
    """Vectors by hash: bucket i holds the places starts[i] ... starts[i] + sizes[i] - 1 of `order`."""

    hashes: Tensor  # [L] int64, ascending
    starts: Tensor  # [L] int64
    sizes: Tensor  # [L] int64
    order: Tensor  # [n] int64: the numbers of the vectors

    @classmethod
    def of(cls, hashes: Tensor) -> Buckets:
        """Of vectors with these hashes [n]."""
        order = hashes.argsort(stable=True)
        found, sizes = torch.unique_consecutive(hashes[order], return_counts=True)
        return cls(found, sizes.cumsum(0) - sizes, sizes, order)

    def probes(self, hashes: Tensor) -> Tensor:
        """The bucket of each hash [Q, P], -1 where there is none."""
        if not len(self.hashes):
            return torch.full_like(hashes, -1)
        places = torch.searchsorted(self.hashes, hashes).clamp_max(len(self.hashes) - 1)
        return torch.where(self.hashes[places] == hashes, places, -1)


def hashes_of(codes: Tensor, first: int, b: int) -> Tensor:
    """Bits first ... first + b - 1 of each code [n, code_size] as a number: [n] int64."""
    bits = np.unpackbits(codes.numpy(), axis=1, bitorder="little")[:, first : first + b]
    return torch.from_numpy(bits.astype(np.int64) @ (1 << np.arange(b, dtype=np.int64)))


def flips_of(hashes: Tensor, b: int, nflip: int) -> Tensor:
    """The hashes [n] and all that differ from them in at most nflip of b bits: [n, P]."""
    masks = [sum(1 << bit for bit in bits) for n in range(min(nflip, b) + 1) for bits in combinations(range(b), n)]
    return hashes[:, None] ^ torch.tensor(masks, dtype=torch.int64)


class IndexBinaryHash(IndexBinary):
    """faiss.IndexBinaryHash(d, b): a search looks at the vectors whose first b bits differ in at most nflip bits."""

    b: int = 0
    nflip: int = 0
    _codes: Tensor  # [ntotal, code_size]
    _ids: Tensor  # [ntotal]
    _sorted: Buckets | None = None

    def __init__(self, d: int = 0, b: int = 0) -> None:
        super().__init__(d)
        self.b = operator.index(b)
        if not 0 <= self.b <= min(self.d, _MOST_BITS):
            raise RuntimeError(f"{type(self).__name__}: b must be from 0 to {min(self.d, _MOST_BITS)}, got {b}")
        self._reset()

    @property
    def ntotal(self) -> int:
        return len(self._ids)

    def hashtable_size(self) -> int:
        """Hashes that occur."""
        return len(self._buckets().hashes)

    def _buckets(self) -> Buckets:
        if self._sorted is None:
            self._sorted = Buckets.of(hashes_of(self._codes, 0, self.b))
        return self._sorted

    def _add(self, codes: Tensor) -> None:
        self._add_with_ids(codes, torch.arange(self.ntotal, self.ntotal + len(codes)))

    def _add_with_ids(self, codes: Tensor, ids: Tensor) -> None:
        self._codes, self._ids = torch.cat([self._codes, codes]), torch.cat([self._ids, ids])
        self._sorted = None

    def _visited(self, codes: Tensor, names: Tensor | None) -> tuple[Tensor, ProbedLists]:
        buckets = self._buckets()
        probes = buckets.probes(flips_of(hashes_of(codes, 0, self.b), self.b, self.nflip))
        ids = self._ids if names is None else names[self._ids]
        return self._codes[buckets.order], ProbedLists(ids[buckets.order], buckets.starts, buckets.sizes, probes)

    def _search(
        self, codes: Tensor, k: int, params: SearchParameters | None, names: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        keys, lists = self._visited(codes, names)
        allowed = None if params is None or params.sel is None else params.sel.members(lists.ids)
        distances, ids = hamming_search(codes, keys, k, allowed=allowed, lists=lists)
        return distances, ids

    def _range_search(
        self, codes: Tensor, radius: int, params: SearchParameters | None, names: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        keys, lists = self._visited(codes, names)
        allowed = None if params is None or params.sel is None else params.sel.members(lists.ids)
        return hamming_range_search(codes, keys, radius, allowed=allowed, lists=lists)

    def _reset(self) -> None:
        self._codes = torch.empty(0, self.code_size, dtype=torch.uint8)
        self._ids = torch.empty(0, dtype=torch.int64)
        self._sorted = None


class IndexBinaryMultiHash(IndexBinary):
    """faiss.IndexBinaryMultiHash(d, nhash, b): nhash tables, the i-th by bits i b ... i b + b - 1.

    A search looks at the vectors that any table has at hashes that differ in at most nflip bits. storage: an
    IndexBinaryFlat with the vectors.
    """

    storage: IndexBinaryFlat = IndexBinaryFlat(0)
    own_fields: bool = True
    nhash: int = 0
    b: int = 0
    nflip: int = 0
    _sorted: list[Buckets] | None = None

    def __init__(self, d: int = 0, nhash: int = 0, b: int = 0) -> None:
        super().__init__(d)
        self.nhash, self.b, self.storage = operator.index(nhash), operator.index(b), IndexBinaryFlat(self.d)
        if min(self.nhash, self.b) < 0 or self.nhash * self.b > self.d or self.b > _MOST_BITS:
            raise RuntimeError(
                f"{type(self).__name__}: nhash times b must be at most d = {self.d}, and b at most {_MOST_BITS}, "
                f"got {nhash} and {b}"
            )

    @property
    def ntotal(self) -> int:
        return self.storage.ntotal

    def hashtable_size(self) -> int:
        """Hashes that occur, in all tables."""
        return sum(len(table.hashes) for table in self._tables())

    def _tables(self) -> list[Buckets]:
        if self._sorted is None:
            codes = self.storage._codes
            self._sorted = [Buckets.of(hashes_of(codes, i * self.b, self.b)) for i in range(self.nhash)]
        return self._sorted

    def _add(self, codes: Tensor) -> None:
        self.storage._add(codes)
        self._sorted = None

    def _visited(self, codes: Tensor, names: Tensor | None) -> tuple[Tensor, ProbedLists]:
        """All tables, one after the other: a vector may be visited in each."""
        tables, probes, num_buckets = self._tables(), [], 0
        for i, table in enumerate(tables):
            mine = table.probes(flips_of(hashes_of(codes, i * self.b, self.b), self.b, self.nflip))
            probes.append(torch.where(mine < 0, -1, mine + num_buckets))
            num_buckets += len(table.hashes)
        nothing = torch.empty(0, dtype=torch.int64)
        order = torch.cat([nothing, *(table.order for table in tables)])
        starts = torch.cat([nothing, *(table.starts + i * self.ntotal for i, table in enumerate(tables))])
        sizes = torch.cat([nothing, *(table.sizes for table in tables)])
        visited = torch.cat([nothing.expand(len(codes), 0), *probes], 1)
        return self.storage._codes[order], ProbedLists(order if names is None else names[order], starts, sizes, visited)

    def _search(
        self, codes: Tensor, k: int, params: SearchParameters | None, names: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        keys, lists = self._visited(codes, names)
        allowed = None if params is None or params.sel is None else params.sel.members(lists.ids)
        # So many hold k different ones, in whose order those that are found again follow each other.
        distances, ids = hamming_search(codes, keys, k * max(1, self.nhash), allowed=allowed, lists=lists)
        again = torch.zeros_like(ids, dtype=torch.bool)
        again[:, 1:] = ids[:, 1:] == ids[:, :-1]
        order = again.to(torch.uint8).argsort(dim=1, stable=True)[:, :k]
        missing = again.gather(1, order)
        distances = distances.gather(1, order).masked_fill(missing, NO_DISTANCE)
        return distances, ids.gather(1, order).masked_fill(missing, -1)

    def _range_search(
        self, codes: Tensor, radius: int, params: SearchParameters | None, names: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        keys, lists = self._visited(codes, names)
        allowed = None if params is None or params.sel is None else params.sel.members(lists.ids)
        lims, distances, ids = hamming_range_search(codes, keys, radius, allowed=allowed, lists=lists)
        queries = torch.arange(len(codes)).repeat_interleave(lims.diff())
        first = torch.ones(len(ids), dtype=torch.bool)
        first[1:] = (ids[1:] != ids[:-1]) | (queries[1:] != queries[:-1])
        counts = torch.bincount(queries[first], minlength=len(codes))
        return torch.cat([lims[:1], counts.cumsum(0)]), distances[first], ids[first]

    def _reset(self) -> None:
        self.storage._reset()
        self._sorted = None
