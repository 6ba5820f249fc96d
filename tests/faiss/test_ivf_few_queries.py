"""One native call for few queries finds what coarse search and scan find, bit for bit."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import fastret.faiss as ff
from fastret.faiss.search_parameters import SearchParametersIVF


@pytest.mark.parametrize("metric", [ff.METRIC_L2, ff.METRIC_INNER_PRODUCT])
@pytest.mark.parametrize("kind", ["IVF12,Flat", "IVF12,SQ8", "IVF12,SQfp16", "IVF12,PQ4x4", "IVF12,PQ4x4fsr"])
def test_few_queries_as_many(kind: str, metric: int) -> None:
    random = np.random.default_rng(3)
    rows = random.standard_normal((700, 16), dtype=np.float32)
    index = ff.index_factory(16, kind, metric)
    index.train(rows)
    index.add_with_ids(rows, random.permutation(700))
    queries = random.standard_normal((30, 16), dtype=np.float32)
    queries[3] = np.nan
    queries[4] = np.inf
    queries[5] *= 1e30
    for nprobe, max_codes in ((1, 0), (5, 0), (12, 70)):
        index.nprobe, index.max_codes = nprobe, max_codes
        # A selector leads past the one call.
        everything = SearchParametersIVF(nprobe=nprobe, max_codes=max_codes, sel=ff.IDSelectorAll())
        wanted = index.search(queries, 9, params=everything)
        for count in (1, 3, 30):
            got = [index.search(queries[first : first + count], 9) for first in range(0, 30, count)]
            for column, whole in zip(zip(*got, strict=True), wanted, strict=True):
                np.testing.assert_array_equal(np.concatenate(column).view(np.uint8), whole.view(np.uint8))


def test_statistics_of_few_queries() -> None:
    rows = np.random.default_rng(3).standard_normal((500, 8), dtype=np.float32)
    index = ff.index_factory(8, "IVF10,Flat")
    index.train(rows)
    index.add(rows)
    index.nprobe, stats = 4, ff.cvar.indexIVF_stats
    counts = []
    selector = ff.IDSelectorAll()
    for params in (None, SearchParametersIVF(nprobe=4), SearchParametersIVF(nprobe=4, sel=selector)):
        stats.reset()
        index.search(rows[:3], 2, params=params)
        counts.append((stats.nq, stats.nlist, stats.ndis))
        assert stats.search_time >= stats.quantization_time > 0
    assert counts[0] == counts[1] == counts[2]


@pytest.mark.parametrize("kind", ["IVF4,Flat", "IVF4,PQ4x4"])
def test_nothing_is_held_of_lists_that_are_gone(kind: str) -> None:
    rows = np.random.default_rng(5).standard_normal((700, 16), dtype=np.float32)
    index, other = ff.index_factory(16, kind), ff.index_factory(16, kind)
    for each in (index, other):
        each.train(rows)
        each.add(rows)
        each.search(rows[:1], 3)
    held = weakref.ref(index.invlists._codes), weakref.ref(other.invlists._codes)
    index.reset()
    gc.collect()
    assert held[0]() is None
    index.merge_from(other, 0)
    other.reset()
    gc.collect()
    assert held[1]() is None


def test_many_queries_take_the_general_way_in_parts() -> None:
    rows = np.random.default_rng(5).standard_normal((300, 8), dtype=np.float32)
    index = ff.index_factory(8, "IVF2,PQ4x8")
    index.train(rows)
    index.add(rows)
    queries = np.random.default_rng(6).standard_normal((5000, 8), dtype=np.float32)  # 5000 x 4 x 256 entries of tables
    assert index._search_at_once(queries, 1) is None
    whole, one = index.search(queries, 1), index.search(queries[-1:], 1)
    for many, single in zip(whole, one, strict=True):
        np.testing.assert_array_equal(many[-1:], single)
