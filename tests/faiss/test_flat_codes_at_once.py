"""IndexScalarQuantizer and IndexLSH: one native call finds what the general way finds, bit for bit."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from one_call import assert_one_call_finds_the_same

import fastret.faiss as ff

D, N = 20, 5000  # more rows than a list holds
KINDS = [*(("SQ8", metric) for metric in (0, 1)), ("SQ6", 1), ("SQ4", 0), ("SQ8_direct", 1), ("LSH", 1), ("LSH30rt", 1)]


@pytest.fixture(scope="module")
def vectors() -> np.ndarray[Any, Any]:
    return np.random.default_rng(7).standard_normal((N, D), dtype=np.float32)


@pytest.fixture(scope="module")
def queries() -> np.ndarray[Any, Any]:
    queries = np.random.default_rng(8).standard_normal((7, D), dtype=np.float32)
    queries[3, 5] = np.nan
    queries[4, 6] = np.inf
    queries[5] *= 1e30
    return queries


def made(kind: str, metric: int) -> Any:
    if kind == "SQ8_direct":
        return ff.IndexScalarQuantizer(D, ff.ScalarQuantizer.QT_8bit_direct, metric)
    return ff.index_factory(D, kind, metric)


@pytest.mark.parametrize(("kind", "metric"), KINDS)
def test_it_finds_the_same_after_every_change(vectors: Any, queries: Any, kind: str, metric: int) -> None:
    index = made(kind, metric)
    if not index.is_trained:
        with pytest.raises(RuntimeError, match="not trained"):
            index.search(queries, 3)
    index.train(vectors)
    assert_one_call_finds_the_same(index, queries)  # which is nothing
    index.add(vectors[:30])
    assert_one_call_finds_the_same(index, queries)
    index.add(vectors[30:])
    assert_one_call_finds_the_same(index, queries)
    found = index.search(queries, 10)[1]
    index.permute_entries(np.random.default_rng(4).permutation(N))
    assert_one_call_finds_the_same(index, queries)
    assert not np.array_equal(index.search(queries, 10)[1], found)
    other = copy.deepcopy(index)
    index.remove_ids(np.arange(0, N, 3))
    assert_one_call_finds_the_same(index, queries)
    assert other.ntotal == N
    assert_one_call_finds_the_same(other, queries)
    other.metric_type = 1 - metric
    if kind.startswith("SQ"):
        assert_one_call_finds_the_same(other, queries)
    index.reset()
    assert (index.search(queries, 2)[1] == -1).all()


def test_it_finds_the_same_after_another_training(vectors: Any, queries: Any) -> None:
    index = made("SQ8", ff.METRIC_L2)
    index.train(vectors)
    index.add(vectors)
    before = index.search(queries, 5)[0]
    index.train(3 * vectors)
    assert_one_call_finds_the_same(index, queries)
    assert not np.array_equal(index.search(queries, 5)[0], before)


@pytest.mark.parametrize("kind", ["SQ8", "LSH"])
def test_threads_search_at_once(vectors: Any, kind: str) -> None:
    index = made(kind, ff.METRIC_L2)
    index.train(vectors)
    index.add(vectors)
    queries = np.random.default_rng(9).standard_normal((60, D), dtype=np.float32)
    wanted = index.search(queries, 7)
    with ThreadPoolExecutor(4) as threads:
        alone = list(threads.map(lambda q: index.search(queries[q : q + 1], 7), range(len(queries))))
    for column, whole in zip(zip(*alone, strict=True), wanted, strict=True):
        np.testing.assert_array_equal(np.concatenate(column), whole)


@pytest.mark.parametrize("kind", ["SQ8", "SQfp16", "LSH"])
def test_what_is_refused_stays_refused(vectors: Any, queries: Any, kind: str) -> None:
    index = made(kind, ff.METRIC_L2)
    index.train(vectors)
    index.add(vectors)
    for x, k in ((queries, 0), (queries, -1), (queries[:, 1:].copy(), 5)):
        with pytest.raises(AssertionError, match=r"search: (k|vectors) must be"):
            index.search(x, k)
    wanted = index.search(queries, 5)[1]
    for x in (queries.astype(np.float64), np.asfortranarray(queries), queries.tolist()):
        np.testing.assert_array_equal(index.search(x, 5)[1], wanted)
    assert index.search(queries[:0], 5)[1].shape == (0, 5)
