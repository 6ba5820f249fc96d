"""What hnsw_add and hnsw_search compute: plain Python, equal bit for bit to the kernels. For reading and for tests."""

from __future__ import annotations

from bisect import insort
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .arrays import Metric
from .hnsw import HnswGraph
from .reference import cosine_scores

LANES = 16
ORDER_SEED = 789  # FAISS's


class Node(NamedTuple):
    """Nearer first, of equal distances the smaller id; NaN is farther than infinity."""

    is_nan: bool
    distance: float
    id: int


def distances(query: Tensor, rows: Tensor, metric: Metric) -> list[float]:
    """Of a query [D] from rows [n, D], float32: 16 strided sums, then folded in halves, each step rounded."""
    a, b = (F.pad(part, (0, -part.shape[-1] % LANES)) for part in (query, rows))
    lanes = torch.zeros(len(rows), LANES)
    for first in range(0, a.shape[-1], LANES):
        x, y = a[first : first + LANES], b[:, first : first + LANES]
        lanes += x * y if metric == "ip" else (x - y).square()
    for half in (8, 4, 2, 1):
        lanes = lanes[:, :half] + lanes[:, half:]
    found: list[float] = (0 - lanes[:, 0] if metric == "ip" else lanes[:, 0]).tolist()
    return found


class Walker:
    """Walks towards a query, or towards a vector that is added."""

    def __init__(self, vectors: Tensor, graph: HnswGraph, metric: Metric) -> None:
        self.vectors, self.graph, self.metric = vectors, graph, metric

    def nodes(self, query: Tensor, ids: list[int]) -> list[Node]:
        found = distances(query, self.vectors[ids], self.metric)
        return [Node(x != x, 0.0 if x != x else x, i) for x, i in zip(found, ids, strict=True)]

    def places(self, id: int, level: int) -> slice:
        start = int(self.graph.offsets[id])
        return slice(*(start + int(place) for place in self.graph.level_starts[level : level + 2]))

    def neighbors(self, id: int, level: int) -> list[int]:
        return [other for other in self.graph.neighbors[self.places(id, level)].tolist() if other >= 0]

    def descend(self, query: Tensor, level: int) -> Node:
        """Greedy steps on the levels above this one."""
        entry, top = self.graph.entry.tolist()
        nearest = self.nodes(query, [entry])[0]
        for at in range(top, level, -1):
            while True:
                # The first of the nearest in the order of the list; only what is nearer is a step.
                found = min(self.nodes(query, self.neighbors(nearest.id, at)), key=lambda n: n[:2], default=nearest)
                if found[:2] >= nearest[:2]:
                    break
                nearest = found
        return nearest

    def walk(
        self, query: Tensor, entry: Node, level: int, capacity: int, limit: int, max_hops: int
    ) -> tuple[list[Node], list[Node]]:
        """The `capacity` nearest of the vectors met, nearest first, and all that were met."""
        pool, met, expanded = [entry], [entry], set[int]()
        while len(expanded) <= max_hops:
            at = next((i for i, node in enumerate(pool[:limit]) if node.id not in expanded), None)
            if at is None:
                break
            expanded.add(pool[at].id)
            known = {node.id for node in met}
            fresh = self.nodes(query, [i for i in self.neighbors(pool[at].id, level) if i not in known])
            met += fresh
            for node in fresh:
                insort(pool, node)
            del pool[capacity:]
        return pool, met

    def pruned(self, nodes: list[Node], most: int, room: int, fill: bool) -> list[Node]:
        """Of nodes, nearest first, those that no kept one is nearer to than the vector they are to be neighbours of."""
        kept: list[Node] = []
        dropped: list[Node] = []
        for node in nodes:
            others = self.nodes(self.vectors[node.id], [other.id for other in kept])
            bad = any(other[:2] < node[:2] for other in others)
            (dropped if bad else kept).append(node)
            if len(kept) == most:
                break
        return kept + (dropped[: room - len(kept)] if fill else [])


