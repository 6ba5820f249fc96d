"""Every GPU name on a machine without a GPU: the answers of the CPU's names, and one warning."""

from __future__ import annotations

import copy
import pickle
import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import fastret.faiss as ours
from fastret.faiss import gpu_devices
from fastret.faiss.pointers import swig_ptr

Maker = Callable[[Any], Any]
D = 12


@pytest.fixture
def vectors(generator: np.random.Generator) -> np.ndarray:
    return generator.standard_normal((300, D), dtype=np.float32)


@pytest.fixture(autouse=True)
def warned_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_devices, "_told", ["a test"])


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two devices that are the CPU."""
    monkeypatch.setattr(gpu_devices, "cuda_devices", lambda: [torch.device("cpu")] * 2)


def resources() -> Any:
    res = ours.StandardGpuResources()
    res.noTempMemory()
    res.setTempMemory(1 << 20)
    res.setTempMemoryFraction(0.1)
    res.setPinnedMemory(1 << 20)
    res.setDefaultNullStreamAllDevices()
    res.setLogMemoryAllocations(False)
    res.syncDefaultStreamCurrentDevice()
    assert res.getMemoryInfo() == {}
    return res


def sharded() -> Any:
    options = ours.GpuMultipleClonerOptions()
    options.shard = True
    options.useFloat16 = True
    return options


def by_vectors_of_resources(index: Any) -> Any:
    providers, devices = ours.GpuResourcesVector(), ours.Int32Vector()
    for number in range(2):
        providers.push_back(ours.StandardGpuResources())
        devices.push_back(number)
    return ours.index_cpu_to_gpu_multiple(providers, devices, index, sharded())


TO_GPU: list[Maker] = [
    lambda index: ours.index_cpu_to_gpu(resources(), 0, index),
    lambda index: ours.index_cpu_to_gpu(resources(), 0, index, ours.GpuClonerOptions()),
    lambda index: ours.index_cpu_to_all_gpus(index),
    lambda index: ours.index_cpu_to_all_gpus(index, co=sharded()),
    lambda index: ours.index_cpu_to_all_gpus(index, sharded(), ngpu=2),
    lambda index: ours.index_cpu_to_gpus_list(index, gpus=[0, 1]),
    lambda index: ours.index_cpu_to_gpu_multiple_py([resources(), resources()], index, sharded(), gpus=[0, 1]),
    lambda index: ours.ToGpuCloner(resources(), 0, ours.GpuClonerOptions()).clone_Index(index),
    lambda index: ours.ToGpuClonerMultiple([resources()] * 2, [0, 1], sharded()).clone_Index(index),
    by_vectors_of_resources,
]
MAKERS = ["IndexFlatIP", "IndexFlatL2"]


def assert_same_answers(index: Any, reference: Any, queries: np.ndarray) -> None:
    for answer, expected in zip(index.search(queries, 7), reference.search(queries, 7), strict=True):
        np.testing.assert_array_equal(answer, expected)


@pytest.mark.parametrize("to_gpu", TO_GPU)
@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("gpus", ["none", "two"])
def test_every_way_to_a_gpu_copies_an_index(
    to_gpu: Maker, name: str, gpus: str, vectors: np.ndarray, request: pytest.FixtureRequest
) -> None:
    if gpus == "two":
        request.getfixturevalue("two_gpus")
    index = getattr(ours, name)(D)
    index.add(vectors[:100])
    moved = to_gpu(index)
    assert isinstance(moved, ours.GpuIndexFlat)
    assert_same_answers(moved, index, vectors[200:])
    moved.add(vectors[100:200])
    assert (index.ntotal, moved.ntotal) == (100, 200)
    index.add(vectors[100:200])
    assert_same_answers(moved, index, vectors[200:])
    back = ours.index_gpu_to_cpu(moved)
    assert type(back) is ours.IndexFlat
    assert_same_answers(back, index, vectors[200:])
    assert moved.remove_ids(np.array([3])) == 1
    assert back.ntotal == 200
    np.testing.assert_array_equal(moved.reconstruct(3), vectors[4])
    moved.reset()
    assert moved.ntotal == 0


def test_shards_are_dealt_to_all_devices_and_replicas_stay_on_the_first(two_gpus: None) -> None:
    assert ours.get_num_gpus() == 2
    assert "devices=['cpu', 'cpu']" in repr(ours.index_cpu_to_all_gpus(ours.IndexFlatL2(D), sharded())._stored)
    assert "devices" not in repr(ours.index_cpu_to_all_gpus(ours.IndexFlatL2(D))._stored)
    assert ours.index_cpu_to_gpu(resources(), 1, ours.IndexFlatL2(D)).getDevice() == 1
    for number in (-2, 2):
        with pytest.raises(RuntimeError, match=f"index_cpu_to_gpu: device must be 0 to 1, got {number}"):
            ours.index_cpu_to_gpu(resources(), number, ours.IndexFlatL2(D))


@pytest.mark.parametrize(("gpu_name", "name"), [("GpuIndexFlatL2", "IndexFlatL2"), ("GpuIndexFlatIP", "IndexFlatIP")])
def test_flat_gpu_indexes_are_made_from_nothing_or_from_an_index(gpu_name: str, name: str, vectors: np.ndarray) -> None:
    config = ours.GpuIndexFlatConfig()
    config.device, config.useFloat16 = 0, True
    reference = getattr(ours, name)(D)
    reference.add(vectors)
    made = getattr(ours, gpu_name)(resources(), D, config)
    made.add(vectors)
    for index in (
        made,
        getattr(ours, gpu_name)(resources(), reference),
        ours.GpuIndexFlat(resources(), reference, config),
    ):
        assert_same_answers(index, reference, vectors[:9])
        assert (index.getDevice(), index.getNumVecs()) == (0, 300)
    plain = ours.GpuIndexFlat(resources(), D, ours.METRIC_INNER_PRODUCT, config)
    assert plain.metric_type == ours.METRIC_INNER_PRODUCT
    plain.copyFrom(reference)
    target = ours.IndexFlat(3)
    plain.copyTo(target)
    assert_same_answers(target, reference, vectors[:9])


def test_gpu_indexes_are_pickled_and_written_as_cpu_indexes(vectors: np.ndarray, tmp_path: Any) -> None:
    index = ours.GpuIndexFlatL2(resources(), D)
    index.add(vectors)
    ours.write_index(index, tmp_path / "index")
    read = ours.read_index(tmp_path / "index")
    for other in (read, pickle.loads(pickle.dumps(index))):
        assert type(other) is ours.IndexFlatL2
        assert_same_answers(other, index, vectors[:5])
    assert type(copy.copy(index)) is ours.GpuIndexFlatL2


def test_torch_goes_in_and_comes_out(vectors: np.ndarray) -> None:
    tensor = torch.from_numpy(vectors)
    index = ours.GpuIndexFlatIP(resources(), D)
    index.add(tensor)
    scores, ids = index.search(tensor[:4], 3)
    assert isinstance(scores, torch.Tensor)
    np.testing.assert_array_equal(ids, ours.knn(vectors[:4], vectors, 3, ours.METRIC_INNER_PRODUCT)[1])
    assert isinstance(ours.knn_gpu(resources(), tensor[:4], tensor, 3)[0], torch.Tensor)


@pytest.mark.parametrize("metric", [ours.METRIC_L2, ours.METRIC_INNER_PRODUCT])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_knn_gpu_is_knn(vectors: np.ndarray, metric: int, dtype: Any) -> None:
    keys, queries = vectors.astype(dtype), np.asfortranarray(vectors[:20].astype(dtype))
    scores, ids = ours.knn_gpu(resources(), queries, keys, 5, metric=metric, vectorsMemoryLimit=1000)
    expected_scores, expected_ids = ours.knn(queries, keys, 5, metric)
    np.testing.assert_array_equal(ids, expected_ids)
    np.testing.assert_array_equal(scores, expected_scores)
    filled_scores, filled_ids = np.empty((20, 5), np.float32), np.empty((20, 5), np.int32)
    returned = ours.knn_gpu(resources(), queries, keys, 5, D=filled_scores, I=filled_ids, metric=metric)
    assert returned[0] is filled_scores
    assert returned[1] is filled_ids
    np.testing.assert_array_equal(filled_ids, expected_ids)
    np.testing.assert_array_equal(filled_scores, expected_scores)


def test_pairwise_distances_are_the_scores_of_a_search(vectors: np.ndarray) -> None:
    scores = ours.pairwise_distance_gpu(resources(), vectors[:6], vectors)
    found_scores, ids = ours.knn_gpu(resources(), vectors[:6], vectors, 300)
    np.testing.assert_array_equal(np.take_along_axis(scores, ids, 1), found_scores)


@pytest.mark.parametrize("row_major", [True, False])
@pytest.mark.parametrize("index_type", [ours.IndicesDataType_I64, ours.IndicesDataType_I32])
@pytest.mark.parametrize("float_type", [ours.DistanceDataType_F32, ours.DistanceDataType_F16])
def test_bf_knn_reads_and_writes_through_pointers(
    vectors: np.ndarray, row_major: bool, index_type: int, float_type: int
) -> None:
    keys = vectors.astype(np.float32 if float_type == ours.DistanceDataType_F32 else np.float16)
    given = keys if row_major else np.ascontiguousarray(keys.T)
    queries = keys[:4] if row_major else np.ascontiguousarray(keys[:4].T)
    scores = np.empty((4, 3), np.float32)
    ids = np.empty((4, 3), np.int64 if index_type == ours.IndicesDataType_I64 else np.int32)
    args = ours.GpuDistanceParams()
    args.metric, args.k, args.dims = ours.METRIC_L2, 3, D
    args.vectors, args.vectorsRowMajor, args.numVectors = swig_ptr(given), row_major, 300
    args.queries, args.queriesRowMajor, args.numQueries = swig_ptr(queries), row_major, 4
    args.vectorType = args.queryType = float_type
    args.outDistances, args.outIndices, args.outIndicesType = swig_ptr(scores), swig_ptr(ids), index_type
    ours.bfKnn(resources(), args)
    expected = ours.knn(keys[:4], keys, 3)
    np.testing.assert_array_equal(scores, expected[0])
    np.testing.assert_array_equal(ids, expected[1])
    every = np.empty((4, 300), np.float32)
    args.k, args.outDistances = -1, swig_ptr(every)
    ours.bfKnn_tiling(resources(), args, 0, 0)
    np.testing.assert_array_equal(np.sort(every, 1)[:, :3], expected[0])
    args.k = 0
    with pytest.raises(AssertionError, match="bfKnn: k must be positive, got 0"):
        ours.bfKnn(resources(), args)


@pytest.mark.parametrize("metric", [ours.METRIC_L1, ours.METRIC_Linf, ours.METRIC_Canberra])
def test_other_metrics_are_those_of_the_cpu(vectors: np.ndarray, metric: int) -> None:
    index = ours.IndexFlat(D, metric)
    index.add(vectors)
    assert_same_answers(ours.index_cpu_to_all_gpus(index), index, vectors[:9])
    expected_scores, expected_ids = ours.knn(vectors[:9], vectors, 4, metric)
    scores, ids = ours.knn_gpu(resources(), vectors[:9], vectors, 4, metric=metric)
    np.testing.assert_array_equal(scores, expected_scores)
    np.testing.assert_array_equal(ids, expected_ids)
    pairs = ours.pairwise_distance_gpu(resources(), vectors[:9], vectors, metric=metric)
    np.testing.assert_allclose(np.take_along_axis(pairs, ids, 1), scores, rtol=1e-6)


def inverted_file(key: str, vectors: np.ndarray) -> Any:
    index = ours.index_factory(D, key)
    index.train(vectors)
    index.add(vectors)
    index.nprobe = 4
    return index


@pytest.mark.parametrize(
    ("key", "kind", "arguments"),
    [
        ("IVF10,Flat", "IVFFlat", ()),
        ("IVF10,SQ8", "IVFScalarQuantizer", (ours.ScalarQuantizer.QT_8bit,)),
        ("IVF10,PQ3x4", "IVFPQ", (3, 4)),
    ],
)
def test_inverted_files_keep_their_answers_under_gpu_names(
    key: str, kind: str, arguments: tuple[Any, ...], vectors: np.ndarray
) -> None:
    index = inverted_file(key, vectors)
    gpu_kind, config = getattr(ours, f"GpuIndex{kind}"), getattr(ours, f"GpuIndex{kind}Config")()
    config.indicesOptions = ours.INDICES_32_BIT
    config.flatConfig.useFloat16 = True
    copied = gpu_kind(resources(), D, 10, *arguments, ours.METRIC_L2, config)
    assert not copied.is_trained
    copied.copyFrom(index)
    moved = ours.index_cpu_to_all_gpus(index, sharded())
    for other in (moved, gpu_kind(resources(), index, config), copied):
        assert type(other) is gpu_kind
        assert_same_answers(other, index, vectors[:20])
        back = ours.index_gpu_to_cpu(other)
        assert type(back) is type(index)
        assert vars(back).keys() == vars(index).keys()
        assert_same_answers(back, index, vectors[:20])
    moved.setNumProbes(10)
    assert (moved.getNumProbes(), index.nprobe, moved.getNumLists()) == (10, 4, 10)
    assert sum(moved.getListLength(number) for number in range(10)) == 300
    moved.reserveMemory(1000)
    assert moved.reclaimMemory() == 0
    for quantizer in ((ours.IndexFlatL2(D),), ()):
        made = gpu_kind(resources(), *quantizer, D, 10, *arguments, ours.METRIC_L2)
        made.train(vectors)
        made.add(vectors)
        made.nprobe = 4
        assert_same_answers(made, index, vectors[:20])
    with pytest.raises(TypeError, match="an index, or d and nlist, are needed behind the resources"):
        gpu_kind(resources(), config)


def test_what_an_index_is_around_goes_to_the_gpu(vectors: np.ndarray) -> None:
    for key in ("IDMap,Flat", "PCA4,Flat", "PCA4,IVF5,Flat"):
        index = ours.index_factory(D, key)
        index.train(vectors)
        index.add_with_ids(vectors, np.arange(300) + 7) if "IDMap" in key else index.add(vectors)
        moved = ours.index_cpu_to_gpu(resources(), 0, index)
        assert type(moved) is type(index)
        assert type(moved.index).__name__ == f"Gpu{type(index.index).__name__}".removesuffix("L2")
        assert_same_answers(moved, index, vectors[:20])
        back = ours.index_gpu_to_cpu(moved)
        assert not isinstance(back.index, ours.GpuIndex)
        assert_same_answers(back, index, vectors[:20])


def test_shards_and_replicas_of_gpu_indexes_become_one_on_the_cpu(vectors: np.ndarray) -> None:
    whole = ours.IndexFlatL2(D)
    whole.add(vectors)
    shards, replicas = ours.IndexShards(D, False, True), ours.IndexReplicas()
    for _ in range(3):
        shards.add_shard(ours.GpuIndexFlatL2(resources(), D))
        replicas.addIndex(ours.GpuIndexFlatL2(resources(), D))
    for several in (shards, replicas):
        several.add(vectors)
        assert_same_answers(several, whole, vectors[:20])
        assert_same_answers(ours.index_gpu_to_cpu(several), whole, vectors[:20])


def test_binary_indexes_keep_their_answers_under_gpu_names(generator: np.random.Generator) -> None:
    codes = generator.integers(0, 256, (200, 4), dtype=np.uint8)
    index = ours.IndexBinaryFlat(32)
    index.add(codes)
    made = ours.GpuIndexBinaryFlat(resources(), 32, ours.GpuIndexBinaryFlatConfig())
    made.add(codes)
    for other in (
        made,
        ours.GpuIndexBinaryFlat(resources(), index),
        ours.index_binary_cpu_to_gpu(resources(), 0, index),
        ours.index_cpu_to_all_gpus(index),
    ):
        assert type(other) is ours.GpuIndexBinaryFlat
        assert other.getDevice() == 0
        assert_same_answers(other, index, codes[:9])
        assert type(ours.index_binary_gpu_to_cpu(other)) is ours.IndexBinaryFlat


def test_methods_on_pointers_do_what_those_on_arrays_do(vectors: np.ndarray) -> None:
    theirs = pytest.importorskip("faiss")
    answers = []
    for module, index in ((ours, ours.GpuIndexFlatL2(resources(), D)), (theirs, theirs.IndexFlatL2(D))):
        scores, ids = np.empty((9, 4), np.float32), np.empty((9, 4), np.int64)
        labels, one, some = np.empty((9, 2), np.int64), np.empty(D, np.float32), np.empty((3, D), np.float32)
        pointer = module.swig_ptr
        index.train_c(300, pointer(vectors))
        index.add_c(300, pointer(vectors))
        index.search_c(9, pointer(vectors), 4, pointer(scores), pointer(ids))
        index.assign_c(9, pointer(vectors), pointer(labels), 2)
        index.reconstruct_c(7, pointer(one))
        index.reconstruct_n_c(5, 3, pointer(some))
        answers.append((ids, labels, one, some))
    for answer, expected in zip(*answers, strict=True):
        np.testing.assert_array_equal(answer, expected)
    named = [ours.IndexIDMap(ours.IndexFlatL2(D)) for _ in range(2)]
    named[0].add_with_ids_c(300, swig_ptr(vectors), swig_ptr(np.arange(300) * 5))
    named[1].add_with_ids(vectors, np.arange(300) * 5)
    assert_same_answers(*named, vectors[:9])
    with pytest.raises(ValueError, match="search_c: 19200 bytes of 14400 were asked for behind a pointer"):
        index = ours.IndexFlatL2(D)
        index.search_c(400, swig_ptr(vectors), 1, swig_ptr(vectors), swig_ptr(vectors))


@pytest.mark.parametrize("flags", [(), (True, False)])
def test_brute_force_knn_as_older_scripts_call_it(vectors: np.ndarray, flags: tuple[bool, ...]) -> None:
    scores, ids = np.empty((9, 4), np.float32), np.empty((9, 4), np.int64)
    queries = np.ascontiguousarray(vectors[:9].T) if flags else vectors
    ours.bruteForceKnn(
        resources(),
        ours.METRIC_INNER_PRODUCT,
        *(swig_ptr(vectors), *flags[:1], 300, swig_ptr(queries), *flags[1:], 9, D, 4, swig_ptr(scores), swig_ptr(ids)),
    )
    expected = ours.knn(vectors[:9], vectors, 4, ours.METRIC_INNER_PRODUCT)
    np.testing.assert_array_equal(scores, expected[0])
    np.testing.assert_array_equal(ids, expected[1])
    with pytest.raises(TypeError, match="bruteForceKnn: 10 or 12 arguments are needed, got 3"):
        ours.bruteForceKnn(resources(), ours.METRIC_L2, swig_ptr(vectors))


def test_scripts_may_keep_resources_alive_and_tune_indexes_on_gpus(vectors: np.ndarray) -> None:
    index = ours.index_cpu_to_all_gpus(inverted_file("IVF10,Flat", vectors))
    index.referenced_objects = [resources()]
    parameters = ours.GpuParameterSpace()
    parameters.initialize(index)
    parameters.set_index_parameter(index, "nprobe", 7)
    assert index.nprobe == 7


def test_what_is_no_resource_index_or_pointer_is_refused(vectors: np.ndarray) -> None:
    with pytest.raises(TypeError, match="index_cpu_to_gpu: resources are needed first, got NoneType"):
        ours.index_cpu_to_gpu(None, 0, ours.IndexFlatL2(D))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="GpuIndexFlatL2: resources are needed first, got int"):
        ours.GpuIndexFlatL2(D, D)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="an index is needed, got ndarray"):
        ours.index_cpu_to_all_gpus(vectors)
    with pytest.raises(RuntimeError, match="every device needs resources, got 1 for 2 devices"):
        ours.index_cpu_to_gpu_multiple([resources()], [0, 1], ours.IndexFlatL2(D))
    with pytest.raises(TypeError, match=r"bfKnn: pointers are needed, .* got NoneType"):
        args = ours.GpuDistanceParams()
        args.numVectors = args.numQueries = args.k = 1
        ours.bfKnn(resources(), args)
    with pytest.raises(AssertionError, match=r"knn_gpu: vectors must be \[n, 12\], got \[300, 11\]"):
        ours.knn_gpu(resources(), vectors, vectors[:, 1:], 3)


def test_one_warning_per_process_tells_that_the_cpu_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_devices, "_told", [])
    with pytest.warns(UserWarning, match="GpuIndexFlatL2 and every other GPU name run on the CPU") as seen:
        ours.GpuIndexFlatL2(resources(), D)
    assert seen[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours.index_cpu_to_all_gpus(ours.IndexFlatL2(D))


def test_the_warning_can_be_silenced_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_devices, "_told", [])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=re.escape("fastret.faiss"))  # what PYTHONWARNINGS makes of it
        ours.index_cpu_to_all_gpus(ours.IndexFlatL2(D))


def test_functions_about_gpus_are_there_without_one() -> None:
    assert ours.get_num_gpus() == torch.cuda.device_count()
    ours.gpu_sync_all_devices()
    ours.gpu_profiler_start()
    ours.gpu_profiler_stop()


def test_options_take_fields_of_other_releases() -> None:
    for options in (ours.GpuMultipleClonerOptions(), ours.GpuIndexFlatConfig(), ours.StandardGpuResources()):
        options.a_field_of_another_release = True
        assert options.a_field_of_another_release
