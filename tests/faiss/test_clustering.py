"""k-means beside faiss-cpu: the same samples, starts, splits and centroids for the same seed."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

import fastret.faiss as ours
from fastret.faiss.pointers import swig_ptr

theirs = pytest.importorskip("faiss")

DIM = 16
EPS = float(np.finfo(np.float32).eps)


@pytest.fixture(autouse=True)
def few_points_are_meant() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".* are advised")
        yield


def uniform(n: int = 2000, dim: int = DIM) -> np.ndarray:
    return np.random.default_rng(0).random((n, dim), dtype=np.float32)


def blobs(n: int = 2000, k: int = 20) -> np.ndarray:
    generator = np.random.default_rng(1)
    centres = 2 * generator.standard_normal((k, DIM), dtype=np.float32)
    return centres[generator.integers(0, k, n)] + generator.standard_normal((n, DIM), dtype=np.float32)


def assert_same_run(mine: Any, reference: Any) -> None:
    """Nearest centroids are the same throughout; what is left are the roundings of sums of a few thousand terms."""
    assert mine.obj.dtype == reference.obj.dtype
    np.testing.assert_allclose(mine.obj, reference.obj, rtol=16 * EPS)
    np.testing.assert_allclose(mine.centroids, reference.centroids, rtol=16 * EPS, atol=16 * EPS)
    assert mine.centroids.dtype == np.float32
    for ours_of, theirs_of in zip(mine.iteration_stats, reference.iteration_stats, strict=True):
        assert ours_of.keys() == theirs_of.keys()
        assert ours_of["nsplit"] == theirs_of["nsplit"]
        assert ours_of["imbalance_factor"] == pytest.approx(theirs_of["imbalance_factor"], rel=1e-12)


def trained(
    k: int, x: np.ndarray, parameters: dict[str, Any], tolerance: float = 16 * EPS, **training: Any
) -> tuple[Any, Any]:
    runs = [module.Kmeans(x.shape[1], k, **parameters) for module in (ours, theirs)]
    last = [run.train(x, **training) for run in runs]
    assert last[0] == pytest.approx(last[1], rel=tolerance)
    return runs[0], runs[1]


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"niter": 100},
        {"niter": 3, "nredo": 3},
        {"spherical": True},
        {"seed": 77},
        {"max_points_per_centroid": 30},
        {"max_points_per_centroid": 30, "use_faster_subsampling": True},
        {"early_stop_threshold": 0.01},
        {"update_index": True},
        {"check_input_data_for_NaNs": False},
    ],
    ids=str,
)
@pytest.mark.parametrize("make", [uniform, blobs])
def test_centroids_are_those_of_faiss(parameters: dict[str, Any], make: Any) -> None:
    assert_same_run(*trained(20, make(), parameters))


def test_centroids_are_rounded_to_integers() -> None:
    mine, reference = trained(20, 10 * blobs(), {"int_centroids": True})
    np.testing.assert_array_equal(mine.centroids, reference.centroids)


@pytest.mark.parametrize("parameters", [{}, {"max_points_per_centroid": 50}], ids=str)
def test_weights_count_in_the_means(parameters: dict[str, Any]) -> None:
    weights = np.random.default_rng(2).random(2000)
    assert_same_run(*trained(10, uniform(), parameters, weights=weights))


@pytest.mark.parametrize("parameters", [{}, {"frozen_centroids": True}, {"nredo": 2}], ids=str)
@pytest.mark.parametrize("given", [3, 10])
def test_given_centroids_are_where_it_starts(parameters: dict[str, Any], given: int) -> None:
    x = uniform()
    mine, reference = trained(10, x, parameters, init_centroids=x[:given].copy())
    assert_same_run(mine, reference)
    if "frozen_centroids" in parameters:
        np.testing.assert_array_equal(mine.centroids[:given], x[:given])


@pytest.mark.parametrize(
    "parameters",
    [{}, {"nredo": 2, "niter": 3}, {"seed": 9, "afkmc2_chain_length": 5}, {"max_points_per_centroid": 30}],
    ids=str,
)
@pytest.mark.parametrize("method", ["KMEANS_PLUS_PLUS", "AFK_MC2"])
@pytest.mark.parametrize("given", [0, 3])
def test_spread_starts_are_those_of_faiss(parameters: dict[str, Any], method: str, given: int) -> None:
    x, number = uniform(), getattr(ours, f"ClusteringInitMethod_{method}")
    assert number == getattr(theirs, f"ClusteringInitMethod_{method}")
    training = {"init_centroids": x[:given].copy()} if given else {}
    assert_same_run(*trained(20, x, {"init_method": number, **parameters}, **training))


def test_empty_clusters_take_half_of_others() -> None:
    # Far away there are no points. One iteration: of the halves, which are close, faiss's rounding may choose either.
    far = np.full((5, DIM), 1e3, dtype=np.float32)
    mine, reference = trained(10, uniform(), {"niter": 1}, init_centroids=far)
    assert_same_run(mine, reference)
    assert mine.iteration_stats[0]["nsplit"] == 5


def test_no_weight_at_all_splits_the_largest_cluster_as_faiss_does() -> None:
    assert_same_run(*trained(10, uniform(), {"niter": 2}, weights=np.zeros(2000)))


@pytest.mark.parametrize(("n", "k"), [(30, 30), (400, 1), (31, 30)])
def test_as_many_points_as_clusters_and_a_single_cluster(n: int, k: int) -> None:
    assert_same_run(*trained(k, uniform(n), {}))


@pytest.mark.parametrize("k", [50, 600])
def test_means_are_the_same_for_any_number_of_threads(k: int) -> None:
    x, results = uniform(), []
    threads = torch.get_num_threads()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            run = ours.Kmeans(DIM, k, niter=4)
            run.train(x)
            results.append((run.centroids, run.obj))
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][1], results[1][1])


@pytest.mark.parametrize(
    "cast", [lambda x: x.astype(np.float16), torch.from_numpy, lambda x: torch.from_numpy(x).half()]
)
def test_other_arrays_are_taken_at_their_value(cast: Any) -> None:
    x = uniform().astype(np.float16).astype(np.float32)
    run, reference = ours.Kmeans(DIM, 10), ours.Kmeans(DIM, 10)
    run.train(cast(x))
    reference.train(x)
    np.testing.assert_array_equal(run.centroids, reference.centroids)
    scores, ids = run.assign(cast(x))
    np.testing.assert_array_equal(np.asarray(ids), reference.assign(x)[1])
    assert scores.shape == ids.shape == (2000,)


def test_assign_finds_the_nearest_centroids() -> None:
    x = blobs()
    mine, reference = trained(20, x, {})
    (scores, ids), (reference_scores, reference_ids) = mine.assign(x), reference.assign(x)
    np.testing.assert_array_equal(ids, reference_ids)
    # faiss takes the difference of numbers around 100 times as large.
    np.testing.assert_allclose(scores, reference_scores, rtol=1e-5, atol=100 * DIM * EPS)
    with pytest.raises(AssertionError, match=r"^Kmeans.assign: there are no centroids; call train first$"):
        ours.Kmeans(DIM, 3).assign(x)


def test_clustering_with_an_index_of_one_s_own() -> None:
    x, objects = uniform(), []
    for module in (ours, theirs):
        parameters = module.ClusteringParameters()
        parameters.niter = 7
        clustering, index = module.Clustering(DIM, 10, parameters), module.IndexFlatL2(DIM)
        clustering.train(x, index)
        assert index.ntotal == 10
        assert clustering.iteration_stats.size() == 7
        np.testing.assert_array_equal(index.reconstruct_n(0, 10).ravel(), module.vector_to_array(clustering.centroids))
        objects.append(clustering)
    mine, reference = (clustering.iteration_stats.at(6) for clustering in objects)
    assert mine.obj == pytest.approx(reference.obj, rel=16 * EPS)


def test_centroids_put_into_the_vector_are_where_it_starts() -> None:
    x, results = uniform(), []
    for module in (ours, theirs):
        clustering = module.Clustering(DIM, 10)
        module.copy_array_to_vector(x[:10].ravel(), clustering.centroids)
        clustering.train(x, module.IndexFlatL2(DIM))
        results.append(module.vector_to_array(clustering.centroids))
    np.testing.assert_allclose(*results, rtol=16 * EPS)


def test_encoded_vectors_are_decoded() -> None:
    x = uniform()
    codec, clustering, plain = ours.IndexFlatL2(DIM), ours.Clustering(DIM, 5), ours.Clustering(DIM, 5)
    clustering.max_points_per_centroid = plain.max_points_per_centroid = 100
    clustering.train_encoded(codec.sa_encode(x), codec, ours.IndexFlatL2(DIM))
    plain.train(x, ours.IndexFlatL2(DIM))
    np.testing.assert_array_equal(*(ours.vector_to_array(c.centroids) for c in (clustering, plain)))


def test_kmeans_clustering_fills_the_centroids() -> None:
    x, results = uniform(), []
    for module, pointer in ((ours, swig_ptr), (theirs, theirs.swig_ptr)):
        centroids = np.empty((10, DIM), dtype=np.float32)
        objective = module.kmeans_clustering(DIM, len(x), 10, pointer(x), pointer(centroids))
        results.append((objective, centroids))
    assert results[0][0] == pytest.approx(results[1][0], rel=16 * EPS)
    np.testing.assert_allclose(results[0][1], results[1][1], rtol=16 * EPS)


def test_parameters_have_the_defaults_of_faiss_and_no_others() -> None:
    names = [name for name in dir(theirs.ClusteringParameters) if not name.startswith("_") and name != "thisown"]
    defaults = [[getattr(module.ClusteringParameters(), name) for name in names] for module in (ours, theirs)]
    assert defaults[0][:-1] == defaults[1][:-1]
    for module in (ours, theirs):
        with pytest.raises(AttributeError):
            module.Kmeans(DIM, 3, tolerance=1)
        with pytest.raises(TypeError):
            module.Kmeans(DIM, 3, niter="many")


def bad_calls() -> list[Any]:
    x = uniform(100)
    nan = x.copy()
    nan[3, 3] = np.nan
    return [
        (lambda m: m.Kmeans(DIM, 10, init_method=7).train(x), RuntimeError, "from 0 to 2, got 7"),
        (lambda m: m.Kmeans(DIM, 10).train(x[:5]), RuntimeError, "10 clusters need as many training vectors, got 5"),
        (lambda m: m.Kmeans(DIM, 10).train(nan), RuntimeError, "vectors must be finite, got NaN or infinity"),
        (lambda m: m.Kmeans(DIM - 1, 10).train(x), AssertionError, r"vectors must be \[n, 15\], got \[100, 16\]"),
        (lambda m: m.Kmeans(DIM, 10).train(x[0]), ValueError, r"vectors must be \[n, d\], got \[16\]"),
        (lambda m: m.Kmeans(DIM, 0).train(x), RuntimeError, "must be positive, got 16, 0, 256 and 1"),
        (lambda m: m.Kmeans(DIM, 3).train(x, np.ones(5)), AssertionError, r"weights must be \[100\], got \[5\]"),
        (lambda m: m.Clustering(DIM, 3).train(x, m.IndexFlatL2(8)), RuntimeError, "the index must be of d = 16, got 8"),
    ]


@pytest.mark.parametrize(("call", "error", "sentence"), bad_calls())
def test_bad_input_is_refused_as_by_faiss(call: Any, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error):
        call(theirs)
    with pytest.raises(error, match=sentence):
        call(ours)


def test_more_centroids_than_clusters_are_refused() -> None:
    with pytest.raises(RuntimeError, match="centroids must be empty or at most 3 of d = 16, got 64 numbers"):
        ours.Kmeans(DIM, 3).train(uniform(100), init_centroids=uniform(4))


def test_vectors_without_a_centroid_are_refused() -> None:
    x = uniform(1000)
    x[3] = np.nan
    with pytest.raises(RuntimeError, match="found no centroid for some of the vectors"):
        ours.Kmeans(DIM, 600, check_input_data_for_NaNs=False).train(x)


def test_few_points_give_a_warning() -> None:
    with pytest.warns(UserWarning, match="100 vectors for 10 clusters, at least 390 are advised"):
        ours.Kmeans(DIM, 10).train(uniform(100))


def test_verbose_tells_of_iterations(capsys: pytest.CaptureFixture[str]) -> None:
    ours.Kmeans(DIM, 10, verbose=True, niter=2, max_points_per_centroid=20).train(uniform())
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Sampling 200 of 2000 vectors"
    assert sum("iteration" in line for line in lines) == 2


@pytest.mark.parametrize("steps", [1, 4])
def test_ever_more_dimensions_give_the_centroids_of_faiss(steps: int) -> None:
    assert_same_run(*trained(10, uniform(), {"progressive_dim_steps": steps, "apply_pca": False}))


def test_ever_more_principal_components() -> None:
    # Components of different variances, which no rounding can exchange.
    x = blobs() @ np.diag(0.7 ** np.arange(DIM, dtype=np.float32))
    mine, reference = trained(5, x, {"progressive_dim_steps": 3}, tolerance=0.01)
    np.testing.assert_allclose(mine.obj, reference.obj, rtol=0.01)
    with pytest.raises(AssertionError, match="there are no weights, init_centroids or spherical centroids"):
        ours.Kmeans(DIM, 5, progressive_dim_steps=3).train(x, weights=np.ones(len(x)))


@pytest.mark.parametrize(("n", "k"), [(1000, 5), (17, 16), (50, 1), (1500, 40), (9, 9), (3000, 10)])
def test_numbers_are_clustered_exactly(n: int, k: int) -> None:
    x, found = uniform(n, 1), []
    for module, pointer in ((ours, swig_ptr), (theirs, theirs.swig_ptr)):
        clustering = module.Clustering1D(k)
        clustering.train_exact(x)
        centroids = np.empty(k, dtype=np.float32)
        imbalance = module.kmeans1d(pointer(x), n, k, pointer(centroids))
        found.append((module.vector_to_array(clustering.centroids), centroids, imbalance))
    # faiss adds up a cluster in float32.
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=n * EPS)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=n * EPS)
    assert found[0][2] == pytest.approx(found[1][2])


def test_equal_numbers_are_clustered_too() -> None:
    clustering = ours.Clustering1D(5)
    clustering.train_exact(np.repeat(np.float32([1, 2]), 20)[:, None])
    assert set(ours.vector_to_array(clustering.centroids)) == {1, 2}
    with pytest.raises(RuntimeError, match="kmeans1d: 5 clusters need as many numbers, got 3"):
        ours.Clustering1D(5).train_exact(np.ones((3, 1)))


def test_gpus_that_are_not_there_leave_it_on_the_cpu() -> None:
    if ours.get_num_gpus():
        pytest.skip("there is a GPU")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        on_gpu = ours.Kmeans(DIM, 10, gpu=True)
    on_cpu = ours.Kmeans(DIM, 10)
    assert on_gpu.train(uniform()) == on_cpu.train(uniform())
    assert on_gpu.gpu == 0
    np.testing.assert_array_equal(on_gpu.centroids, on_cpu.centroids)
