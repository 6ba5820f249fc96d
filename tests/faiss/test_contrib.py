"""FAISS's contrib modules beside ours: the same numbers, on answers of faiss-cpu."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch

import fastret.faiss as ours
from fastret.faiss.contrib import (
    clustering,
    datasets,
    evaluation,
    exhaustive_search,
    factory_tools,
    inspect_tools,
    torch_utils,
    vecs_io,
)
from fastret.faiss.contrib.torch import clustering as torch_clustering

theirs = pytest.importorskip("faiss")
their_clustering = importlib.import_module("faiss.contrib.clustering")
their_datasets = importlib.import_module("faiss.contrib.datasets")
their_evaluation = importlib.import_module("faiss.contrib.evaluation")
their_exhaustive_search = importlib.import_module("faiss.contrib.exhaustive_search")
their_factory_tools = importlib.import_module("faiss.contrib.factory_tools")
their_inspect_tools = importlib.import_module("faiss.contrib.inspect_tools")
their_vecs_io = importlib.import_module("faiss.contrib.vecs_io")

METRICS = [ours.METRIC_L2, ours.METRIC_INNER_PRODUCT]


@pytest.fixture
def vectors(generator: np.random.Generator) -> np.ndarray:
    """Of integers, on which both are exact."""
    return generator.integers(-20, 20, (400, 8)).astype(np.float32)


def blocks(x: np.ndarray) -> list[np.ndarray]:
    return [x[:100], x[100:250], x[250:]]


def assert_same(answer: Any, expected: Any) -> None:
    for ours_part, theirs_part in zip(answer, expected, strict=True):
        assert np.asarray(ours_part).dtype == np.asarray(theirs_part).dtype
        np.testing.assert_array_equal(ours_part, theirs_part)


def by_id(answer: tuple[np.ndarray, np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The results of a range search, of each query in the order of ids."""
    lims, scores, ids = answer
    order = np.lexsort((ids, np.repeat(np.arange(len(lims) - 1), np.diff(lims.astype(np.int64)))))
    return lims, scores[order], ids[order]


@pytest.mark.parametrize("metric", METRICS)
def test_ground_truth_of_blocks_is_that_of_all_vectors(vectors: np.ndarray, metric: int) -> None:
    queries = vectors[:30]
    scores, ids = exhaustive_search.knn_ground_truth(queries, iter(blocks(vectors)), 12, metric)
    expected = ours.knn(queries, vectors, 12, metric)
    np.testing.assert_array_equal(scores, expected[0])
    np.testing.assert_array_equal(ids, expected[1])
    reference = their_exhaustive_search.knn_ground_truth(queries, iter(blocks(vectors)), 12, metric)
    evaluation.check_ref_knn_with_draws(reference[0], reference[1], scores, ids)
    few = exhaustive_search.knn_ground_truth(queries, [vectors[:3]], 5, metric)
    assert_same(few, their_exhaustive_search.knn_ground_truth(queries, [vectors[:3]], 5, metric))


@pytest.mark.parametrize("metric", METRICS)
def test_range_searches_of_blocks(vectors: np.ndarray, metric: int) -> None:
    arguments = (vectors[:30], blocks(vectors), 700.0, metric)
    answer = exhaustive_search.range_ground_truth(*arguments)
    assert_same(by_id(answer), by_id(their_exhaustive_search.range_ground_truth(*arguments)))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("fallback", ["index", "array", "none"])
def test_range_search_by_a_search_of_few(vectors: np.ndarray, metric: int, fallback: str) -> None:
    answers = []
    for module, search in ((ours, exhaustive_search), (theirs, their_exhaustive_search)):
        index = module.IndexFlat(8, metric)
        index.add(vectors)
        cpu = {"index": index, "array": vectors, "none": None}[fallback]
        answers.append(search.range_search_gpu(vectors[:30], 700.0, index, cpu, gpu_k=40))
    lims, scores, ids = answers[0]
    assert lims.dtype == answers[1][0].dtype
    np.testing.assert_array_equal(lims, answers[1][0])
    if fallback == "none":  # which of equal scores are cut off is each library's own
        np.testing.assert_array_equal(scores, answers[1][1])
    else:
        assert_same(by_id((lims, scores, ids)), by_id(answers[1]))


