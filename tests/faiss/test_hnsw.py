"""IndexHNSW*: the same graphs, answers and files as faiss-cpu."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest

import fastret.faiss as ff
from fastret.faiss.hnsw import IndexHNSWFlat
from fastret.faiss.hnsw_graph import HNSW

METRICS = [ff.METRIC_L2, ff.METRIC_INNER_PRODUCT]
D, N, Q = 20, 1500, 40


@pytest.fixture(scope="module")
def vectors() -> np.ndarray[Any, Any]:
    return np.random.default_rng(7).standard_normal((N, D), dtype=np.float32)


@pytest.fixture(scope="module")
def queries() -> np.ndarray[Any, Any]:
    return np.random.default_rng(8).standard_normal((Q, D), dtype=np.float32)


def both(vectors: Any, M: int = 8, metric: int = ff.METRIC_L2) -> tuple[Any, IndexHNSWFlat]:
    theirs, ours = faiss.IndexHNSWFlat(D, M, metric), IndexHNSWFlat(D, M, metric)
    theirs.add(vectors)
    ours.add(vectors)
    return theirs, ours


def links(index: Any) -> np.ndarray[Any, Any]:
    to_array = faiss.vector_to_array if isinstance(index, faiss.Index) else ff.vector_to_array
    return np.asarray(to_array(index.hnsw.neighbors))


def recall(found: Any, exact: Any) -> float:
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found, exact, strict=True)]))


@pytest.mark.parametrize("M", [2, 3, 16, 32, 48])
def test_levels_have_the_probabilities_and_places_of_faiss(M: int) -> None:
    theirs, ours = faiss.HNSW(M), HNSW(M)
    for table in ("assign_probas", "cum_nneighbor_per_level"):
        expected = faiss.vector_to_array(getattr(theirs, table))
        np.testing.assert_array_equal(ff.vector_to_array(getattr(ours, table)), expected)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("cuts", [[], [600], [1, 2, 600, 601]])
def test_the_graph_is_that_of_faiss(vectors: Any, metric: int, cuts: list[int]) -> None:
    theirs, ours = faiss.IndexHNSWFlat(D, 8, metric), IndexHNSWFlat(D, 8, metric)
    for part in np.split(vectors, cuts):
        theirs.add(part)
        ours.add(part)
    np.testing.assert_array_equal(faiss.vector_to_array(theirs.hnsw.levels), ff.vector_to_array(ours.hnsw.levels))
    np.testing.assert_array_equal(faiss.vector_to_array(theirs.hnsw.offsets), ff.vector_to_array(ours.hnsw.offsets))
    assert (ours.hnsw.entry_point, ours.hnsw.max_level) == (theirs.hnsw.entry_point, theirs.hnsw.max_level)
    # Sums that round otherwise may turn single decisions.
    assert np.mean(links(theirs) == links(ours)) > 0.999


@pytest.mark.parametrize("metric", METRICS)
def test_answers_are_those_of_faiss(vectors: Any, queries: Any, metric: int) -> None:
    theirs, ours = both(vectors, metric=metric)
    exact = ff.IndexFlat(D, metric)
    exact.add(vectors)
    for ef in (4, 16, 64, 2000):
        theirs.hnsw.efSearch = ours.hnsw.efSearch = ef
        (D1, I1), (D2, I2), (D3, I3) = theirs.search(queries, 10), ours.search(queries, 10), exact.search(queries, 10)
        assert np.mean(I1 == I2) > 0.99
        np.testing.assert_allclose(D1[I1 == I2], D2[I1 == I2], rtol=1e-5, atol=1e-5)
        assert recall(I2, I3) >= recall(I1, I3) - 0.005
    np.testing.assert_array_equal(I2, I3)  # efSearch beyond N: exact, in ids and score bits
    np.testing.assert_array_equal(D2, D3)


@pytest.mark.parametrize("metric", METRICS)
def test_files_are_those_of_faiss_byte_for_byte(vectors: Any, queries: Any, metric: int, tmp_path: Path) -> None:
    theirs, ours = both(vectors[:400], metric=metric)
    theirs.hnsw.efSearch = ours.hnsw.efSearch = 50
    np.testing.assert_array_equal(faiss.serialize_index(theirs), ff.serialize_index(ours))
    faiss.write_index(theirs, str(tmp_path / "theirs"))
    ff.write_index(ours, tmp_path / "ours")
    for answer in (ff.read_index(tmp_path / "theirs"), ff.read_index(tmp_path / "theirs", ff.IO_FLAG_MMAP)):
        assert isinstance(answer, IndexHNSWFlat) and answer.hnsw.efSearch == 50
        for expected, found in zip(ours.search(queries, 5), answer.search(queries, 5), strict=True):
            np.testing.assert_array_equal(expected, found)
    read = faiss.read_index(str(tmp_path / "ours"))
    np.testing.assert_array_equal(theirs.search(queries, 5)[1], read.search(queries, 5)[1])
