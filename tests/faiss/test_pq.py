"""Product quantizers and flat indexes of them beside faiss-cpu: centroids, codes, searches and files."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import fastret.faiss as ours

theirs = pytest.importorskip("faiss")

# Scores are sums of M entries, each of a few products: float32 rounds them a few dozen times at most.
ROUNDING = 64 * np.finfo(np.float32).eps
SHAPES = [(4, 8), (2, 4), (8, 4), (3, 6), (4, 5), (1, 9)]


@pytest.fixture
def vectors(generator: np.random.Generator) -> np.ndarray:
    return generator.standard_normal((2000, 24), dtype=np.float32)


def trained_pair(vectors: np.ndarray, num_codes: int, nbits: int, metric: int = 1) -> tuple[Any, Any]:
    pair = [module.IndexPQ(vectors.shape[1], num_codes, nbits, metric) for module in (ours, theirs)]
    for index in pair:
        index.pq.cp.niter = 5
        index.pq.cp.min_points_per_centroid = 1
        index.train(vectors)
        index.add(vectors)
    return pair[0], pair[1]


def assert_same_neighbours(answer: tuple[Any, Any], reference: tuple[Any, Any], scale: float) -> None:
    """Equal scores up to rounding, and the ids where the scores tell one neighbour from the next."""
    (scores, ids), (reference_scores, reference_ids) = answer, reference
    np.testing.assert_allclose(scores, reference_scores, atol=ROUNDING * scale, rtol=ROUNDING)
    gaps = np.abs(np.diff(reference_scores, axis=1)) > 2 * ROUNDING * scale
    apart = np.pad(gaps, ((0, 0), (1, 0)), constant_values=True) & np.pad(gaps, ((0, 0), (0, 1)))
    np.testing.assert_array_equal(ids[apart], reference_ids[apart])


@pytest.mark.parametrize(("num_codes", "nbits"), SHAPES)
def test_training_gives_the_same_centroids_and_codes(num_codes: int, nbits: int, vectors: np.ndarray) -> None:
    index, reference = trained_pair(vectors, num_codes, nbits)
    centroids, reference_centroids = (
        ours.vector_to_array(index.pq.centroids),
        theirs.vector_to_array(reference.pq.centroids),
    )
    np.testing.assert_allclose(centroids, reference_centroids, atol=1e-5)
    for field in ("d", "M", "nbits", "dsub", "ksub", "code_size"):
        assert getattr(index.pq, field) == getattr(reference.pq, field)
    ours.copy_array_to_vector(reference_centroids, index.pq.centroids)
    codes = reference.pq.compute_codes(vectors)
    np.testing.assert_array_equal(index.pq.compute_codes(vectors), codes)
    np.testing.assert_array_equal(index.sa_encode(vectors), reference.sa_encode(vectors))
    np.testing.assert_array_equal(index.pq.decode(codes), reference.pq.decode(codes))
    np.testing.assert_array_equal(ours.vector_to_array(index.codes), theirs.vector_to_array(reference.codes))


@pytest.mark.parametrize("metric", [0, 1])
@pytest.mark.parametrize(("num_codes", "nbits"), SHAPES)
def test_searches_find_the_same(num_codes: int, nbits: int, metric: int, vectors: np.ndarray) -> None:
    index, reference = trained_pair(vectors, num_codes, nbits, metric)
    queries = vectors[:40] + 0.1
    assert_same_neighbours(index.search(queries, 9), reference.search(queries, 9), 24)
    radius = float(np.median(reference.search(queries, 9)[0]))
    (lims, scores, ids), (reference_lims, reference_scores, reference_ids) = (
        i.range_search(queries, radius) for i in (index, reference)
    )
    np.testing.assert_array_equal(lims, reference_lims)
    np.testing.assert_array_equal(ids, reference_ids)
    np.testing.assert_allclose(scores, reference_scores, atol=24 * ROUNDING)


@pytest.mark.parametrize("search_type", ["ST_HE", "ST_generalized_HE", "ST_SDC", "ST_polysemous"])
def test_other_search_types_find_the_same(search_type: str, generator: np.random.Generator) -> None:
    vectors = generator.standard_normal((2000, 24), dtype=np.float32)
    index, reference = trained_pair(vectors, 8, 8)
    reference.pq.compute_sdc_table()
    index.pq.compute_sdc_table()
    np.testing.assert_allclose(
        ours.vector_to_array(index.pq.sdc_table), theirs.vector_to_array(reference.pq.sdc_table), atol=1e-4
    )
    for one in (index, reference):
        one.search_type = getattr(theirs.IndexPQ, search_type)
    answer, expected = (one.search(vectors[:30], 5) for one in (index, reference))
    np.testing.assert_allclose(answer[0], expected[0], atol=24 * ROUNDING)
    params = ours.SearchParametersPQ(search_type=index.search_type)
    index.search_type = index.ST_PQ
    np.testing.assert_array_equal(index.search(vectors[:30], 5, params=params)[1], answer[1])


def test_bits_may_be_signs(generator: np.random.Generator) -> None:
    vectors = generator.standard_normal((500, 16), dtype=np.float32)
    index, reference = trained_pair(vectors, 4, 4)
    for one in (index, reference):
        one.search_type, one.encode_signs = 1, True
    np.testing.assert_array_equal(index.search(vectors[:9], 4)[0], reference.search(vectors[:9], 4)[0])


def test_vectors_of_equal_codes_come_with_the_smaller_id_first(vectors: np.ndarray) -> None:
    index, _ = trained_pair(vectors, 4, 8)
    index.reset()
    index.add(np.repeat(vectors[:1], 600, 0))
    np.testing.assert_array_equal(index.search(vectors[:2], 50)[1], [np.arange(50)] * 2)


def test_a_selector_leaves_out_the_others(vectors: np.ndarray) -> None:
    index, _ = trained_pair(vectors, 4, 8)
    _, everything = index.search(vectors[:20], 2000)
    params = ours.SearchParametersPQ(sel=ours.IDSelectorRange(100, 300))
    _, ids = index.search(vectors[:20], 10, params=params)
    for row, ranked in zip(ids, everything, strict=True):
        np.testing.assert_array_equal(row, ranked[(ranked >= 100) & (ranked < 300)][:10])


def test_vectors_are_edited_like_those_of_faiss(vectors: np.ndarray) -> None:
    index, reference = trained_pair(vectors, 4, 8)
    other, other_reference = trained_pair(vectors, 4, 8)
    for one, two in ((index, other), (reference, other_reference)):
        assert one.remove_ids(np.array([3, 5, 1999, 5000])) == 3
        one.merge_from(two)
    assert index.ntotal == reference.ntotal == 3997 and other.ntotal == 0
    np.testing.assert_array_equal(ours.vector_to_array(index.codes), theirs.vector_to_array(reference.codes))
    np.testing.assert_allclose(index.reconstruct_n(1990, 20), reference.reconstruct_n(1990, 20), atol=1e-5)
    index.reset()
    scores, ids = index.search(vectors[:1], 3)
    assert (ids == -1).all() and (scores == np.finfo(np.float32).max).all()


@pytest.mark.parametrize("metric", [0, 1])
@pytest.mark.parametrize(("num_codes", "nbits"), SHAPES)
def test_files_go_both_ways(num_codes: int, nbits: int, metric: int, vectors: np.ndarray) -> None:
    index, reference = trained_pair(vectors, num_codes, nbits, metric)
    read = ours.deserialize_index(theirs.serialize_index(reference))
    np.testing.assert_array_equal(ours.serialize_index(read), theirs.serialize_index(reference))
    assert_same_neighbours(read.search(vectors[:9], 4), reference.search(vectors[:9], 4), 24)
    written = theirs.deserialize_index(ours.serialize_index(index))
    assert_same_neighbours(index.search(vectors[:9], 4), written.search(vectors[:9], 4), 24)
    cloned = copy.deepcopy(index)
    np.testing.assert_array_equal(cloned.search(vectors[:9], 4)[0], index.search(vectors[:9], 4)[0])


def test_files_of_quantizers_go_both_ways(vectors: np.ndarray, tmp_path: Path) -> None:
    index, reference = trained_pair(vectors, 4, 6)
    theirs.write_ProductQuantizer(reference.pq, str(tmp_path / "theirs"))
    read = ours.read_ProductQuantizer(tmp_path / "theirs")
    np.testing.assert_array_equal(read.compute_codes(vectors), reference.pq.compute_codes(vectors))
    ours.write_ProductQuantizer(read, tmp_path / "ours")
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
    with pytest.raises(TypeError, match="write_ProductQuantizer: a ProductQuantizer is needed, got IndexPQ"):
        ours.write_ProductQuantizer(index, tmp_path / "ours")


@pytest.mark.parametrize("metric", [0, 1])
@pytest.mark.parametrize(("num_codes", "bbs"), [(8, 32), (3, 64), (1, 96)])
def test_fast_scan(num_codes: int, bbs: int, metric: int, vectors: np.ndarray) -> None:
    pair = [module.IndexPQFastScan(24, num_codes, 4, metric, bbs) for module in (ours, theirs)]
    for one in pair:
        one.train(vectors)
        one.add(vectors[:1777])
    index, reference = pair
    np.testing.assert_array_equal(ours.serialize_index(index), theirs.serialize_index(reference))
    read = ours.deserialize_index(theirs.serialize_index(reference))
    np.testing.assert_array_equal(ours.serialize_index(read), theirs.serialize_index(reference))
    for field in ("M", "M2", "nbits", "ksub", "bbs", "ntotal2"):
        assert getattr(read, field) == getattr(reference, field)
    # FAISS rounds tables to 8 bits here: ours are the scores of IndexPQ, of the same codes.
    plain = ours.IndexPQ(24, num_codes, 4, metric)
    plain.pq, plain.is_trained = index.pq, True
    plain.add(vectors[:1777])
    for one in (read, ours.IndexPQFastScan(plain)):
        for answer, expected in zip(one.search(vectors[:50], 6), plain.search(vectors[:50], 6), strict=True):
            np.testing.assert_array_equal(answer, expected)


def test_tables_through_pointers(vectors: np.ndarray) -> None:
    index, reference = trained_pair(vectors, 4, 5)
    for name in ("compute_distance_tables", "compute_inner_prod_tables"):
        tables = [np.zeros((3, 4, 32), np.float32) for _ in range(2)]
        getattr(index.pq, name)(3, ours.swig_ptr(vectors[:3]), ours.swig_ptr(tables[0]))
        getattr(reference.pq, name)(3, theirs.swig_ptr(vectors[:3]), theirs.swig_ptr(tables[1]))
        np.testing.assert_allclose(tables[0], tables[1], atol=24 * ROUNDING)
    np.testing.assert_allclose(
        ours.rev_swig_ptr(index.pq.get_centroids(2, 7), 6), theirs.rev_swig_ptr(reference.pq.get_centroids(2, 7), 6)
    )
    index.pq.set_params(ours.swig_ptr(np.full((32, 6), 7, np.float32)), 1)
    assert (ours.rev_swig_ptr(index.pq.get_centroids(1, 0), 32 * 6) == 7).all()
    assert (ours.rev_swig_ptr(index.pq.get_centroids(2, 0), 6) != 7).all()


@pytest.mark.parametrize("train_type", ["Train_shared", "Train_hot_start"])
def test_other_ways_to_train(train_type: str, vectors: np.ndarray) -> None:
    centroids = []
    for module in (ours, theirs):
        pq = module.ProductQuantizer(24, 4, 4)
        pq.train_type = getattr(pq, train_type)
        module.copy_array_to_vector(vectors[:16].ravel(), pq.centroids)
        pq.train(vectors)
        centroids.append(module.vector_to_array(pq.centroids))
    np.testing.assert_allclose(*centroids, atol=1e-5)


def test_torch_goes_in_and_comes_out(vectors: np.ndarray) -> None:
    index, _ = trained_pair(vectors, 4, 8)
    scores, ids = index.search(torch.from_numpy(vectors[:3]).half(), 2)
    assert isinstance(scores, torch.Tensor) and ids.tolist() == index.search(vectors[:3], 2)[1].tolist()
    assert isinstance(index.pq.compute_codes(torch.from_numpy(vectors[:3])), torch.Tensor)


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda i: ours.ProductQuantizer(24, 5, 8), RuntimeError, "M must be positive and divide d = 24, got 5"),
        (lambda i: ours.ProductQuantizer(24, 4, 17), RuntimeError, "nbits must be 0 to 16, got 17"),
        (lambda i: i.add(np.ones((1, 24))), RuntimeError, "the index is not trained; call train first"),
        (lambda i: i.pq.train(np.ones((10, 24))), RuntimeError, "256 clusters need as many training vectors, got 10"),
        (lambda i: i.pq.compute_codes(np.ones((2, 5))), AssertionError, r"vectors must be \[n, 24\], got \[2, 5\]"),
        (lambda i: i.pq.decode(np.ones((2, 5), np.uint8)), AssertionError, r"codes must be \[n, 4\], got \[2, 5\]"),
        (lambda i: setattr(i.pq, "foo", 1), AttributeError, "'ProductQuantizer' object has no attribute 'foo'"),
        (lambda i: ours.IndexPQFastScan(24, 4, 8), RuntimeError, "nbits must be 4, got 8"),
        (lambda i: ours.IndexPQFastScan(24, 4, 4, 1, 33), RuntimeError, "bbs must be a multiple of 32, got 33"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(call: Callable[[Any], object], error: type, sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        call(ours.IndexPQ(24, 4, 8))