@pytest.mark.parametrize("metric", METRICS)
def test_a_range_search_with_a_limit_narrows_the_radius(vectors: np.ndarray, metric: int) -> None:
    answers = []
    for module, search in ((ours, exhaustive_search), (theirs, their_exhaustive_search)):
        index = module.IndexFlat(8, metric)
        index.add(vectors)
        batches = search.exponential_query_iterator(vectors, start_bs=16, max_bs=64)
        radius = 800.0 if metric == ours.METRIC_L2 else 300.0
        answers.append(search.range_search_max_results(index, batches, radius, max_results=2000, clip_to_min=True))
    assert answers[0][0] == answers[1][0]
    assert_same(by_id(answers[0][1:]), by_id(answers[1][1:]))
    lims, scores, ids = answers[0][1:]
    for keep_max in (False, True):
        thresh = float(np.median(scores))
        cut = exhaustive_search.threshold_radius(lims, scores, ids, thresh, keep_max)
        assert_same(cut, their_exhaustive_search.threshold_radius(lims, scores, ids, thresh, keep_max))
    with pytest.raises(AssertionError, match="max_results or min_results must be given"):
        exhaustive_search.range_search_max_results(None, [], 1.0)


def test_binary_vectors_are_searched_by_range_too(generator: np.random.Generator) -> None:
    codes = generator.integers(0, 256, (300, 4), dtype=np.uint8)
    answers = []
    for module, search in ((ours, exhaustive_search), (theirs, their_exhaustive_search)):
        index = module.IndexBinaryFlat(32)
        index.add(codes)
        by_few = search.range_search_gpu(codes[:20], 11, index, index, gpu_k=10)
        radius, *limited = search.range_search_max_results(index, [codes[:90], codes[90:]], 14, max_results=3000)
        answers.append((radius, by_id(by_few), by_id(tuple(limited))))
    assert answers[0][0] == answers[1][0]
    assert_same(answers[0][1], answers[1][1])
    assert_same(answers[0][2], answers[1][2])
    assert answers[0][1][1].dtype == np.int16


