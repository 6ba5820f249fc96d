"""IndexHNSW*: the same graphs, answers and files as faiss-cpu."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
import torch

import fastret.faiss as ff
from fastret.faiss import HNSW, IndexHNSWFlat

METRICS = [ff.METRIC_L2, ff.METRIC_INNER_PRODUCT]
D, N, Q = 20, 1500, 40


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Small graphs are built in many small steps, which threads would spend waiting for each other."""
    ours, theirs = torch.get_num_threads(), faiss.omp_get_max_threads()
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    yield
    torch.set_num_threads(ours)
    faiss.omp_set_num_threads(theirs)


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


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("qtype", ["QT_8bit", "QT_4bit", "QT_fp16"])
def test_graphs_of_scalar_codes_are_those_of_faiss(vectors: Any, queries: Any, metric: int, qtype: str) -> None:
    theirs = faiss.IndexHNSWSQ(D, getattr(faiss.ScalarQuantizer, qtype), 8, metric)
    ours = ff.IndexHNSWSQ(D, getattr(ff.ScalarQuantizer, qtype), 8, metric)
    assert ours.is_trained == theirs.is_trained
    for index in (theirs, ours):
        index.train(vectors)
        index.add(vectors[:900])
        index.add(vectors[900:])
        index.hnsw.efSearch = 40
    assert np.mean(links(theirs) == links(ours)) > 0.999
    assert np.mean(theirs.search(queries, 5)[1] == ours.search(queries, 5)[1]) > 0.99
    assert_files_give_the_same_answers(theirs, ours, queries)


def test_graphs_of_product_codes(vectors: Any, queries: Any) -> None:
    theirs, ours = faiss.IndexHNSWPQ(D, 5, 8, 6), ff.IndexHNSWPQ(D, 5, 8, 6)
    assert not ours.is_trained
    with pytest.raises(RuntimeError, match=r"IndexHNSWPQ.add: the index is not trained"):
        ours.add(vectors)
    for index in (theirs, ours):
        index.train(vectors)
        index.add(vectors)
        index.hnsw.efSearch = 64
    shares = [recall(index.search(queries, 5)[1], index.storage.search(queries, 5)[1]) for index in (theirs, ours)]
    assert shares[1] > max(0.8, shares[0] - 0.05)
    assert_files_give_the_same_answers(theirs, ours, queries)


def assert_files_give_the_same_answers(theirs: Any, ours: Any, queries: Any) -> None:
    for written, read in (
        (ours, faiss.deserialize_index(ff.serialize_index(ours))),
        (theirs, ff.deserialize_index(faiss.serialize_index(theirs))),
    ):
        (D1, I1), (D2, I2) = written.search(queries, 5), read.search(queries, 5)
        assert np.mean(I1 == I2) > 0.99
        np.testing.assert_allclose(D1, D2, rtol=1e-4, atol=1e-4)


def test_any_storage_can_be_given_its_graph(vectors: Any, queries: Any) -> None:
    storage = ff.IndexFlatL2(D)
    index = ff.IndexHNSW(storage, 8)
    index.add(vectors)
    assert storage.ntotal == index.ntotal == N
    assert index.storage is storage and not index.own_fields
    np.testing.assert_array_equal(index.search(queries, 5)[1], both(vectors)[1].search(queries, 5)[1])
    with pytest.raises(RuntimeError, match=r"IndexHNSW.add: there is no storage; use IndexHNSWFlat"):
        ff.IndexHNSW(D, 8).add(vectors)


def test_parameters_of_one_search(vectors: Any, queries: Any) -> None:
    theirs, ours = both(vectors)
    for fields in ({"efSearch": 1}, {"efSearch": 5, "check_relative_distance": False}, {"efSearch": 90}):
        expected = theirs.search(queries, 10, params=faiss.SearchParametersHNSW(**fields))[1]
        found = ours.search(queries, 10, params=ff.SearchParametersHNSW(**fields))[1]
        assert np.mean(found == expected) > 0.99
    default = ours.search(queries, 10)[1]
    np.testing.assert_array_equal(ours.search(queries, 10, params=ff.SearchParametersIVF())[1], default)
    assert ours.hnsw.efSearch == 16


@pytest.mark.parametrize("metric", METRICS)
def test_selectors_hide_and_are_walked_over(vectors: Any, queries: Any, metric: int) -> None:
    theirs, ours = both(vectors, metric=metric)
    answers = []
    for library, index in ((faiss, theirs), (ff, ours)):
        selector = library.IDSelectorRange(100, 300)
        answers.append(index.search(queries, 10, params=library.SearchParametersHNSW(efSearch=200, sel=selector)))
    (D1, I1), (D2, I2) = answers
    assert np.isin(I2[I2 >= 0], np.arange(100, 300)).all()
    assert np.mean(I1 == I2) > 0.99
    np.testing.assert_array_equal(D2[I2 < 0], D1[I1 < 0])


