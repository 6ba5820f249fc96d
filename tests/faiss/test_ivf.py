"""Inverted files beside faiss-cpu: training, searches, ids, direct maps and files."""

from __future__ import annotations

import contextlib
import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

import fastret.faiss as ours

theirs = pytest.importorskip("faiss")

D, NLIST = 20, 12
METRICS = {"ip": theirs.METRIC_INNER_PRODUCT, "l2": theirs.METRIC_L2}
TYPES = ["QT_8bit", "QT_8bit_uniform", "QT_6bit", "QT_4bit", "QT_4bit_uniform", "QT_fp16", "QT_bf16"]
DIRECT = ["QT_8bit_direct", "QT_8bit_direct_signed"]

Pair = tuple[Any, Any]
Make = Callable[[Any], Any]


class Data(NamedTuple):
    vectors: np.ndarray
    queries: np.ndarray


@pytest.fixture(scope="module")
def data() -> Data:
    generator = np.random.default_rng(5)
    return Data(*(generator.standard_normal((n, D), dtype=np.float32) for n in (700, 23)))


def flat(metric: int = theirs.METRIC_L2) -> Make:
    return lambda module: module.IndexIVFFlat(module.IndexFlat(D, metric), D, NLIST, metric)


def scalar(name: str, metric: int = theirs.METRIC_L2, *, by_residual: bool = True) -> Make:
    return lambda module: module.IndexIVFScalarQuantizer(
        module.IndexFlat(D, metric), D, NLIST, getattr(module.ScalarQuantizer, name), metric, by_residual
    )


def pair(make: Make, data: Data, nprobe: int = 4) -> Pair:
    indexes = [make(module) for module in (ours, theirs)]
    for index in indexes:
        index.cp.min_points_per_centroid = 1
        index.train(data.vectors)
        index.add(data.vectors)
        index.nprobe = nprobe
    return indexes[0], indexes[1]


def close(a: np.ndarray, b: np.ndarray) -> bool:
    # Both sum D float32 terms of this size; decoding differs in the last bit.
    return bool(np.allclose(a, b, rtol=1e-5, atol=1e-4))


def check_same(index: Any, reference: Any, data: Data, k: int = 9, **options: Any) -> None:
    """The same neighbours but for near ties, and the same distances."""
    params = (
        [module.SearchParametersIVF(**given(module)) for module, given in _given(options)] if options else [None] * 2
    )
    (D1, I1), (D2, I2) = (
        one.search(data.queries, k, params=parameters)
        for one, parameters in zip((index, reference), params, strict=True)
    )
    assert close(D1, D2)
    swapped = I1 != I2
    assert swapped.mean() < 0.02
    assert (np.sort(I1, 1) == np.sort(I2, 1)).mean() > 0.98


def _given(options: dict[str, Any]) -> list[tuple[Any, Callable[[Any], dict[str, Any]]]]:
    def given(module: Any) -> dict[str, Any]:
        return {name: value(module) if callable(value) else value for name, value in options.items()}

    return [(module, given) for module in (ours, theirs)]


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_centroids_lists_and_neighbours_are_those_of_faiss(metric: int, data: Data) -> None:
    index, reference = pair(flat(metric), data)
    assert index.is_trained and index.ntotal == reference.ntotal == len(data.vectors)
    assert (index.cp.niter, index.cp.spherical) == (reference.cp.niter, reference.cp.spherical)
    assert close(index.quantizer.reconstruct_n(0, NLIST), reference.quantizer.reconstruct_n(0, NLIST))
    for number in range(NLIST):
        size = index.invlists.list_size(number)
        assert size == reference.invlists.list_size(number) == index.get_list_size(number)
        ids, codes = (
            [
                module.rev_swig_ptr(getattr(one.invlists, name)(number), size * width)
                for module, one in ((ours, index), (theirs, reference))
            ]
            for name, width in (("get_ids", 1), ("get_codes", index.code_size))
        )
        assert np.array_equal(*ids) and np.array_equal(*codes)
    for nprobe in (1, 5, NLIST, 1000):
        index.nprobe = reference.nprobe = nprobe
        check_same(index, reference, data)


