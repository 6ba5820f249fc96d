"""IndexHNSW*: the one native call that answers numpy queries finds what the general way finds, bit for bit."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from one_call import assert_one_call_finds_the_same

import fastret.faiss as ff

METRICS = [ff.METRIC_L2, ff.METRIC_INNER_PRODUCT]
D, N = 20, 900


@pytest.fixture(scope="module")
def vectors() -> np.ndarray[Any, Any]:
    return np.random.default_rng(7).standard_normal((N, D), dtype=np.float32)


@pytest.fixture(scope="module")
def queries() -> np.ndarray[Any, Any]:
    queries = np.random.default_rng(8).standard_normal((12, D), dtype=np.float32)
    queries[3, 5] = np.nan
    queries[4, 6] = np.inf
    queries[5] *= 1e30
    return queries


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ["HNSW8,Flat", "HNSW8,SQ8", "HNSW8,SQfp16", "HNSW8,PQ5x4"])
def test_it_finds_the_same_after_every_change(vectors: Any, queries: Any, kind: str, metric: int) -> None:
    index = ff.index_factory(D, kind, metric)
    index.train(vectors)
    assert_one_call_finds_the_same(index, queries)  # which is nothing
    index.add(vectors[:500])
    assert_one_call_finds_the_same(index, queries)
    index.add(vectors[500:])
    assert_one_call_finds_the_same(index, queries)
    found = index.search(queries, 10)[1]
    if hasattr(index.storage, "permute_entries"):
        index.permute_entries(np.random.default_rng(4).permutation(N))
        assert_one_call_finds_the_same(index, queries)
        assert not np.array_equal(index.search(queries, 10)[1], found)
    index.hnsw.efSearch = 3
    assert_one_call_finds_the_same(index, queries)
    index.hnsw.check_relative_distance = False
    assert_one_call_finds_the_same(index, queries)
    index.reset()
    assert_one_call_finds_the_same(index, queries)
    assert (index.search(queries, 2)[1] == -1).all()
    index.add(vectors[200:300])
    assert_one_call_finds_the_same(index, queries)


def test_tables_that_are_written_to_are_searched_as_they_are_then(vectors: Any, queries: Any) -> None:
    index = ff.index_factory(D, "HNSW8,Flat")
    index.add(vectors)
    before = index.search(queries, 10)[1]
    index.hnsw.entry_point = 17
    index.hnsw.max_level = 0
    assert_one_call_finds_the_same(index, queries)
    index.hnsw.clear_neighbor_tables(0)
    assert_one_call_finds_the_same(index, queries)
    assert not np.array_equal(index.search(queries, 10)[1], before)
    index.hnsw.entry_point = N
    with pytest.raises(RuntimeError, match=f"entry must be a vector and its highest level, got {N} and 0"):
        index.search(queries, 10)


def test_another_storage_is_searched(vectors: Any, queries: Any) -> None:
    index = ff.index_factory(D, "HNSW8,Flat")
    index.add(vectors)
    before = index.search(queries, 1)[0]
    index.storage = ff.IndexFlatL2(D)
    index.storage.add(2 * vectors)
    assert_one_call_finds_the_same(index, queries)
    assert not np.array_equal(index.search(queries, 1)[0], before)
    index.storage.add(vectors[:1])
    with pytest.raises(ValueError, match=rf"levels must be \[{N + 1}\] for {N + 1} vectors, got \[{N}\]"):
        index.search(queries, 1)


def test_copies_search_arrays_of_their_own(vectors: Any, queries: Any) -> None:
    index = ff.index_factory(D, "HNSW8,Flat")
    index.add(vectors[:500])
    found = index.search(queries, 5)[1]
    for other in (copy.deepcopy(index), pickle.loads(pickle.dumps(index))):
        other.add(vectors[500:])
        assert_one_call_finds_the_same(other, queries)
        assert not np.array_equal(other.search(queries, 5)[1], found)
    np.testing.assert_array_equal(index.search(queries, 5)[1], found)


def test_threads_search_at_once(vectors: Any) -> None:
    queries = np.random.default_rng(9).standard_normal((400, D), dtype=np.float32)
    index = ff.index_factory(D, "HNSW8,Flat")
    index.add(vectors)
    wanted = index.search(queries, 7)
    with ThreadPoolExecutor(4) as threads:
        alone = list(threads.map(lambda q: index.search(queries[q : q + 1], 7), range(len(queries))))
    for column, whole in zip(zip(*alone, strict=True), wanted, strict=True):
        np.testing.assert_array_equal(np.concatenate(column), whole)


def test_both_ways_count_the_same(vectors: Any, queries: Any) -> None:
    index = ff.index_factory(D, "HNSW8,Flat")
    index.add(vectors)
    stats, counted = ff.cvar.hnsw_stats, []
    for search in (index.search, lambda x, k: index.search(torch.from_numpy(x), k)):
        stats.reset()
        search(queries, 5)
        counted.append((stats.n1, stats.n2, stats.ndis, stats.nhops))
    assert counted[0] == counted[1] and counted[0][0] == len(queries) < counted[0][3]


def test_what_it_leaves_to_the_general_way(vectors: Any, queries: Any) -> None:
    index = ff.index_factory(D, "HNSW8,Flat")
    index.add(vectors)
    wanted = index.search(queries, 5)
    others = queries.astype(np.float64), np.asfortranarray(queries), queries.tolist(), torch.from_numpy(queries)
    for x in others:
        assert index._search_at_once(x, 5) is None
        np.testing.assert_array_equal(np.asarray(index.search(x, 5)[1]), wanted[1])
    np.testing.assert_array_equal(index.search(queries, np.int64(5))[1], wanted[1])
    for x, k in ((queries, 0), (queries, -1), (queries[:, 1:].copy(), 5)):
        with pytest.raises(AssertionError, match=r"IndexHNSWFlat.search: (k|vectors) must be"):
            index.search(x, k)
    assert index.search(queries[:0], 5)[1].shape == (0, 5)
    index.hnsw.efSearch = 0
    assert index._search_at_once(queries, 5) is None
    index.hnsw.efSearch = np.int64(30)
    assert index.search(queries, 5)[1].shape == (12, 5)