@pytest.mark.parametrize("metric", METRICS)
def test_range_search_finds_what_faiss_finds(vectors: Any, queries: Any, metric: int) -> None:
    theirs, ours = both(vectors, metric=metric)
    theirs.hnsw.efSearch = ours.hnsw.efSearch = 30
    radius = 20.0 if metric == ff.METRIC_L2 else 8.0
    (L1, _, I1), (L2, D2, I2) = theirs.range_search(queries, radius), ours.range_search(queries, radius)
    assert L2.dtype == np.uint64 and L2[-1] > 0
    of_query = [np.arange(Q).repeat(np.diff(lims.astype(int))) for lims in (L1, L2)]
    pairs = [{*zip(q, ids, strict=True)} for q, ids in zip(of_query, (I1, I2), strict=True)]
    assert len(pairs[0] & pairs[1]) > 0.99 * len(pairs[0] | pairs[1])
    assert ((radius > D2) if metric == ff.METRIC_L2 else (radius < D2)).all()


def test_searches_are_counted_as_faiss_counts_them(vectors: Any, queries: Any) -> None:
    theirs, ours = both(vectors)
    counted = []
    for library, index in ((faiss, theirs), (ff, ours)):
        library.cvar.hnsw_stats.reset()
        index.search(queries, 3)
        index.search(queries[:7], 3)
        stats = library.cvar.hnsw_stats
        counted.append([stats.n1, stats.n2, stats.ndis, stats.nhops])
    assert counted[1][:2] == counted[0][:2] == [Q + 7, Q + 7]
    np.testing.assert_allclose(counted[1], counted[0], rtol=0.01)
    ours_stats, more = ff.cvar.hnsw_stats, ff.HNSWStats()
    more.n1, more.ndis = 3, 5
    ours_stats.combine(more)
    assert [ours_stats.n1, ours_stats.ndis] == [Q + 10, counted[1][2] + 5]


def test_what_the_graph_tells_of_itself(vectors: Any, capfd: pytest.CaptureFixture[str]) -> None:
    theirs, ours = both(vectors[:300])
    assert [ours.hnsw.nb_neighbors(i) for i in (0, 1)] == [16, 8]
    assert [ours.hnsw.cum_nb_neighbors(i) for i in (0, 1, 2)] == [0, 16, 24]
    begin, end = np.zeros(1, np.uint64), np.zeros(1, np.uint64)
    assert ours.hnsw.neighbor_range(5, 0, ff.swig_ptr(begin), ff.swig_ptr(end)) == (begin[0], end[0])
    assert end[0] - begin[0] == 16
    with pytest.raises(RuntimeError, match=r"HNSW.nb_neighbors: levels are 0 to \d+, got 99"):
        ours.hnsw.nb_neighbors(99)
    with pytest.raises(RuntimeError, match=r"HNSW.set_nb_neighbors: the graph holds 300 vectors already"):
        ours.hnsw.set_nb_neighbors(0, 9)
    theirs.hnsw.print_neighbor_stats(0)
    expected = capfd.readouterr().out
    ours.hnsw.print_neighbor_stats(0)
    assert capfd.readouterr().out == expected
    ours.hnsw.clear_neighbor_tables(0)
    begins = ff.vector_to_array(ours.hnsw.offsets)[:-1].astype(int)
    assert (links(ours)[begins[:, None] + np.arange(16)] == -1).all()
    assert (links(ours) >= 0).any()


def test_construction_follows_its_parameters(vectors: Any, queries: Any) -> None:
    theirs, ours = faiss.IndexHNSWFlat(D, 8), ff.IndexHNSWFlat(D, 8)
    for index in (theirs, ours):
        index.hnsw.efConstruction = 7
        index.hnsw.prune_headroom = 0.0
        index.hnsw.set_nb_neighbors(0, 11)
        index.keep_max_size_level0 = True
        index.add(vectors)
    assert np.mean(links(theirs) == links(ours)) > 0.999


def test_levels_can_be_set_before(vectors: Any) -> None:
    levels = np.random.default_rng(3).integers(1, 4, 200).astype(np.int32)
    theirs, ours = faiss.IndexHNSWFlat(D, 8), ff.IndexHNSWFlat(D, 8)
    faiss.copy_array_to_vector(levels, theirs.hnsw.levels)
    ff.copy_array_to_vector(levels, ours.hnsw.levels)
    theirs.add(vectors[:200])
    ours.add(vectors[:200])
    np.testing.assert_array_equal(links(theirs), links(ours))
    assert ours.hnsw.max_level == 2


def test_vectors_are_kept_and_forgotten(vectors: Any, queries: Any) -> None:
    _, index = both(vectors)
    np.testing.assert_array_equal(index.reconstruct(7), vectors[7])
    np.testing.assert_array_equal(index.reconstruct_n(3, 9), vectors[3:12])
    before = index.search(queries, 5)
    permutation = np.random.default_rng(4).permutation(N)
    index.permute_entries(permutation)
    scores, ids = index.search(queries, 5)
    np.testing.assert_array_equal(scores, before[0])
    np.testing.assert_array_equal(permutation[ids], before[1])
    index.reset()
    assert (index.ntotal, index.hnsw.entry_point, index.hnsw.max_level) == (0, -1, -1)
    assert (index.search(queries, 5)[1] == -1).all()
    index.add(vectors[:50])
    assert (index.search(vectors[:50], 1)[1][:, 0] == np.arange(50)).all()