def test_all_lists_give_the_answers_of_exact_search(data: Data) -> None:
    index, _ = pair(flat(), data, nprobe=NLIST)
    exact = ours.IndexFlatL2(D)
    exact.add(data.vectors)
    for got, want in zip(index.search(data.queries, 30), exact.search(data.queries, 30), strict=True):
        assert np.array_equal(got, want)


@pytest.mark.parametrize("by_residual", [True, False])
@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
@pytest.mark.parametrize("name", TYPES)
def test_scalar_quantized(name: str, metric: int, by_residual: bool, data: Data) -> None:
    index, reference = pair(scalar(name, metric, by_residual=by_residual), data)
    assert (index.code_size, index.sa_code_size()) == (reference.code_size, reference.sa_code_size())
    check_same(index, reference, data)
    assert close(index.reconstruct_n(0, 50), reference.reconstruct_n(0, 50))


@pytest.mark.parametrize("name", DIRECT)
def test_integers_as_they_are(name: str, data: Data) -> None:
    low, high = (0, 255) if name == "QT_8bit_direct" else (-128, 127)
    whole = Data(*(np.clip((part * 40).round() + (low + high) // 2, low, high).astype(np.float32) for part in data))
    check_same(*pair(scalar(name, by_residual=False), whole), whole)


@pytest.mark.parametrize("metric", [theirs.METRIC_L1, theirs.METRIC_Linf, theirs.METRIC_Canberra])
def test_other_metrics(metric: int, data: Data) -> None:
    index, reference = pair(flat(metric), data)
    check_same(index, reference, data)
    radius = float(reference.search(data.queries, 9)[0][:, 4].mean())
    check_ranges(index, reference, data, radius)


def check_ranges(index: Any, reference: Any, data: Data, radius: float) -> None:
    (lims, D1, I1), (want, D2, I2) = (one.range_search(data.queries, radius) for one in (index, reference))
    assert lims.dtype == want.dtype and np.array_equal(lims, want)
    for q in range(len(data.queries)):
        mine = slice(int(lims[q]), int(lims[q + 1]))
        order, other = np.argsort(I1[mine]), np.argsort(I2[mine])
        assert np.array_equal(I1[mine][order], I2[mine][other]) and close(D1[mine][order], D2[mine][other])


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_range_search(metric: int, data: Data) -> None:
    for make in (flat(metric), scalar("QT_8bit", metric)):
        index, reference = pair(make, data)
        check_ranges(index, reference, data, float(reference.search(data.queries, 20)[0].mean()))
        nothing = -1.0 if metric == theirs.METRIC_L2 else 1e9
        check_ranges(index, reference, data, nothing)


def test_search_parameters(data: Data) -> None:
    index, reference = pair(flat(), data)
    index.nprobe = reference.nprobe = 1
    for max_codes in (0, 1, 60, 150):
        check_same(index, reference, data, nprobe=6, max_codes=max_codes)
    chosen = np.arange(0, 700, 3)
    check_same(index, reference, data, nprobe=6, sel=lambda module: module.IDSelectorBatch(chosen))
    check_same(index, reference, data, nprobe=2, k=60, sel=lambda module: module.IDSelectorRange(100, 300))
    index.max_codes = reference.max_codes = 70
    index.nprobe = reference.nprobe = 5
    check_same(index, reference, data)
    with pytest.raises(RuntimeError, match="params must be SearchParametersIVF, got SearchParameters"):
        index.search(data.queries, 3, params=ours.SearchParameters())


def test_ids_of_ones_own_and_removal(data: Data) -> None:
    index, reference = pair(flat(), data)
    ids = np.arange(700)[::-1] * 10**10 + 7
    for one, module in ((index, ours), (reference, theirs)):
        one.reset()
        one.add_with_ids(data.vectors, ids)
        assert one.remove_ids(np.array([ids[3], ids[699], 123])) == 2
        assert one.remove_ids(module.IDSelectorRange(0, 200 * 10**10)) == 199
        assert one.ntotal == 499
        one.add_with_ids(data.vectors[:5], np.arange(5))
    check_same(index, reference, data)
    for number in range(NLIST):
        held = [
            module.rev_swig_ptr(one.invlists.get_ids(number), one.invlists.list_size(number))
            for one, module in ((index, ours), (reference, theirs))
        ]
        assert np.array_equal(*held)


def test_direct_maps(data: Data) -> None:
    index, reference = pair(flat(), data)
    with pytest.raises(RuntimeError, match="there is no direct map"):
        index.reconstruct(3)
    for one in (index, reference):
        one.make_direct_map()
        assert np.array_equal(one.reconstruct(3), data.vectors[3])
        assert np.array_equal(one.reconstruct_batch(np.array([5, 1])), data.vectors[[5, 1]])
        assert np.array_equal(one.reconstruct_n(10, 5), data.vectors[10:15])
        one.update_vectors(np.array([4, 9, 4]), data.queries[:3])
        assert np.array_equal(one.reconstruct(4), data.queries[2])
        for refused in (lambda one=one: one.remove_ids(np.array([1])), lambda one=one: one.reconstruct(700)):
            with pytest.raises(RuntimeError):
                refused()
        with pytest.raises(RuntimeError):
            one.add_with_ids(data.vectors, np.arange(700))
        one.add(data.queries)
        assert np.array_equal(one.reconstruct(702), data.queries[2])
    assert np.array_equal(index.direct_map._array.numpy(), theirs.vector_to_array(reference.direct_map.array))
    check_same(index, reference, data)
    for one, module in ((index, ours), (reference, theirs)):
        one.set_direct_map_type(module.DirectMap.Hashtable)
        assert one.remove_ids(module.IDSelectorArray(np.array([4, 9, 11]))) == 3
        one.update_vectors(np.array([20, 21]), data.queries[:2])
        assert np.array_equal(one.reconstruct(21), data.queries[1])
        with pytest.raises(RuntimeError):
            one.reconstruct(4)
        with pytest.raises(RuntimeError):
            one.remove_ids(module.IDSelectorRange(0, 5))
    check_same(index, reference, data)


def test_what_was_found_is_given_back(data: Data) -> None:
    for make in (flat(), scalar("QT_8bit")):
        index, reference = pair(make, data, nprobe=1)
        for k in (3, 400):
            got, want = (one.search_and_reconstruct(data.queries, k) for one in (index, reference))
            assert close(got[0], want[0]) and np.array_equal(got[1] < 0, want[1] < 0)
            assert np.array_equal(np.isnan(got[2]), np.isnan(want[2]))
            same = got[1] == want[1]
            assert close(np.nan_to_num(got[2][same]), np.nan_to_num(want[2][same]))
            for listnos in (False, True):
                got, want = (
                    one.search_and_return_codes(data.queries, k, include_listnos=listnos) for one in (index, reference)
                )
                same = got[1] == want[1]
                assert got[2].shape == want[2].shape and np.array_equal(got[2][same], want[2][same])


def test_lists_chosen_beforehand(data: Data) -> None:
    index, reference = pair(flat(), data, nprobe=2)
    lists = np.tile(np.array([[3, -1]]), (len(data.queries), 1))
    for got, want in zip(
        *(one.search_preassigned(data.queries, 5, lists, None) for one in (index, reference)), strict=True
    ):
        assert close(got, want)
    got, want = (one.range_search_preassigned(data.queries, 20.0, lists, None) for one in (index, reference))
    assert np.array_equal(got[0], want[0])
    with pytest.raises(AssertionError, match=r"Iq and Dq must be \[23, 2\]"):
        index.search_preassigned(data.queries, 5, lists[:, :1], None)
    with pytest.raises(RuntimeError, match="lists must be below 12, got 12"):
        index.search_preassigned(data.queries, 5, lists + 9, None)


def test_merging_and_copying(data: Data) -> None:
    trained = pair(flat(), data)
    for (one, module), add_id in zip(((trained[0], ours), (trained[1], theirs)), (1000, 1000), strict=True):
        other = module.clone_index(one)
        one.merge_from(other, add_id)
        assert (one.ntotal, other.ntotal) == (1400, 0)
        empty = module.clone_index(one)
        empty.reset()
        for kind, a1, a2 in ((0, 100, 300), (1, 7, 3), (2, 20, 333), (3, 5, 2), (4, 2, 5)):
            one.copy_subset_to(empty, kind, a1, a2)
        assert empty.invlists.compute_ntotal() == empty.ntotal
        assert one.invlists.imbalance_factor() == pytest.approx(trained[0].invlists.imbalance_factor())
        if module is ours:
            copied = [empty.invlists.list_size(i) for i in range(NLIST)]
        else:
            assert copied == [empty.invlists.list_size(i) for i in range(NLIST)]
    check_same(*trained, data)
    with pytest.raises(RuntimeError, match="an index of the same type is needed, got IndexFlatL2"):
        trained[0].merge_from(ours.IndexFlatL2(D))


def test_codes_without_lists(data: Data) -> None:
    for make in (flat(), scalar("QT_6bit")):
        index, reference = pair(make, data)
        codes = index.sa_encode(data.queries)
        assert np.array_equal(codes, reference.sa_encode(data.queries))
        assert close(index.sa_decode(codes), reference.sa_decode(codes))
        index.add_sa_codes(codes, np.arange(23) + 5000)
        assert index.ntotal == 723 and index.search(data.queries, 1)[1].min() >= 5000


def test_statistics_count_lists_and_vectors(data: Data) -> None:
    index, reference = pair(flat(), data, nprobe=3)
    for one, module in ((index, ours), (reference, theirs)):
        module.cvar.indexIVF_stats.reset()
        one.search(data.queries, 4)
    mine, wanted = ours.cvar.indexIVF_stats, theirs.cvar.indexIVF_stats
    assert (mine.nq, mine.nlist, mine.ndis) == (wanted.nq, wanted.nlist, wanted.ndis)
    assert mine.search_time >= mine.quantization_time > 0


@pytest.mark.parametrize("alone", [0, 1, 2])
def test_ways_to_train_the_quantizer(alone: int, data: Data) -> None:
    def make(module: Any) -> Any:
        coarse = module.IndexFlatL2(D)
        if alone == 1:
            coarse.add(data.vectors[:NLIST])
        index = module.IndexIVFFlat(coarse, D, NLIST)
        index.quantizer_trains_alone = alone
        return index

    check_same(*pair(make, data), data)


def test_another_index_finds_the_clusters(data: Data) -> None:
    def make(module: Any) -> Any:
        index = module.IndexIVFFlat(module.IndexFlatL2(D), D, NLIST)
        index.clustering_index = module.IndexFlatL2(D)
        return index

    check_same(*pair(make, data), data)


@pytest.mark.parametrize("values", [np.nan, np.inf])
def test_vectors_that_no_list_takes(values: float, data: Data) -> None:
    index, reference = pair(flat(), data)
    odd = data.queries.copy()
    odd[::3] = values
    for one in (index, reference):
        one.add(odd)
    assert index.ntotal == reference.ntotal
    D1, I1 = index.search(odd, 5)
    _, I2 = reference.search(odd, 5)
    assert not np.isnan(D1).any()
    assert np.array_equal(I1[1::3], I2[1::3])


@pytest.mark.parametrize(
    ("act", "kind", "sentence"),
    [
        (lambda index, x: index.search(x[:, 1:], 3), AssertionError, "vectors must be [n, 20]"),
        (lambda index, x: index.search(x, 0), AssertionError, "k must be positive, got 0"),
        (lambda index, x: setattr(index, "nprobes", 3), AttributeError, "no attribute 'nprobes'"),
        (lambda index, x: setattr(index, "nprobe", 1.5), TypeError, "cannot be interpreted as an integer"),
        (lambda index, x: (setattr(index, "nprobe", 0), index.search(x, 3)), RuntimeError, "nprobe must be positive"),
        (lambda index, x: index.get_list_size(99), RuntimeError, "there is no list 99 among 12"),
        (lambda index, x: index.update_vectors(np.array([1]), x[:1]), RuntimeError, "a direct map is needed"),
        (lambda index, x: index.replace_invlists(ours.ArrayInvertedLists(3, 4)), RuntimeError, "lists of nlist 12"),
    ],
)
def test_mistakes_are_told(act: Callable[[Any, np.ndarray], Any], kind: Any, sentence: str, data: Data) -> None:
    index, _ = pair(flat(), data)
    with pytest.raises(kind) as error:
        act(index, data.queries)
    assert sentence in str(error.value)


def test_untrained(data: Data) -> None:
    index = flat()(ours)
    for act in (index.add, lambda x: index.search(x, 3)):
        with pytest.raises(RuntimeError, match="is not trained"):
            act(data.queries)
    with pytest.raises(RuntimeError, match="the quantizer must be of d = 5, got 20"):
        ours.IndexIVFFlat(ours.IndexFlatL2(D), 5, 3)


def index_of_kind(kind: str, data: Data) -> Pair:
    if kind == "few lists":
        index, reference = pair(flat(), data)
        for one in (index, reference):
            one.reset()
            one.add(data.vectors[:3])
        return index, reference
    index, reference = pair(scalar(kind) if kind in TYPES else flat(METRICS.get(kind, 1)), data)
    for one, module in ((index, ours), (reference, theirs)):
        if kind == "array":
            one.make_direct_map()
        if kind == "hashtable":
            one.set_direct_map_type(module.DirectMap.Hashtable)
    return index, reference


@pytest.mark.parametrize(
    "kind", ["l2", "ip", "few lists", "array", "hashtable", "QT_8bit", "QT_4bit_uniform", "QT_fp16"]
)
def test_files_both_ways(kind: str, data: Data, tmp_path: Path) -> None:
    index, reference = index_of_kind(kind, data)
    ours.write_index(index, str(tmp_path / "ours"))
    theirs.write_index(reference, str(tmp_path / "theirs"))
    if kind not in ("hashtable",):  # whose order is that of a hash function
        assert (tmp_path / "ours").stat().st_size == (tmp_path / "theirs").stat().st_size
    for flags in (0, ours.IO_FLAG_MMAP):
        read = ours.read_index(str(tmp_path / "theirs"), flags)
        assert type(read) is type(index) and read.nprobe == 4 and read.is_trained
        check_same(read, reference, data)
        if kind == "array":
            assert np.array_equal(read.reconstruct(3), data.vectors[3])
    check_same(index, theirs.read_index(str(tmp_path / "ours")), data)


def test_files_are_the_same_bytes(data: Data, tmp_path: Path) -> None:
    index, reference = pair(flat(), data)
    index.quantizer.reset()
    index.quantizer.add(reference.quantizer.reconstruct_n(0, NLIST))
    assert np.array_equal(ours.serialize_index(index), theirs.serialize_index(reference))


def test_copies(data: Data) -> None:
    index, reference = pair(scalar("QT_8bit"), data)
    for clone in (copy.deepcopy(index), pickle.loads(pickle.dumps(index)), ours.clone_index(index)):
        clone.add(data.queries)
        assert index.ntotal == 700 and clone.ntotal == 723
    check_same(index, reference, data)


@pytest.mark.parametrize("at", [9, 60, 150, 1200, -700, -3])
def test_truncated_and_altered_files(at: int, data: Data, tmp_path: Path) -> None:
    index, _ = pair(flat(), data)
    whole = ours.serialize_index(index)
    with pytest.raises(RuntimeError, match="read_index"):
        ours.deserialize_index(whole[:at])
    rng = np.random.default_rng(at % 97)
    for _ in range(20):
        altered = whole.copy()
        altered[rng.integers(0, 1200)] = rng.integers(256)
        with contextlib.suppress(RuntimeError, ValueError):
            ours.deserialize_index(altered)


def test_torch_and_halves_go_in(data: Data) -> None:
    index, _ = pair(flat(), data)
    _, ids = index.search(torch.from_numpy(data.queries), 4)
    assert isinstance(ids, torch.Tensor) and np.array_equal(ids.numpy(), index.search(data.queries, 4)[1])
    assert index.search(data.queries.astype(np.float16), 4)[1].shape == (23, 4)
