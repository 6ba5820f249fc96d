"""hamming_search: the k nearest packed bits, among all keys and in inverted lists, against faiss's binary indexes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

import fastret.faiss
from fastret.ops.hamming_search import hamming_search

from .comparisons import FASTRET
from .contest import Prepare, Run, clock
from .exactness import checked_rows
from .peers import FAISS, faiss

if TYPE_CHECKING:
    from .conftest import Entry

Codes = tuple[Tensor, Tensor]  # queries [Q, B], keys [N, B] uint8

NLIST, NPROBE = 256, 16


@dataclass(frozen=True)
class HammingWork:
    op: ClassVar[str] = "hamming_search"
    num_queries: int
    num_keys: int
    num_bits: int
    k: int = 10
    lists: bool = False  # inverted lists of which a query visits some

    def __str__(self) -> str:
        lists = f" {NPROBE} of {NLIST} lists" if self.lists else ""
        return f"bits {self.num_queries}x{self.num_keys}x{self.num_bits} k={self.k}{lists}"

    def inputs(self) -> Codes:
        return _codes(self.num_queries, self.num_keys, self.num_bits)

    def contestants(self, threads: int) -> dict[str, Prepare]:
        found: dict[str, Prepare] = {FASTRET: self._lists_of_fastret if self.lists else self._fastret}
        if faiss:
            found[FAISS] = self._faiss
        return found

    def exact_share(self, codes: Codes, answer: Any) -> float:
        """Of distances: in which order faiss returns equal ones, and visits equally near lists, is its own."""
        distances = torch.as_tensor(np.asarray(answer[0]))[checked_rows(self.num_queries)]
        return (distances == _expected_distances(self)).double().mean().item()

    def _fastret(self, codes: Codes) -> Run:
        return lambda: hamming_search(*codes, self.k)

    def _lists_of_fastret(self, codes: Codes) -> Run:
        queries, index = codes[0].numpy(), fastret.faiss.deserialize_index_binary(_lists(codes[1]))
        return lambda: index.search(queries, self.k)

    def _faiss(self, codes: Codes) -> Run:
        queries, keys = (part.numpy() for part in codes)
        if self.lists:
            index = faiss.deserialize_index_binary(_lists(codes[1]))
        else:
            index = faiss.IndexBinaryFlat(self.num_bits)
            index.add(keys)
        return lambda: index.search(queries, self.k)


@lru_cache(maxsize=1)
def _codes(num_queries: int, num_keys: int, num_bits: int) -> Codes:
    """Queries near to some of the keys."""
    generator = torch.Generator().manual_seed(20262)
    keys = torch.randint(256, (num_keys, num_bits // 8), generator=generator, dtype=torch.uint8)
    near = keys[torch.randint(num_keys, (num_queries,), generator=generator)]
    noise = torch.randint(256, (3, *near.shape), generator=generator, dtype=torch.uint8)
    return near ^ (noise[0] & noise[1] & noise[2]), keys


@lru_cache(maxsize=1)
def _lists(keys: Tensor) -> Any:
    """The file of fastret's inverted lists with the keys, which faiss reads as well."""
    num_bits = 8 * keys.shape[1]
    index = fastret.faiss.IndexBinaryIVF(fastret.faiss.IndexBinaryFlat(num_bits), num_bits, NLIST)
    index.train(keys[: 64 * NLIST])
    index.add(keys)
    index.nprobe = NPROBE
    return fastret.faiss.serialize_index_binary(index)


@lru_cache(maxsize=1)
def _expected_distances(work: HammingWork) -> Tensor:
    """Those of the k nearest keys, from inner products of 1 and -1, which float32 holds exactly."""
    queries, keys = work.inputs()
    queries = queries[checked_rows(work.num_queries)]
    visited = _visited(queries, keys) if work.lists else torch.ones(1, work.num_keys, dtype=torch.bool)
    signs, nearest = _signs(queries), []
    for block, mine in zip(keys.split(1 << 16), visited.split(1 << 16, 1), strict=True):
        distances = ((work.num_bits - signs @ _signs(block).T) / 2).masked_fill(~mine, torch.inf)
        nearest.append(distances.topk(min(work.k, len(block)), largest=False).values)
    return torch.cat(nearest, 1).sort(1).values[:, : work.k].int()


def _visited(queries: Tensor, keys: Tensor) -> Tensor:
    """Whether each query visits the list of each key, [Q, N] bool."""
    index = fastret.faiss.deserialize_index_binary(_lists(keys))
    probed = torch.zeros(len(queries), NLIST, dtype=torch.bool)
    probed.scatter_(1, torch.from_numpy(index.quantizer.assign(queries.numpy(), NPROBE)), True)
    return probed[:, torch.from_numpy(index.quantizer.assign(keys.numpy(), 1)[:, 0])]


def _signs(codes: Tensor) -> Tensor:
    return torch.from_numpy(np.unpackbits(codes.numpy(), axis=1)).float() * 2 - 1


def works(quick: bool, embeddings: Path | None) -> list[HammingWork]:
    if quick:
        return [HammingWork(20, 3000, 64), HammingWork(1, 3000, 256), HammingWork(20, 30_000, 64, lists=True)]
    million = 1_000_000
    flat = [HammingWork(q, million, bits) for bits in (64, 128, 256, 512) for q in (1000, 100, 1)]
    return [*flat, HammingWork(1000, million, 256, k=100), HammingWork(1000, million, 256, lists=True)]


@pytest.mark.benchmark(timer=clock)
def test_hamming_search(entry: Entry, compete: Callable[[Entry], None]) -> None:
    compete(entry)
