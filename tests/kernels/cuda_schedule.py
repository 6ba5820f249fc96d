"""The schedule of the CUDA search in NumPy: planes, error bound, runs of tiles, thresholds and capacities.

What csrc/kernels/cuda does query by query and run by run, from planes.h to search.cu, without its parallelism; rules of
it can be broken, to see what they are for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from math import gcd
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Metric = Literal["ip", "cosine", "l2"]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

KEY_TILE = 256  # planes.h
DIGIT_BITS = 11  # tiles.h
LEAST_CAPACITY, PLANE_BYTES = 1024, 256 << 20  # tiles.h
DENSE_TILE = 32  # of score_tile.cuh
INF = np.float32(np.inf)


def ceil_div(a: int, b: int) -> int:
    return -(-a // b)


def plane_stride(dim: int) -> int:
    return ceil_div(dim, 64) * 64


# ---- planes.h


def high(rows: Floats) -> Floats:
    """Each element rounded to bfloat16."""
    bits = rows.view(np.uint32).astype(np.uint64)
    return ((bits + 0x8000) >> 16 << 16).astype(np.uint32).view(np.float32)


def middle(rows: Floats) -> Floats:
    with np.errstate(invalid="ignore"):
        return high(rows - high(rows))


# ---- error_bound.cuh


class RowNorms(NamedTuple):
    exact: Doubles
    residual: Doubles
    high: Doubles


class KeyFacts(NamedTuple):
    scale: Floats
    bias: Floats
    residual: Floats
    norm: Floats


class QueryFacts(NamedTuple):
    norm: Floats
    residual: Floats
    extra: Floats

    def of(self, q: int) -> QueryFacts:
        return QueryFacts(*(fact[q] for fact in self))


def square_sums(rows: Doubles) -> Doubles:
    """In the order of split_rows.cu: two elements per lane at a time, then pairs of lanes 16, 8, 4, 2, 1 apart."""
    padded = np.zeros((len(rows), plane_stride(rows.shape[1])))
    padded[:, : rows.shape[1]] = rows * rows
    lanes = np.zeros((len(rows), 32))
    for step in padded.reshape(len(rows), -1, 32, 2).transpose(1, 3, 0, 2).reshape(-1, len(rows), 32):
        lanes += step
    while lanes.shape[1] > 1:
        lanes = lanes[:, : lanes.shape[1] // 2] + lanes[:, lanes.shape[1] // 2 :]
    return lanes[:, 0]


def row_norms(rows: Floats) -> RowNorms:
    pieces = [
        (square_sums(exact), square_sums(exact - rounded), square_sums(rounded))
        for part in np.array_split(rows, ceil_div(rows.size, 1 << 22))
        for exact, rounded in [(part.astype(np.float64), high(part).astype(np.float64))]
    ]
    return RowNorms(*(np.sqrt(np.concatenate(sums)) for sums in zip(*pieces, strict=True)))


def upward(values: Doubles | float) -> Floats:
    return np.asarray(np.asarray(values) * (1 + 2.0**-20), np.float32)


def canonical_rounding(dim: int) -> float:
    return 2.0**-24 + (4 * dim + 16) * 2.0**-53


def squared_extra(metric: Metric, dim: int) -> Floats:
    return upward(8 * 2.0**-24 + 1.02 * canonical_rounding(dim) if metric == "l2" else 0)


def fits_first_pass(norm: Doubles) -> NDArray[np.bool_]:
    return (norm == 0) | ((norm >= 2.0**-30) & (norm <= 2.0**60))


def key_facts(metric: Metric, norms: RowNorms) -> KeyFacts:
    fits = fits_first_pass(norms.exact)
    exact = np.where(fits, norms.exact, 1)
    scale = np.where(exact == 0, 0, 1 / np.where(exact == 0, 1, exact)) if metric == "cosine" else np.ones(len(fits))
    bias = -0.5 * exact * exact if metric == "l2" else np.zeros(len(fits))
    unknown = np.where(np.isnan(norms.exact), np.nan, np.inf)
    return KeyFacts(
        np.where(fits, scale, 1).astype(np.float32),
        np.where(fits, bias, 0).astype(np.float32),
        np.where(fits, upward(np.where(fits, scale * norms.residual, 0)), unknown).astype(np.float32),
        np.where(fits, upward(np.where(fits, scale * norms.high, 0)), 0).astype(np.float32),
    )


def query_facts(metric: Metric, dim: int, norms: RowNorms, finer: bool = False) -> QueryFacts:
    w = canonical_rounding(dim)
    rounding = ((3.12 if finer else 3.06) * plane_stride(dim) + 16) * 2.0**-24 * norms.high + 1.01 * w * norms.exact
    residual = (1.01 * 2.0**-8 if finer else 1) * norms.residual + rounding
    norm = 2.0**-8 * norms.exact + 1.01 * norms.residual if finer else norms.exact
    extra = w * (norms.exact * norms.exact) if metric == "l2" else np.zeros_like(norm)
    return QueryFacts(upward(norm), upward(residual), upward(extra))


def width(query: QueryFacts, extra: Floats, residual: Floats, norm: Floats) -> Floats:
    with np.errstate(invalid="ignore"):
        return query.norm * residual + (query.residual + extra * norm) * norm + query.extra


# ---- search.cu


class Plan(NamedTuple):
    k: int
    capacity: int
    tiles: int
    step: int
    run_ends: list[int]  # in tiles
    finer_ends: list[int]


def runs(tiles: int, first: int, most: int) -> list[int]:
    ends = [0]
    while ends[-1] < tiles:
        ends.append(ends[-1] + min(max(1, ends[-1], first), most, tiles - ends[-1]))
    return ends[1:]


def plan(num_keys: int, dim: int, k: int, least_capacity: int, plane_bytes: int | None) -> Plan:
    """`plane_bytes` for planes of keys that come without; None: the keys have them."""
    tiles = ceil_div(num_keys, KEY_TILE)
    step = max(1, int(0.618 * tiles))
    while gcd(step, tiles) != 1:
        step += 1
    dense = min(k + k // 2 + 4 * DENSE_TILE, (ceil_div(num_keys, DENSE_TILE) + 1) * DENSE_TILE)
    capacity = max(dense, min(max(least_capacity, 6 * k + 128), tiles * KEY_TILE))
    most = (PLANE_BYTES if plane_bytes is None else plane_bytes) // (KEY_TILE * plane_stride(dim) * 2)
    longest, finer_longest = (tiles, max(1, most)) if plane_bytes is None else (max(1, most), max(1, most // 2))
    first = capacity // KEY_TILE
    return Plan(k, capacity, tiles, step, runs(tiles, first, longest), runs(tiles, first, finer_longest))


@dataclass(frozen=True)
class Rules:
    """Those of the search; others lose neighbours, or overflow."""

    votes: Literal["lower ends", "values", "upper ends"] = "lower ends"  # whose k-th largest is the threshold
    width: float = 1.0  # of the bound
    order: Literal["golden section", "memory"] = "golden section"


@dataclass
class Answer:
    """How one query went."""

    by: Literal["scan", "finer scan", "canonical scores"] = "scan"
    survivors: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    threshold: np.float32 = -INF
    live: list[int] = field(default_factory=list)  # entries of the buffer after each run, before it is tightened
    thresholds: list[np.float32] = field(default_factory=list)
    kept: list[NDArray[np.int64]] = field(default_factory=list)  # after it was


def ordered(values: Floats) -> NDArray[np.uint32]:
    bits = (values + np.float32(0)).view(np.uint32)
    return np.where(bits >> 31 == 1, ~bits, bits | np.uint32(1 << 31))


def value_of(bits: int) -> np.float32:
    return np.uint32(bits & 0x7FFFFFFF if bits >> 31 else bits ^ 0xFFFFFFFF).view(np.float32)


def kth_vote(votes: Floats, k: int) -> np.float32:
    """The k-th largest as block_select.cuh finds it: digit by digit, until the k largest are told from the rest."""
    if len(votes) <= k:
        return -INF
    bits = ordered(votes)
    kth = int(np.partition(bits, len(bits) - k)[len(bits) - k])
    for undecided in (32 - DIGIT_BITS, 32 - 2 * DIGIT_BITS):
        if np.count_nonzero(bits >> np.uint32(undecided) >= kth >> undecided) == k:
            kth = kth >> undecided << undecided
            break
    return value_of(kth)


class Search:
    """Keys and queries of one metric, and their scans. float32 [Q, D] and [N, D]."""

    def __init__(self, queries: Floats, keys: Floats, metric: Metric) -> None:
        self.queries, self.keys, self.metric = queries, keys, metric
        self.dim, self.num_keys = keys.shape[1], len(keys)
        self.key_facts = key_facts(metric, row_norms(keys))
        norms = row_norms(queries)
        self.facts = query_facts(metric, self.dim, norms)
        self.finer_facts = query_facts(metric, self.dim, norms, finer=True)
        self.extra = squared_extra(metric, self.dim)
        self.high_norms = norms.high
        self.bounded = fits_first_pass(norms.exact) & ((norms.exact != 0) | (metric == "l2"))
        with np.errstate(invalid="ignore", over="ignore"):
            self.products = high(queries) @ high(keys).T

    @cached_property
    def finer_products(self) -> Floats:
        small = high(self.queries) @ middle(self.keys).T + middle(self.queries) @ high(self.keys).T
        return small + self.products

    def answer(self, q: int, how: Plan, rules: Rules = Rules(), sum_errors: Doubles | float = 0.0) -> Answer:
        """`sum_errors`: of each product, in units of the most that item 2 of the bound allows."""
        answer = Answer()
        if not self.bounded[q]:
            answer.by = "canonical scores"
            return answer
        norms = self.key_facts.norm.astype(np.float64) / np.where(self.key_facts.scale > 0, self.key_facts.scale, 1)
        most = 3 * plane_stride(self.dim) * 2.0**-24 * self.high_norms[q] * norms
        errors = (sum_errors * most).astype(np.float32)
        if not self._scan(how, how.run_ends, self.products[q] + errors, self.facts.of(q), rules, answer):
            answer.by = "finer scan"
            if not self._scan(
                how, how.finer_ends, self.finer_products[q] + errors, self.finer_facts.of(q), rules, answer
            ):
                answer.by = "canonical scores"
        return answer

    def _scan(
        self, how: Plan, ends: list[int], products: Floats, facts: QueryFacts, rules: Rules, answer: Answer
    ) -> bool:
        """Whether no buffer overflowed."""
        keys = self.key_facts
        with np.errstate(invalid="ignore", over="ignore"):
            # A fused multiply-add: the product is exact in float64.
            values = (products.astype(np.float64) * keys.scale + keys.bias).astype(np.float32)
            half = np.float32(rules.width) * width(facts, self.extra, keys.residual, keys.norm)
            lower = np.where(keys.residual == INF, -INF, values - half)
            upper = np.where(keys.residual == INF, INF, values + half)
        voting = {"lower ends": lower, "values": values, "upper ends": upper}[rules.votes]
        room = np.full(how.tiles * KEY_TILE - self.num_keys, np.nan, np.float32)
        widest = [
            np.fmax.reduce(np.concatenate([fact, room]).reshape(-1, KEY_TILE), axis=1, initial=0)
            for fact in (keys.residual, np.where(np.isnan(keys.residual), 0, keys.norm))
        ]
        widest_half = np.float32(rules.width) * width(facts, self.extra, widest[0], widest[1])
        visits = np.arange(how.tiles) * (how.step if rules.order == "golden section" else 1) % how.tiles

        kept, whole, begin = np.empty(0, np.int64), True, 0
        for end in ends:
            tiles = visits[begin:end]
            run = (tiles[:, None] * KEY_TILE + np.arange(KEY_TILE)).reshape(-1)
            run = run[run < self.num_keys]
            with np.errstate(invalid="ignore"):
                room_for_rounding = (np.abs(answer.threshold) + widest_half) * np.float32(2.0**-22)
                cuts = answer.threshold - widest_half - room_for_rounding
                passing = ~(values[run] < cuts[run // KEY_TILE]) & (upper[run] >= answer.threshold)
            kept = np.concatenate([kept, run[passing]])
            answer.live.append(len(kept))
            if len(kept) > how.capacity:
                whole = False
                kept = kept[: how.capacity]
            if len(kept) >= how.k:
                answer.threshold = np.fmax(answer.threshold, kth_vote(voting[kept], how.k))
            kept = kept[upper[kept] >= answer.threshold]
            answer.thresholds.append(answer.threshold)
            answer.kept.append(kept)
            begin = end
        answer.survivors = kept
        return whole


def rank_values(query: Floats, keys: Floats, metric: Metric) -> Doubles:
    """Scores in float64, larger ones first."""
    q = query.astype(np.float64)
    parts = []
    for part in np.array_split(keys, ceil_div(keys.size, 1 << 22)):
        x = part.astype(np.float64)
        if metric == "l2":
            parts.append(-np.square(q - x).sum(1))
        else:
            norms = np.linalg.norm(x, axis=1) * np.linalg.norm(q) if metric == "cosine" else np.ones(len(x))
            parts.append(np.divide(x @ q, norms, out=np.zeros(len(x)), where=norms > 0))
    return np.concatenate(parts)


def nearest(ranks: Doubles, k: int) -> NDArray[np.int64]:
    """The k nearest keys by canonical scores, and those by the scores before they are rounded to float32."""
    best = [np.argsort(-values, kind="stable")[:k] for values in (ranks, ranks.astype(np.float32))]
    return np.unique(np.concatenate(best))