def search(
    queries: Tensor,
    vectors: Tensor,
    graph: HnswGraph,
    k: int,
    metric: Metric = "l2",
    *,
    ef: int = 16,
    check_relative_distance: bool = True,
    allowed: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """scores [Q, K] and ids [Q, K], as of `hnsw_search`."""
    scores = torch.full((len(queries), k), float("inf" if metric == "l2" else "-inf"))
    ids = torch.full((len(queries), k), -1)
    walker, n = Walker(vectors, graph, metric), len(vectors)
    limit, max_hops = (ef, n) if check_relative_distance else (n, ef)
    for q, query in enumerate(queries if int(graph.entry[0]) >= 0 else []):
        pool, met = walker.walk(query, walker.descend(query, 0), 0, min(n, max(ef, k, 1)), limit, max_hops)
        candidates = pool if allowed is None else sorted(node for node in met if allowed[node.id])
        found = [node.id for node in candidates if not node.is_nan][:k]
        exact = cosine_scores(query[None], vectors[found], metric)[0].tolist()
        best = sorted(
            zip(exact, found, strict=True), key=lambda pair: (pair[0] if metric == "l2" else -pair[0], pair[1])
        )
        for place, (score, id) in enumerate(best):
            scores[q, place], ids[q, place] = score, id
    return scores, ids


def add(
    vectors: Tensor,
    first: int,
    graph: HnswGraph,
    metric: Metric = "l2",
    *,
    ef_construction: int = 40,
    prune_headroom: float = 0.2,
    keep_max_size_level0: bool = False,
) -> None:
    """Links vectors[first:] into the graph, as `hnsw_add` does."""
    walker, n = Walker(vectors, graph, metric), len(vectors)
    largest_batch = max(1, int(0.02 * n))
    words = np.random.RandomState(ORDER_SEED)
    for top in range(int(graph.levels[first:].max()) - 1 if first < n else -1, -1, -1):
        group = [i for i in range(first, n) if int(graph.levels[i]) == top + 1]
        for i in range(len(group)):
            j = i + int(np.frombuffer(words.bytes(4), "<u4")[0]) % (len(group) - i)
            group[i], group[j] = group[j], group[i]
        if group and int(graph.entry[0]) < 0:
            graph.entry[:] = torch.tensor([group[0], top])
        done = 0
        while done < len(group):
            batch = group[done : done + min(max(done, 1), largest_batch)]
            incoming: dict[tuple[int, int], list[int]] = {}
            chosen = {}
            for id in batch:
                levels = range(min(top, int(graph.entry[1])), -1, -1)
                nearest = walker.descend(vectors[id], levels[0])
                for level in levels:
                    room = len(range(*walker.places(id, level).indices(len(graph.neighbors))))
                    pool, _ = walker.walk(vectors[id], nearest, level, ef_construction, n, n)
                    if len(pool) >= room:
                        pool = walker.pruned(pool, room, room, keep_max_size_level0 and level == 0)
                    chosen[id, level] = [node.id for node in reversed(pool) if node.id != id]
                    for other in chosen[id, level]:
                        incoming.setdefault((other, level), []).append(id)
            for (id, level), others in chosen.items():
                _write(walker, id, level, others)
            for (id, level), sources in incoming.items():
                others = walker.neighbors(id, level)
                others += [source for source in sorted(sources) if source not in others]
                room = len(range(*walker.places(id, level).indices(len(graph.neighbors))))
                if len(others) > room:
                    most = max(1, int(np.float32(room) - np.float32(room) * np.float32(min(prune_headroom, 0.5))))
                    nodes = sorted(walker.nodes(vectors[id], others))
                    others = [n.id for n in walker.pruned(nodes, most, room, keep_max_size_level0 and level == 0)]
                _write(walker, id, level, others)
            if top > int(graph.entry[1]):
                graph.entry[:] = torch.tensor([group[0], top])
            done += len(batch)


def _write(walker: Walker, id: int, level: int, others: list[int]) -> None:
    places = walker.places(id, level)
    walker.graph.neighbors[places] = -1
    walker.graph.neighbors[places.start : places.start + len(others)] = torch.tensor(others, dtype=torch.int32)