def test_telling_of_progress_changes_nothing(vectors: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastret.faiss.index._VERBOSE_ROWS", 100)
    _, silent = both(vectors)
    telling = ff.IndexHNSWFlat(D, 8)
    telling.verbose = True
    telling.add(vectors)
    np.testing.assert_array_equal(links(telling), links(silent))


def test_what_graphs_refuse(vectors: Any) -> None:
    _, index = both(vectors[:50])
    for refused in (lambda: index.remove_ids(np.array([1])), lambda: index.add_with_ids(vectors, np.arange(N))):
        with pytest.raises(RuntimeError, match="IndexHNSWFlat"):
            refused()
    with pytest.raises(RuntimeError, match=r"HNSW: M must be at least 2, got 1"):
        ff.IndexHNSWFlat(D, 1)
    with pytest.raises(RuntimeError, match="graphs are for METRIC_INNER_PRODUCT and METRIC_L2, got 2"):
        ff.IndexHNSWFlat(D, 8, ff.METRIC_L1)
    with pytest.raises(AttributeError):
        index.hnsw.efsearch = 3
    with pytest.raises(AssertionError):
        index.search(vectors, 0)


def test_a_graph_finds_lists(vectors: Any, queries: Any) -> None:
    theirs, ours = (library.index_factory(D, "IVF40_HNSW8,Flat") for library in (faiss, ff))
    for index in (theirs, ours):
        index.train(vectors)
        index.add(vectors)
        index.nprobe = 6
    assert isinstance(ours.quantizer, IndexHNSWFlat) and ours.quantizer.ntotal == 40
    assert_files_give_the_same_answers(theirs, ours, queries)


def test_files_without_vectors(vectors: Any, queries: Any) -> None:
    theirs, ours = both(vectors[:100])
    written = ff.serialize_index(ours, ff.IO_FLAG_SKIP_STORAGE)
    np.testing.assert_array_equal(written, faiss.serialize_index(theirs, faiss.IO_FLAG_SKIP_STORAGE))
    index = ff.deserialize_index(written)
    assert index.storage is None and index.ntotal == 100
    with pytest.raises(RuntimeError, match=r"IndexHNSWFlat.search: there is no storage"):
        index.search(queries, 3)
    index.storage = ours.storage
    np.testing.assert_array_equal(index.search(queries, 3)[1], ours.search(queries, 3)[1])


@pytest.mark.parametrize(
    ("table", "place", "value", "complaint"),
    [
        ("_neighbors", 5, 1000, "neighbours from -1 to 1000 of 100 vectors"),
        ("_levels", 3, 99, "levels from 1 to 99"),
        ("_offsets", 3, 7, "the places of its vectors are not those of their levels"),
        ("_level_starts", 0, 1, "the places on each level do not ascend"),
        ("_entry", 0, 100, "searches begin at vector 100 of 100"),
    ],
)
def test_altered_files_are_refused(vectors: Any, table: str, place: int, value: int, complaint: str) -> None:
    _, index = both(vectors[:100])
    getattr(index.hnsw, table)[place] = value
    with pytest.raises(RuntimeError, match=f"memory was truncated, altered or is no index: {complaint}"):
        ff.deserialize_index(ff.serialize_index(index))


def test_two_level_graphs_are_refused_by_name() -> None:
    theirs = faiss.index_factory(8, "HNSW8_2+PQ2")
    with pytest.raises(RuntimeError, match=r"IndexHNSW2Level, which is not known here.*real faiss can be used"):
        ff.deserialize_index(faiss.serialize_index(theirs))
    with pytest.raises(AttributeError, match="IndexHNSW2Level"):
        _ = ff.IndexHNSW2Level


def test_copies_and_files_in_memory_maps_grow_on_their_own(vectors: Any, queries: Any, tmp_path: Path) -> None:
    _, whole = both(vectors[:700])
    _, index = both(vectors[:400])
    ff.write_index(index, tmp_path / "index")
    written = (tmp_path / "index").read_bytes()
    others = [ff.clone_index(index), copy.copy(index), pickle.loads(pickle.dumps(index))]
    others.append(ff.read_index(tmp_path / "index", ff.IO_FLAG_MMAP))
    for other in others:
        other.add(vectors[400:700])
        assert other.ntotal == 700
        assert recall(other.search(queries, 5)[1], whole.search(queries, 5)[1]) > 0.9
    assert index.ntotal == 400 and len(links(index)) < len(links(whole))
    assert (tmp_path / "index").read_bytes() == written


def test_torch_tensors_and_other_dtypes_are_taken(vectors: Any, queries: Any) -> None:
    _, index = both(vectors)
    scores, ids = index.search(torch.from_numpy(queries), 5)
    assert isinstance(ids, torch.Tensor)
    for expected, found in zip(index.search(queries.astype(np.float64), 5), (scores, ids), strict=True):
        np.testing.assert_array_equal(expected, found.numpy())
