"""Searches of few queries through inverted lists of product codes give the bits of the general way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch

import fastret.faiss as ff
from fastret import _C
from fastret._C import ListTerms, ProductCodeSearcher
from fastret.ops.product_code_searcher import list_terms, product_code_searcher, product_columns

D, NLIST, ROWS = 24, 9, 600

Change = Callable[[Any, np.ndarray], object]
Isas = Callable[[], Iterator[str]]


def made(
    metric: int = ff.METRIC_L2, by_residual: bool = True, num_codes: int = 6, nbits: int = 4, kind: str = "IndexIVFPQ"
) -> Any:
    index = getattr(ff, kind)(ff.IndexFlat(D, metric), D, NLIST, num_codes, nbits, metric)
    index.by_residual, index.nprobe = by_residual, 4
    index.cp.niter = index.pq.cp.niter = 2
    index.cp.min_points_per_centroid = index.pq.cp.min_points_per_centroid = 1
    rows = vectors(max(ROWS, 1 << nbits), 0)
    index.train(rows)
    index.add_with_ids(rows[:ROWS], np.random.default_rng(1).permutation(ROWS))
    return index


def vectors(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, D), dtype=np.float32)


@pytest.fixture
def every_isa() -> Iterator[Isas]:
    """Iterates over the instruction sets of this machine, each in use meanwhile."""

    def isas() -> Iterator[str]:
        for isa in _C.available_isas():
            _C.set_isa(isa)
            yield isa

    before = _C.get_isa()
    yield isas
    _C.set_isa(before)


def assert_as_in_general(index: Any, queries: np.ndarray, k: int = 8) -> None:
    """One by one, a few at once, and by the general way, which a selector leads to."""
    params = ff.SearchParametersIVF(nprobe=index.nprobe, max_codes=index.max_codes, sel=ff.IDSelectorAll())
    wanted = index.search(queries, k, params=params)
    for count in (1, 5):
        parts = [queries[first : first + count] for first in range(0, len(queries), count)]
        assert all(index._search_at_once(part, k) is not None for part in parts)
        got = (np.concatenate(column) for column in zip(*(index.search(part, k) for part in parts), strict=True))
        for column, whole in zip(got, wanted, strict=True):
            np.testing.assert_array_equal(column.view(np.uint8), whole.view(np.uint8))


@pytest.mark.parametrize("by_residual", [True, False])
@pytest.mark.parametrize("metric", [ff.METRIC_L2, ff.METRIC_INNER_PRODUCT])
@pytest.mark.parametrize(("num_codes", "nbits"), [(6, 4), (3, 5), (8, 6), (4, 7), (6, 8), (2, 9), (3, 12)])
def test_every_kind_of_code(num_codes: int, nbits: int, metric: int, by_residual: bool, every_isa: Isas) -> None:
    index = made(metric, by_residual, num_codes, nbits)
    queries = vectors(15, 2)
    queries[3], queries[4], queries[5] = np.nan, np.inf, 1e30 * queries[5]
    for nprobe, max_codes, k in ((1, 0, 8), (4, 0, 8), (NLIST, 150, 30), (100, 0, 900)):
        index.nprobe, index.max_codes = nprobe, max_codes
        for _ in every_isa():
            assert_as_in_general(index, queries, k)


def retrain(index: Any, rows: np.ndarray) -> None:
    index.reset()
    index.pq.train(rows[::-1] * 2)
    index.precompute_table()
    index.add(rows)


def other_quantizer(index: Any, rows: np.ndarray) -> None:
    index.quantizer = ff.IndexFlat(D, index.metric_type)
    index.quantizer.add(rows[:NLIST])


def centroids_in_place(index: Any, rows: np.ndarray) -> None:
    ff.copy_array_to_vector(ff.vector_to_array(index.pq.centroids)[::-1].copy(), index.pq.centroids)


def update(index: Any, rows: np.ndarray) -> None:
    index.set_direct_map_type(ff.DirectMap.Hashtable)
    index.update_vectors(np.arange(50), rows[50:100])


def emptied_lists(index: Any, rows: np.ndarray) -> None:
    for list_no in (0, 3, 4):
        index.invlists.resize(list_no, 0)


CHANGES: list[Change] = [
    lambda index, rows: index.add(rows),
    lambda index, rows: index.add(rows[:1]),
    lambda index, rows: index.remove_ids(np.arange(100, 300)),
    lambda index, rows: index.reset(),
    lambda index, rows: setattr(index, "nprobe", 7),
    lambda index, rows: setattr(index, "by_residual", not index.by_residual),
    lambda index, rows: setattr(index, "invlists", ff.ArrayInvertedLists(NLIST, index.code_size)),
    lambda index, rows: index.invlists.add_entries(2, 2, [1000, 7], np.arange(2 * index.code_size, dtype=np.uint8)),
    lambda index, rows: index.invlists.update_entry(1, 0, 5, np.full(index.code_size, 3, np.uint8)),
    retrain,
    other_quantizer,
    centroids_in_place,
    update,
    emptied_lists,
]


@pytest.mark.parametrize("change", range(len(CHANGES)))
@pytest.mark.parametrize("metric", [ff.METRIC_L2, ff.METRIC_INNER_PRODUCT])
def test_changed_indexes(metric: int, change: int) -> None:
    index = made(metric)
    queries = vectors(10, 2)
    before = index.search(queries[:1], 8)
    CHANGES[change](index, vectors(ROWS, 3))
    assert_as_in_general(index, queries)
    fresh = ff.deserialize_index(ff.serialize_index(index))
    for got, want in zip(index.search(queries, 8), fresh.search(queries, 8), strict=True):
        np.testing.assert_array_equal(got, want)
    again = made(metric)
    for got, want in zip(again.search(queries[:1], 8), before, strict=True):
        np.testing.assert_array_equal(got, want)


def test_clones_and_originals_change_apart() -> None:
    index = made()
    queries = vectors(5, 2)
    before = index.search(queries[:1], 8)
    clone = ff.clone_index(index)
    clone.add(queries)
    assert_as_in_general(clone, queries)
    np.testing.assert_array_equal(index.search(queries[:1], 8)[1], before[1])
    assert (clone.search(queries[:1], 1)[1] == ROWS).all()


def test_a_coarse_quantizer_of_another_metric_takes_the_general_way() -> None:
    index = made()
    index.quantizer.metric_type = ff.METRIC_INNER_PRODUCT
    assert index._search_at_once(vectors(1, 2), 3) is None
    index.by_residual = False
    assert_as_in_general(index, vectors(5, 2))


@pytest.mark.parametrize("kind", ["IVF9,PQ6x4fs", "IVF9,PQ6x4fsr", "IVF9_HNSW8,PQ6x4", "IVF9,PQ6x4"])
def test_other_kinds(kind: str) -> None:
    rows, queries = vectors(ROWS, 0), vectors(10, 2)
    index = ff.index_factory(D, kind)
    index.train(rows)
    index.add(rows)
    index.nprobe = 4
    together = index.search(queries, 8)
    for i in range(len(queries)):
        for got, want in zip(index.search(queries[i : i + 1], 8), together, strict=True):
            np.testing.assert_array_equal(got, want[i : i + 1])


def made_refined(nbits: int = 4, nbits_refine: int = 5, by_residual: bool = True) -> Any:
    index = ff.IndexIVFPQR(ff.IndexFlatL2(D), D, NLIST, 6, nbits, 4, nbits_refine)
    index.by_residual, index.nprobe = by_residual, 4
    index.pq.cp.min_points_per_centroid = index.refine_pq.cp.min_points_per_centroid = 1
    rows = vectors(ROWS, 0)
    index.train(rows)
    index.add(rows)
    return index


@pytest.mark.parametrize("by_residual", [True, False])
@pytest.mark.parametrize(("nbits", "nbits_refine"), [(4, 5), (8, 8), (6, 4)])
def test_refined_codes_are_ranked_by_both(nbits: int, nbits_refine: int, by_residual: bool, every_isa: Isas) -> None:
    index, queries = made_refined(nbits, nbits_refine, by_residual), vectors(10, 2)
    scores, ids = index.search(queries, 8)
    for found in (index.reconstruct_n(0, ROWS)[ids], index.search_and_reconstruct(queries, 8)[2]):
        np.testing.assert_allclose(scores, np.square(found - queries[:, None]).sum(-1), rtol=1e-5)
    queries[3], queries[4] = np.nan, 1e15 * queries[4]
    for nprobe, max_codes, k, k_factor in ((1, 0, 8, 4.0), (4, 0, 8, 1.7), (NLIST, 150, 30, 1.0), (2, 0, 300, 4.0)):
        index.nprobe, index.max_codes, index.k_factor = nprobe, max_codes, k_factor
        for _ in every_isa():
            assert_as_in_general(index, queries, k)


def test_refined_indexes_that_change() -> None:
    index, queries = made_refined(), vectors(10, 2)
    assert_as_in_general(index, queries)
    index.add(queries + 0.1)
    assert_as_in_general(index, queries)
    assert (index.search(queries[:1], 1)[1] == ROWS).all()
    ff.copy_array_to_vector(ff.vector_to_array(index.refine_codes)[::-1].copy(), index.refine_codes)
    assert_as_in_general(index, queries)
    ff.copy_array_to_vector(-ff.vector_to_array(index.refine_pq.centroids), index.refine_pq.centroids)
    assert_as_in_general(index, queries)
    index.metric_type = ff.METRIC_INNER_PRODUCT
    assert index._search_at_once(queries, 3) is None


def test_ids_without_refined_codes_are_told_of() -> None:
    index = made_refined()
    index.invlists.add_entries(0, 1, [ROWS], np.zeros(index.code_size, np.uint8))
    index.nprobe, index.k_factor = NLIST, ROWS
    with pytest.raises(RuntimeError, match=f"ids must be 0, 1, 2, ... below {ROWS}, got {ROWS}$"):
        index.search(vectors(1, 2), 2)


def test_several_threads_at_once() -> None:
    queries = vectors(40, 2)
    wanted = made().search(queries, 8)
    for _ in range(5):
        index = made()  # whose terms are yet to be made
        with ThreadPoolExecutor(4) as threads:
            answers = list(threads.map(index.search, np.split(queries, len(queries)), [8] * len(queries)))
        for got, want in zip(zip(*answers, strict=True), wanted, strict=True):
            np.testing.assert_array_equal(np.concatenate(got), want)


def test_bad_input_is_refused_in_the_words_of_the_general_way() -> None:
    index = made()
    with pytest.raises(AssertionError):
        index.search(vectors(1, 2)[:, :-1], 3)
    with pytest.raises(AssertionError):
        index.search(vectors(1, 2), 0)
    index.nprobe = 0
    with pytest.raises(RuntimeError, match="nprobe"):
        index.search(vectors(1, 2), 3)


def parts_of_a_searcher() -> dict[str, Any]:
    index = made()
    columns = product_columns(index.pq._trained_centroids)
    codes, ids, starts, sizes = index.invlists._arena()
    terms = list_terms(columns, codes, ids, starts, sizes)
    coarse = {"coarse": index.quantizer.vectors, "coarse_metric": "l2", "columns": columns}
    lists = {"codes": codes, "ids": ids, "starts": starts, "sizes": sizes}
    return {**coarse, **lists, "metric": "l2", "by_residual": True, "terms": terms}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"metric": "cosine"}, "^product_code_searcher: metric must be ip or l2, got cosine$"),
        ({"terms": None}, "^product_code_searcher: terms must be given for l2 with by_residual, and only then$"),
        ({"metric": "ip"}, "only then$"),
        ({"codes": torch.zeros(3, 3)}, "^searcher: codes must be"),
        ({"coarse": torch.zeros(NLIST, D + 1)}, "dimensions"),
        ({"sizes": torch.zeros(NLIST + 1, dtype=torch.int64)}, "^searcher: sizes must be"),
    ],
)
def test_searchers_refuse_parts_that_do_not_fit(changed: dict[str, Any], message: str) -> None:
    parts = parts_of_a_searcher()
    assert isinstance(product_code_searcher(**parts), ProductCodeSearcher)
    with pytest.raises(ValueError, match=message):
        product_code_searcher(**{**parts, **changed})


def test_terms_are_made_for_the_lists_that_are_asked_for() -> None:
    terms: ListTerms = parts_of_a_searcher()["terms"]
    lists = np.array([[5, -1], [2, 5]])
    np.testing.assert_array_equal(terms.missing(lists), [2, 5])
    terms.make(np.array([2, 5]), np.zeros((2, D), np.float32))
    assert terms.missing(lists).size == 0
    with pytest.raises(ValueError, match=f"below {NLIST}, got {NLIST}$"):
        terms.missing(np.array([NLIST]))
    with pytest.raises(ValueError, match="there must be a centroid"):
        terms.make(np.array([1]), np.zeros((2, D), np.float32))
    with pytest.raises(ValueError, match=f"there is no list -1 among {NLIST}$"):
        terms.make(np.array([-1]), np.zeros((1, D), np.float32))
    with pytest.raises(ValueError, match=r"^ProductColumns: centroids must be \[M, 2\^nbits, D / M\]"):
        product_columns(torch.zeros(2, 7, 3))
