"""Inverted files of product codes beside faiss-cpu: training, searches, edits and files."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from test_pq import ROUNDING, assert_same_neighbours

import fastret.faiss as ours

theirs = pytest.importorskip("faiss")

D, NLIST = 24, 12
# By L2 and by_residual, the distance is a difference of terms as large as |x|^2 + |y|^2.
SCALE = 8 * D


@pytest.fixture
def vectors(generator: np.random.Generator) -> np.ndarray:
    centres = 3 * generator.standard_normal((NLIST, D))
    return (centres[generator.integers(NLIST, size=3000)] + generator.standard_normal((3000, D))).astype(np.float32)


def made(
    module: Any,
    vectors: np.ndarray,
    num_codes: int = 4,
    nbits: int = 6,
    metric: int = 1,
    by_residual: bool = True,
    kind: str = "IndexIVFPQ",
    coarse_metric: int | None = None,
) -> Any:
    quantizer = module.IndexFlat(D, metric if coarse_metric is None else coarse_metric)
    index = getattr(module, kind)(quantizer, D, NLIST, num_codes, nbits, metric)
    index.by_residual = by_residual
    index.pq.cp.niter, index.pq.cp.min_points_per_centroid = 4, 1
    index.train(vectors)
    index.add(vectors)
    index.nprobe = 4
    return index


def pair_of(vectors: np.ndarray, *arguments: Any, **more: Any) -> tuple[Any, Any]:
    return made(ours, vectors, *arguments, **more), made(theirs, vectors, *arguments, **more)


@pytest.mark.parametrize("by_residual", [True, False])
@pytest.mark.parametrize("metric", [0, 1])
@pytest.mark.parametrize(("num_codes", "nbits"), [(4, 6), (8, 4), (3, 8), (2, 5)])
def test_the_same_index_finds_the_same(
    num_codes: int, nbits: int, metric: int, by_residual: bool, vectors: np.ndarray
) -> None:
    index, reference = pair_of(vectors, num_codes, nbits, metric, by_residual)
    np.testing.assert_allclose(
        ours.vector_to_array(index.pq.centroids), theirs.vector_to_array(reference.pq.centroids), atol=1e-5
    )
    assert index.use_precomputed_table == reference.use_precomputed_table
    queries = vectors[:30] + 0.2
    assert_same_neighbours(index.search(queries, 8), reference.search(queries, 8), SCALE)
    radius = float(np.median(reference.search(queries, 8)[0]))
    (lims, scores, ids), (reference_lims, reference_scores, reference_ids) = (
        one.range_search(queries, radius) for one in (index, reference)
    )
    np.testing.assert_array_equal(lims, reference_lims)
    for i in range(len(queries)):
        mine, others = slice(lims[i], lims[i + 1]), reference_ids[lims[i] : lims[i + 1]].argsort()
        np.testing.assert_array_equal(ids[mine], reference_ids[mine][others])
        np.testing.assert_allclose(scores[mine], reference_scores[mine][others], atol=SCALE * ROUNDING)


@pytest.mark.parametrize("metric", [0, 1])
def test_a_quantizer_of_another_metric(metric: int, vectors: np.ndarray) -> None:
    index, reference = pair_of(vectors, metric=metric, coarse_metric=1 - metric)
    assert index.use_precomputed_table == reference.use_precomputed_table
    assert_same_neighbours(index.search(vectors[:30], 8), reference.search(vectors[:30], 8), SCALE)


def test_parameters_of_a_search(vectors: np.ndarray) -> None:
    index, reference = pair_of(vectors)
    for fields in ({"nprobe": 2}, {"nprobe": 12, "max_codes": 300}, {"nprobe": 50}):
        answers = [
            one.search(vectors[:20], 5, params=module.IVFPQSearchParameters(**fields))
            for one, module in ((index, ours), (reference, theirs))
        ]
        assert_same_neighbours(*answers, SCALE)
    answers = [
        one.search(vectors[:20], 5, params=module.SearchParametersIVF(nprobe=3, sel=module.IDSelectorRange(50, 900)))
        for one, module in ((index, ours), (reference, theirs))
    ]
    assert_same_neighbours(*answers, SCALE)


def test_vectors_that_come_after_a_search_are_found(vectors: np.ndarray) -> None:
    index, reference = pair_of(vectors)
    for one in (index, reference):
        one.search(vectors[:5], 3)  # what is kept of lists must follow the changes of the lists
        assert one.remove_ids(np.arange(0, 3000, 7)) == 429
        one.add_with_ids(vectors[:1000] * 1.01, np.arange(10_000, 11_000))
    assert_same_neighbours(index.search(vectors[:40], 9), reference.search(vectors[:40], 9), SCALE)
    other = copy.deepcopy(index)
    index.reset()
    assert (index.search(vectors[:3], 2)[1] == -1).all()
    index.merge_from(other)
    assert_same_neighbours(index.search(vectors[:40], 9), reference.search(vectors[:40], 9), SCALE)


def test_centroids_that_change_after_a_search_count(vectors: np.ndarray) -> None:
    index = made(ours, vectors)
    before, _ = index.search(vectors[:10], 5)
    ours.copy_array_to_vector(2 * ours.vector_to_array(index.pq.centroids), index.pq.centroids)
    scores, ids = index.search(vectors[:10], 5)
    assert not np.allclose(scores, before)
    index.make_direct_map()
    for row, found, query in zip(scores, ids, vectors[:10], strict=True):
        np.testing.assert_allclose(row, np.square(index.reconstruct_batch(found) - query).sum(1), rtol=1e-4)


@pytest.mark.parametrize("by_residual", [True, False])
def test_vectors_and_codes_are_those_of_faiss(by_residual: bool, vectors: np.ndarray) -> None:
    index, reference = pair_of(vectors, by_residual=by_residual)
    for one in (index, reference):
        one.make_direct_map()
    np.testing.assert_allclose(index.reconstruct_n(100, 50), reference.reconstruct_n(100, 50), atol=1e-4)
    np.testing.assert_array_equal(index.sa_encode(vectors[:50]), reference.sa_encode(vectors[:50]))
    codes = reference.sa_encode(vectors[:50])
    np.testing.assert_allclose(index.sa_decode(codes), reference.sa_decode(codes), atol=1e-4)
    scores, ids, found = index.search_and_reconstruct(vectors[:5], 3)
    np.testing.assert_allclose(found, index.reconstruct_batch(ids.ravel()).reshape(5, 3, D))
    np.testing.assert_allclose(np.square(found - vectors[:5, None]).sum(-1), scores, rtol=1e-3)


@pytest.mark.parametrize("metric", [0, 1])
@pytest.mark.parametrize(
    ("kind", "num_codes", "nbits"),
    [("IndexIVFPQ", 4, 6), ("IndexIVFPQ", 3, 8), ("IndexIVFPQFastScan", 8, 4), ("IndexIVFPQFastScan", 3, 4)],
)
def test_files_go_both_ways(kind: str, num_codes: int, nbits: int, metric: int, vectors: np.ndarray) -> None:
    index, reference = pair_of(vectors, num_codes, nbits, metric, kind=kind)
    data = theirs.serialize_index(reference)
    read = ours.deserialize_index(data)
    assert type(read).__name__ == kind
    assert (read.nprobe, read.by_residual, read.code_size) == (4, True, reference.code_size)
    np.testing.assert_array_equal(ours.serialize_index(read), data)
    np.testing.assert_array_equal(read.search(vectors[:9], 5)[1], index.search(vectors[:9], 5)[1])
    written = theirs.deserialize_index(ours.serialize_index(index))
    for answer, expected in zip(written.search(vectors[:9], 5), reference.search(vectors[:9], 5), strict=True):
        np.testing.assert_allclose(answer, expected, rtol=1e-5)
    skipped = ours.deserialize_index(data, ours.IO_FLAG_SKIP_PRECOMPUTE_TABLE)
    assert skipped.use_precomputed_table == 0
    np.testing.assert_array_equal(skipped.search(vectors[:9], 5)[1], read.search(vectors[:9], 5)[1])


@pytest.mark.parametrize("by_residual", [True, False])
@pytest.mark.parametrize("metric", [0, 1])
def test_fast_scan_finds_what_an_inverted_file_of_the_same_codes_finds(
    metric: int, by_residual: bool, vectors: np.ndarray
) -> None:
    plain = made(ours, vectors, 6, 4, metric, by_residual)
    index = ours.IndexIVFPQFastScan(plain)
    direct = made(ours, vectors, 6, 4, metric, by_residual, kind="IndexIVFPQFastScan")
    assert (index.M, index.M2, index.ksub, index.ntotal, index.bbs) == (6, 6, 16, 3000, 32)
    for one in (index, direct):
        for answer, expected in zip(one.search(vectors[:50], 6), plain.search(vectors[:50], 6), strict=True):
            np.testing.assert_array_equal(answer, expected)
    # FAISS's scores are rounded: of its ten best, ours are nearly always among them.
    reference = made(theirs, vectors, 6, 4, metric, by_residual, kind="IndexIVFPQFastScan")
    found, expected = (one.search(vectors[:50], 10)[1] for one in (index, reference))
    assert np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found, expected, strict=True)]) > 0.9


def refined(module: Any, vectors: np.ndarray) -> Any:
    index = module.IndexIVFPQR(module.IndexFlatL2(D), D, NLIST, 4, 5, 6, 4)
    index.pq.cp.niter, index.refine_pq.cp.niter = 4, 4
    index.train(vectors)
    index.add(vectors)
    index.nprobe = 4
    return index


def test_a_second_quantizer_ranks_the_best_anew(vectors: np.ndarray) -> None:
    index, reference = refined(ours, vectors), refined(theirs, vectors)
    assert (index.k_factor, index.refine_pq.cp.max_points_per_centroid) == (4, 1000)
    np.testing.assert_array_equal(
        ours.vector_to_array(index.refine_codes), theirs.vector_to_array(reference.refine_codes)
    )
    assert_same_neighbours(index.search(vectors[:30], 8), reference.search(vectors[:30], 8), SCALE)
    for one in (index, reference):
        one.make_direct_map()
    np.testing.assert_allclose(index.reconstruct(77), reference.reconstruct(77), atol=1e-4)
    read = ours.deserialize_index(theirs.serialize_index(reference))
    np.testing.assert_array_equal(ours.serialize_index(read), theirs.serialize_index(reference))
    np.testing.assert_array_equal(read.search(vectors[:9], 4)[1], index.search(vectors[:9], 4)[1])
    with pytest.raises(RuntimeError, match=r"IndexIVFPQR.remove_ids: the codes of the second quantizer are kept by id"):
        index.remove_ids(np.array([3]))
    index.make_direct_map(False)
    index.add_with_ids(vectors[:1], np.array([5000]))
    with pytest.raises(RuntimeError, match=r"ids must be 0, 1, 2, ... below 3001, got 5000"):
        index.search(vectors[:1], 3)
    index.reset()
    assert index.ntotal == index.refine_codes.size() == 0


@pytest.mark.parametrize(
    "name", ["IVF12,PQ4", "IVF12,PQ4x6np", "IVF12,PQ6x4fs", "IVF12,PQ6x4fsr", "IVF12,PQ4+6", "PQ4", "PQ6x4fs"]
)
def test_descriptions_make_the_same_indexes(name: str) -> None:
    index, reference = ours.index_factory(D, name), theirs.index_factory(D, name)
    assert type(index).__name__ == type(reference).__name__
    fields = ("M", "nbits", "code_size", "dsub")
    assert [getattr(index.pq, field) for field in fields] == [getattr(reference.pq, field) for field in fields]
    for field in ("do_polysemous_training", "by_residual", "bbs"):
        assert getattr(index, field, None) == getattr(reference, field, None)


def test_results_depend_neither_on_the_batch_nor_on_threads(vectors: np.ndarray) -> None:
    index = made(ours, vectors)
    scores, ids = index.search(vectors[:200], 7)
    for query in (0, 99, 199):
        alone = index.search(vectors[query : query + 1], 7)
        np.testing.assert_array_equal(alone[0][0], scores[query])
        np.testing.assert_array_equal(alone[1][0], ids[query])


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda i: ours.IndexIVFPQ(i.quantizer, D, NLIST, 5, 8), RuntimeError, "M must be positive and divide"),
        (lambda i: ours.IndexIVFPQFastScan(i.quantizer, D, NLIST, 4, 8), RuntimeError, "nbits must be 4, got 8"),
        (lambda i: ours.IndexIVFPQFastScan(i), RuntimeError, "nbits must be 4, got 6"),
        (lambda i: i.search(np.ones((1, D)), 0), AssertionError, "k must be positive, got 0"),
        (lambda i: setattr(i, "foo", 1), AttributeError, "'IndexIVFPQ' object has no attribute 'foo'"),
        (lambda i: ours.IndexIVFPQ(i.quantizer, D, NLIST, 4, 8).add(np.ones((1, D))), RuntimeError, "not trained"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(
    call: Callable[[Any], object], error: type, sentence: str, vectors: np.ndarray
) -> None:
    with pytest.raises(error, match=sentence):
        call(made(ours, vectors))