def ranges(generator: np.random.Generator, nq: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    lims = np.concatenate([[0], np.cumsum(generator.integers(0, 12, nq))])
    ids = np.concatenate([generator.permutation(15)[:n] for n in np.diff(lims)])
    return lims, generator.integers(0, 9, len(ids)).astype(np.float32), ids


@pytest.mark.parametrize("mode", ["overall", "average"])
def test_precision_and_recall_are_those_of_faiss(generator: np.random.Generator, mode: str) -> None:
    lims_ref, _, Iref = ranges(generator, 30)
    lims_new, Dnew, Inew = ranges(generator, 30)
    expected = their_evaluation.range_PR(lims_ref, Iref, lims_new, Inew, mode=mode)
    np.testing.assert_allclose(evaluation.range_PR(lims_ref, Iref, lims_new, Inew, mode=mode), expected, rtol=1e-12)
    thresholds = [0.5, 3.0, 4.0, 100.0]
    arguments = (lims_ref, Iref, lims_new, Dnew, Inew, thresholds, mode)
    expected = their_evaluation.range_PR_multiple_thresholds(*arguments)
    np.testing.assert_allclose(evaluation.range_PR_multiple_thresholds(*arguments), expected, rtol=1e-12)
    assert_same(
        evaluation.filter_range_results(lims_new, Dnew, Inew, 4.0),
        their_evaluation.filter_range_results(lims_new, Dnew, Inew, 4.0),
    )
    with pytest.raises(AssertionError, match="both need the same queries, got 29 and 30"):
        evaluation.range_PR(lims_ref[:-1], Iref, lims_new, Inew)


def test_results_are_compared_with_their_draws(generator: np.random.Generator) -> None:
    scores = np.array([[0.0, 1.0, 1.0, 2.0]], np.float32)
    ids = np.array([[5, 3, 4, 7]])
    evaluation.check_ref_knn_with_draws(scores, ids, scores, np.array([[5, 4, 3, 9]]))
    with pytest.raises(AssertionError):
        evaluation.check_ref_knn_with_draws(scores, ids, scores, np.array([[6, 4, 3, 9]]))
    assert evaluation.knn_intersection_measure(ids, np.array([[7, 5, 1, 2]])) == 0.5
    lims, found, of = ranges(generator, 9)
    evaluation.check_ref_range_results(lims, found, of, *by_id((lims, found, of)))
    with pytest.raises(AssertionError):
        evaluation.check_ref_range_results(lims, found, of, lims, found + 1, of)


def test_operating_points_are_those_of_faiss(generator: np.random.Generator) -> None:
    points = [module.OperatingPointsWithRanges() for module in (evaluation, their_evaluation)]
    for tried in points:
        tried.add_range("nprobe", [1, 2, 4, 8])
        tried.add_range("ht", [10, 20, 64])
    experiments = [tried.sample_experiments(7) for tried in points]
    assert experiments[0] == experiments[1]
    for number in experiments[0]:
        keys = [tried.cno_to_key(number) for tried in points]
        np.testing.assert_array_equal(*keys)
        assert points[0].get_parameters(keys[0]) == points[1].get_parameters(keys[1])
        assert points[0].predict_bounds(keys[0]) == points[1].predict_bounds(keys[1])
        assert points[0].should_run_experiment(keys[0]) == points[1].should_run_experiment(keys[1])
        performance, seconds = generator.random(2)
        added = [tried.add_operating_point(key, performance, seconds) for tried, key in zip(points, keys, strict=True)]
        assert added[0] == added[1]
    assert str(points[0].operating_points) == str(points[1].operating_points)
    assert str(points[0].suboptimal_points) == str(points[1].suboptimal_points)
    points[0].restrict_range("ht", 60)
    assert points[0].num_experiments() == 8


def test_a_timer_counts_its_rounds() -> None:
    timer = evaluation.RepeatTimer(warmup=1, nt=1, runs=4)
    threads = ours.omp_get_max_threads()
    assert [ours.omp_get_max_threads() for _ in timer] == [1] * 4
    assert ours.omp_get_max_threads() == threads
    assert timer.nruns() == 3
    assert timer.ms() >= 0
    assert timer.ms_std() >= 0


@pytest.mark.parametrize("metric", ["L2", "IP"])
def test_synthetic_vectors_are_those_of_faiss(metric: str) -> None:
    one, other = (module.SyntheticDataset(24, 30, 200, 10, metric) for module in (datasets, their_datasets))
    for name in ("get_queries", "get_train", "get_database"):
        np.testing.assert_array_equal(getattr(one, name)(), getattr(other, name)())
    np.testing.assert_array_equal(one.get_groundtruth(5), other.get_groundtruth(5))
    batches = list(one.database_iterator(bs=30, split=(3, 1)))
    assert_same(batches, list(other.database_iterator(bs=30, split=(3, 1))))
    assert str(one) == str(other)


def test_data_sets_are_read_from_their_files(tmp_path: Path, vectors: np.ndarray) -> None:
    (tmp_path / "sift1M").mkdir()
    for name in ("query", "learn", "base"):
        vecs_io.fvecs_write(tmp_path / "sift1M" / f"sift_{name}.fvecs", vectors)
    vecs_io.ivecs_write(tmp_path / "sift1M" / "sift_groundtruth.ivecs", vectors.astype(np.int32))
    before = datasets.dataset_basedir
    datasets.set_dataset_basedir(str(tmp_path))
    try:
        sift = datasets.dataset_from_name("sift1M")
        np.testing.assert_array_equal(sift.get_train(7), vectors[:7])
        np.testing.assert_array_equal(sift.get_queries(), vectors)
        np.testing.assert_array_equal(sift.get_groundtruth(3), vectors[:, :3])
        assert datasets.dataset_from_name("deep10M").nb == 10**7
        assert datasets.dataset_from_name("bigann1B").nb == 10**9
    finally:
        datasets.set_dataset_basedir(before)
    with pytest.raises(RuntimeError, match="got 'glove'"):
        datasets.dataset_from_name("glove")


def test_files_of_vectors_are_read_and_written_both_ways(tmp_path: Path, generator: np.random.Generator) -> None:
    floats = generator.standard_normal((7, 5), dtype=np.float32)
    integers = generator.integers(-9, 9, (7, 5)).astype(np.int32)
    for writer, reader in ((vecs_io, their_vecs_io), (their_vecs_io, vecs_io)):
        writer.fvecs_write(str(tmp_path / "f"), floats)
        writer.ivecs_write(str(tmp_path / "i"), integers)
        np.testing.assert_array_equal(reader.fvecs_read(str(tmp_path / "f")), floats)
        np.testing.assert_array_equal(reader.fvecs_mmap(str(tmp_path / "f")), floats)
        np.testing.assert_array_equal(reader.ivecs_read(str(tmp_path / "i")), integers)
    (tmp_path / "chunks").mkdir()
    for number in range(3):
        records = [np.int32(4).tobytes() + bytes([number, row, 0, 0]) for row in range(5)]
        (tmp_path / "chunks" / f"chunk_{number:04}.bvecs").write_bytes(b"".join(records))
    first = str(tmp_path / "chunks" / "chunk_0001.bvecs")
    np.testing.assert_array_equal(vecs_io.bvecs_mmap(first), their_vecs_io.bvecs_mmap(first))
    assert_same(list(vecs_io.bvecs_iter(first, 2)), list(their_vecs_io.bvecs_iter(first, 2)))
    for size in (1, 4, 7, 100):
        answer = list(vecs_io.bvecs_iter_chunked(str(tmp_path / "chunks"), size))
        assert_same(answer, list(their_vecs_io.bvecs_iter_chunked(str(tmp_path / "chunks"), size)))
    (tmp_path / "chunks" / "chunk_0001.bvecs").unlink()
    with pytest.raises(ValueError, match=r"chunks 0, 1, \.\.\. are needed"):
        list(vecs_io.bvecs_iter_chunked(tmp_path / "chunks"))
    with pytest.raises(ValueError, match="is no file of vectors: 3 numbers for vectors of 5"):
        (tmp_path / "cut").write_bytes(np.int32([5, 1, 2]).tobytes())
        vecs_io.ivecs_read(tmp_path / "cut")


def test_kmeans_of_any_data_gives_the_numbers_of_faiss(vectors: np.ndarray) -> None:
    expected, their_stats = their_clustering.kmeans(
        6, their_clustering.DatasetAssign(vectors), niter=5, verbose=False, return_stats=True
    )
    sparse = scipy.sparse.csr_matrix(vectors)
    assigns = [
        clustering.DatasetAssign(vectors),
        clustering.DatasetAssignSparse(sparse),
        clustering.DatasetAssignGPU(vectors, 0),
        torch_clustering.DatasetAssign(torch.from_numpy(vectors)),
    ]
    for data in assigns:
        centroids, stats = clustering.kmeans(6, data, niter=5, verbose=False, return_stats=True)
        # Sums of at most 400 integers are exact; a mean is rounded once.
        np.testing.assert_allclose(np.asarray(centroids), expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose([s["obj"] for s in stats], [s["obj"] for s in their_stats], rtol=1e-5)
        np.testing.assert_allclose(
            [s["imbalance_factor"] for s in stats], [s["imbalance_factor"] for s in their_stats], rtol=1e-9
        )
    distances, nearest = clustering.sparse_assign_to_dense_blocks(sparse, expected, qbs=70, bbs=4)
    np.testing.assert_array_equal(nearest, ours.knn(vectors, expected, 1)[1][:, 0])
    np.testing.assert_allclose(distances, ours.knn(vectors, expected, 1)[0][:, 0], rtol=1e-3)


def test_empty_clusters_are_split_from_large_ones_as_faiss_does() -> None:
    sizes = [np.array([9, 0, 30, 0]) for _ in range(2)]
    centroids = [np.arange(8, dtype=np.float32).reshape(4, 2) for _ in range(2)]
    for module, size, centroid in zip((clustering, their_clustering), sizes, centroids, strict=True):
        assert module.reassign_centroids(size, centroid, np.random.RandomState(5)) == 2
    np.testing.assert_array_equal(*sizes)
    np.testing.assert_array_equal(*centroids)


def test_balanced_and_two_level_clusterings(vectors: np.ndarray) -> None:
    centroids = vectors[:10]
    assigned, stats = clustering.balanced_assignment_with_penalties(vectors, centroids, maxk=10)
    expected, their_stats = their_clustering.balanced_assignment_with_penalties(vectors, centroids, maxk=10)
    assert np.mean(assigned == expected) > 0.95  # which of equal distances comes first is each library's own
    assert stats["imf"] == pytest.approx(their_stats["imf"], rel=0.1)
    for rebalance in (False, True):
        found = clustering.two_level_clustering(vectors, 3, 11, rebalance=rebalance, clustering_niter=4)
        assert found[0].shape == (11, 8)
        assert len(found[1]) == 4
        reference = their_clustering.two_level_clustering(vectors, 3, 11, rebalance=rebalance, clustering_niter=4)
        errors = [ours.knn(vectors, c, 1)[0].sum() for c in (found[0], reference[0])]
        assert errors[0] == pytest.approx(errors[1], rel=0.05)


def test_matrices_go_into_transforms_and_come_out(generator: np.random.Generator) -> None:
    matrix = generator.standard_normal((3, 5), dtype=np.float32)
    bias = generator.standard_normal(3, dtype=np.float32)
    x = generator.standard_normal((4, 5), dtype=np.float32)
    for b in (None, bias):
        one, other = (m.make_LinearTransform_matrix(matrix, b) for m in (inspect_tools, their_inspect_tools))
        np.testing.assert_allclose(one.apply(x), other.apply(x), rtol=1e-5, atol=1e-6)
        assert one.is_orthonormal == other.is_orthonormal
        shown = inspect_tools.get_LinearTransform_matrix(one)
        assert_same(shown, their_inspect_tools.get_LinearTransform_matrix(other))
    with pytest.raises(AssertionError, match=r"b must be \[3\], got \[5\]"):
        inspect_tools.make_LinearTransform_matrix(matrix, x[0])


def test_flat_vectors_centroids_and_lists_are_shown(vectors: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    index = ours.IndexFlatL2(8)
    index.add(vectors)
    np.testing.assert_array_equal(inspect_tools.get_flat_data(index), vectors)
    np.testing.assert_array_equal(inspect_tools.get_flat_codes(index).view(np.float32), vectors)
    inspect_tools.print_object_fields(index)
    assert "ntotal = 400" in capsys.readouterr().out
    with pytest.raises(AttributeError, match=r"no get_NSG_neighbors here: .* has no NSG: use IndexHNSWFlat"):
        inspect_tools.get_NSG_neighbors  # noqa: B018
    quantizers = [module.ProductQuantizer(8, 2, 4) for module in (ours, theirs)]
    for quantizer in quantizers:
        quantizer.train(vectors)
    assert inspect_tools.get_pq_centroids(quantizers[0]).shape == (2, 16, 4)
    np.testing.assert_allclose(
        inspect_tools.get_pq_centroids(quantizers[0]), their_inspect_tools.get_pq_centroids(quantizers[1]), rtol=1e-4
    )


def test_inverted_lists_are_shown(vectors: np.ndarray) -> None:
    shown = []
    for module, tools in ((ours, inspect_tools), (theirs, their_inspect_tools)):
        quantizer = module.IndexFlatL2(8)
        quantizer.add(vectors[:5])
        index = module.IndexIVFFlat(quantizer, 8, 5)
        index.is_trained = True
        index.add(vectors[:60])
        sizes = tools.get_invlist_sizes(index.invlists)
        shown.append([sizes, *(part for number in range(5) for part in tools.get_invlist(index.invlists, number))])
    assert_same(*shown)


def test_strings_tell_the_size_of_codes() -> None:
    for key in [
        "Flat",
        "SQ8",
        "SQ4",
        "SQ6",
        "SQfp16",
        "PQ8",
        "PQ8x4",
        "PQ16x4fs",
        "PQ8+16",
        "IVF100,Flat",
        "IVF100_HNSW32,PQ8",
        "IVF10(Flat),SQ8",
        "HNSW32",
        "HNSW16,SQ8",
        "PCAR16,SQ8",
        "OPQ8_16,PQ8",
        "OPQ8,PQ8",
        "RR16,Flat",
        "PQ8,RFlat",
        "PQ8,Refine(SQ8)",
        "IMI2x8,PQ8",
    ]:
        assert factory_tools.get_code_size(31, key) == their_factory_tools.get_code_size(31, key), key
    with pytest.raises(RuntimeError, match="the string 'Flut' is not understood"):
        factory_tools.get_code_size(31, "Flut")


@pytest.mark.parametrize(
    "key",
    [
        "Flat",
        "SQ8",
        "SQfp16",
        "PQ4x8",
        "IVF7,Flat",
        "IVF7,SQ6",
        "IVF7,PQ4x8",
        "IVF7_HNSW8,Flat",
        "HNSW16",
        "PCA4,Flat",
        "PCAR4,IVF3,Flat",
        "OPQ2_4,PQ2x8",
        "IDMap,Flat",
        "IDMap2,SQ8",
        "LSH",
        "LSHrt",
        "Flat,Refine(SQ8)",
    ],
)
def test_the_string_of_an_index_makes_it_again(key: str) -> None:
    string = factory_tools.reverse_index_factory(ours.index_factory(8, key))
    assert string == their_factory_tools.reverse_index_factory(theirs.index_factory(8, key))


def test_pointers_to_tensors_work_in_bf_knn(vectors: np.ndarray) -> None:
    keys = torch.from_numpy(vectors)
    scores, ids = torch.empty(4, 3), torch.empty(4, 3, dtype=torch.int64)
    res = ours.StandardGpuResources()
    with torch_utils.using_stream(res):
        ours.bruteForceKnn(
            res,
            ours.METRIC_L2,
            torch_utils.swig_ptr_from_FloatTensor(keys),
            True,
            len(keys),
            torch_utils.swig_ptr_from_FloatTensor(keys[2:6]),
            True,
            4,
            8,
            3,
            torch_utils.swig_ptr_from_FloatTensor(scores),
            torch_utils.swig_ptr_from_IndicesTensor(ids),
        )
    expected = ours.knn(keys[2:6], keys, 3)
    torch.testing.assert_close(scores, expected[0], rtol=0, atol=0)
    torch.testing.assert_close(ids, expected[1], rtol=0, atol=0)
    half = keys.half()
    assert torch_utils.swig_ptr_from_HalfTensor(half).address == half.data_ptr()
    with pytest.raises(AssertionError, match=r"a contiguous tensor of torch\.float32 is needed"):
        torch_utils.swig_ptr_from_FloatTensor(keys.T)


@pytest.mark.parametrize("module", ["rpc", "client_server", "big_batch_search", "torch.quantization"])
def test_modules_that_are_not_here_say_what_to_use(module: str) -> None:
    with pytest.raises(ImportError, match=rf"fastret\.faiss has no contrib\.{module}.* real faiss: pip install"):
        importlib.import_module(f"fastret.faiss.contrib.{module}")


def test_the_modules_of_contrib_have_the_names_of_faiss() -> None:
    folder = Path(importlib.import_module("faiss.contrib").__file__).parent  # type: ignore[arg-type]
    for path in folder.glob("*.py"):
        if path.stem not in ("__init__", "rpc", "client_server", "big_batch_search", "ivf_tools", "ondisk"):
            names = re.findall(r"^(?:def|class) ([a-zA-Z]\w*)", path.read_text(), re.MULTILINE)
            module = importlib.import_module(f"fastret.faiss.contrib.{path.stem}")
            assert names
            missing = {name for name in names if not hasattr(module, name)}
            assert missing <= NOT_HERE.get(path.stem, set()), path.stem


# Data sets that need other downloads and readers, the patches that torch tensors need in FAISS, and its inner helpers.
NOT_HERE = {
    "clustering": {"print_nop"},
    "datasets": {"DatasetGlove", "DatasetMusic100", "DatasetDINO10B", "sanitize"},
    "evaluation": {"TimerIter"},
    "inspect_tools": {"get_additive_quantizer_codebooks", "get_NSG_neighbors"},
    "torch_utils": {"torch_replace_method", "handle_torch_Index"},
}
