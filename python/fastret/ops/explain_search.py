"""explain_search: how a search was answered, and why so."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from .. import _C
from .arrays import Array, Metric, check_k
from .first_pass import FIRST_PASSES, FirstPass
from .packing import PackedKeys
from .planes import SplitPlanes
from .search import device_search
from .search_arguments import SearchArguments, search_arguments

EXACT = "exact"  # no first pass: every key is scored canonically
DEVICE = "device"  # a CUDA device's own kernels, or what stands for them where split planes are on the CPU


@dataclass(frozen=True, eq=False)
class SearchExplanation:
    """What a search chose, what its first pass left over, and the answer."""

    first_pass: str  # "int8", "int16" or "float32"; "device": that of the CUDA kernels, which tell no more
    why: str  # one sentence
    packed: bool  # whether the pass read packed keys
    isa: str  # instruction set, "cuda" on a CUDA device
    threads: int  # of torch's CPU pool; small searches, and those that run at once, use fewer
    num_keys: int  # N
    answered_by: dict[str, int]  # queries by the pass that answered them, coarsest first; "exact": none
    # [Q] int64: canonical scores, of the keys that the bound left over and that the worst of the first k to be
    # scored (the pivot) did not rule out; -1: not counted, by a CUDA device and of split planes
    rescored: Tensor
    scores: Tensor = field(repr=False)  # [Q, K], as of search
    ids: Tensor = field(repr=False)  # [Q, K]

    @property
    def fallbacks(self) -> int:
        """Queries that the chosen first pass could not answer: it kept too many keys, k is near N, or the query is
        beyond its numbers."""
        return len(self.rescored) - self.answered_by.get(self.first_pass, 0)

    def __str__(self) -> str:
        packed = "packed keys" if self.packed else "keys that are not packed"
        answered = ", ".join(f"{name} {count}" for name, count in self.answered_by.items()) or "no pass"
        lines = [
            f"first pass      {self.first_pass}, {packed}",
            f"why             {self.why}",
            f"runs on         {self.isa}, threads: {self.threads}",
            f"queries         {len(self.rescored)}, answered by {answered}; fallbacks: {self.fallbacks}",
        ]
        if self.first_pass != DEVICE and len(self.rescored):
            least, middle, most = (
                int(part) for part in (self.rescored.min(), self.rescored.median(), self.rescored.max())
            )
            lines.append(f"rescored keys   min {least}, median {middle}, max {most} per query, of {self.num_keys}")
        return "\n".join(lines)


def explain_search(
    queries: Array,
    keys: Array | PackedKeys,
    k: int,
    metric: Metric | None = None,
    *,
    first_pass: FirstPass = "auto",
    allowed: Array | None = None,
    excluded: Array | None = None,
) -> SearchExplanation:
    """Search and tell how: which first pass was chosen and why, how many keys it left over, how often it failed.

    Takes and raises what `search` does; `print` the result. Its tensors are tensors for numpy queries too.

    >>> print(explain_search(queries, fastret.pack(keys), k=10))  # doctest: +SKIP
    first pass      int8, packed keys
    why             the keys are packed for it
    runs on         avx512, threads: 2
    queries         1000, answered by int8 1000; fallbacks: 0
    rescored keys   min 11, median 24, max 63 per query, of 100000
    """
    a = search_arguments("explain_search", queries, keys, metric, first_pass, allowed, excluded)
    q, x, k = a.queries, a.keys, check_k("explain_search", k)
    if a.on_device:
        scores, ids = device_search(a, k)
        return SearchExplanation(
            DEVICE,
            "a CUDA device has kernels of its own" if q.is_cuda else "split planes are made for CUDA devices",
            isinstance(x, SplitPlanes),
            "cuda" if q.is_cuda else _C.get_isa(),
            torch.get_num_threads(),
            x.shape[0],
            {DEVICE: len(q)},
            torch.full((len(q),), -1, device=q.device),
            scores,
            ids,
        )
    scores, ids, rescored, passes = torch.ops.fastret.explained_search(q, x, k, *a.packed, **a.filters)
    chosen, why = _choice(a, keys, first_pass)
    # A query without neighbours needs no pass at all: it counts as answered by the chosen one.
    passes = torch.where(rescored == 0, -2, passes)
    counts: dict[str, int] = {name: int((passes == number).sum()) for number, name in enumerate(FIRST_PASSES)}
    counts[EXACT] = int((passes == -1).sum())
    counts[chosen] += int((passes == -2).sum())
    order = (*reversed(FIRST_PASSES), EXACT)
    return SearchExplanation(
        chosen,
        why,
        a.packing is not None,
        _C.get_isa(),
        torch.get_num_threads(),
        x.shape[0],
        {name: counts[name] for name in order if counts[name]},
        rescored,
        scores,
        ids,
    )


def _choice(arguments: SearchArguments, keys: Array | PackedKeys, first_pass: FirstPass) -> tuple[str, str]:
    """The first pass of a search on the CPU, and the reason."""
    if arguments.packing is not None:
        return FIRST_PASSES[arguments.first_pass], "the keys are packed for it"
    if first_pass != "auto":
        return first_pass, "the caller asked for it"
    if isinstance(keys, PackedKeys):
        return keys.first_pass, "the keys are packed for it, which stores nothing"
    num_queries, dim = arguments.queries.shape
    name = _C.cheapest_first_pass(num_queries, dim)
    return name, f"the cheapest for {num_queries} queries of {dim} dimensions and keys that are not packed"
