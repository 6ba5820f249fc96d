"""fastret.faiss beside faiss-cpu: the same calls, the same answers and the same kinds of errors."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import fastret.faiss as ours

theirs = pytest.importorskip("faiss")

FLT_MAX = np.finfo(np.float32).max
MAKERS = ["IndexFlatIP", "IndexFlatL2"]


def pair_of_indexes(name: str, vectors: np.ndarray) -> tuple[Any, Any]:
    indexes = [getattr(module, name)(vectors.shape[1]) for module in (ours, theirs)]
    for index in indexes:
        index.add(vectors)
    return indexes[0], indexes[1]


def assert_same_neighbours(answer: tuple[Any, Any], reference: tuple[Any, Any], dim: int) -> None:
    """Equal ids and padding; scores within float32 rounding of a sum of `dim` terms."""
    (scores, ids), (reference_scores, reference_ids) = answer, reference
    assert scores.dtype == np.float32
    assert ids.dtype == np.int64
    assert scores.shape == ids.shape == reference_ids.shape
    np.testing.assert_array_equal(ids, reference_ids)
    # faiss sums in float32, in L2 also by |q|^2 + |x|^2 - 2 q.x: about dim roundings of terms around dim.
    bound = 4 * dim * np.finfo(np.float32).eps * dim
    np.testing.assert_allclose(scores, reference_scores, rtol=1e-5, atol=bound)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize(("n", "q", "k"), [(500, 40, 10), (500, 1, 1), (5, 3, 9), (0, 2, 3), (30, 0, 2)])
def test_search_gives_the_same_neighbours_and_padding(
    name: str, n: int, q: int, k: int, generator: np.random.Generator
) -> None:
    index, reference = pair_of_indexes(name, generator.standard_normal((n, 16), dtype=np.float32))
    queries = generator.standard_normal((q, 16), dtype=np.float32)
    assert_same_neighbours(index.search(queries, k), reference.search(queries, k), 16)
    np.testing.assert_array_equal(index.assign(queries, k), reference.assign(queries, k))


@settings(deadline=None, max_examples=40)
@given(
    name=st.sampled_from(MAKERS),
    n=st.integers(0, 60),
    q=st.integers(0, 6),
    dim=st.integers(1, 33),
    k=st.integers(1, 70),
    seed=st.integers(0, 2**16),
)
def test_any_shape_gives_the_same_neighbours(name: str, n: int, q: int, dim: int, k: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    # Small integers: faiss is exact on them, so that every difference would be a mistake; ties are then apart.
    index, reference = pair_of_indexes(name, generator.integers(-9, 10, (n, dim)).astype(np.float32))
    queries = generator.integers(-9, 10, (q, dim)).astype(np.float32)
    scores, ids = index.search(queries, k)
    reference_scores, reference_ids = reference.search(queries, k)
    np.testing.assert_array_equal(scores, reference_scores)
    for row in range(q):
        # Which of several keys tied at the k-th score are returned is each library's own rule.
        certain = scores[row] != scores[row, -1] if k <= n else np.ones(k, dtype=bool)
        assert set(ids[row, certain]) == set(reference_ids[row, certain])


@pytest.mark.parametrize("name", MAKERS)
def test_equal_scores_come_with_the_smaller_id_first(name: str) -> None:
    index = getattr(ours, name)(4)
    index.add(np.ones((50, 4), dtype=np.float32))
    _, ids = index.search(np.ones((1, 4), dtype=np.float32), 20)
    np.testing.assert_array_equal(ids[0], np.arange(20))


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int8, np.uint8, np.int64, np.bool_])
def test_numpy_of_any_real_dtype_is_cast_to_float32(name: str, dtype: type, generator: np.random.Generator) -> None:
    index, reference = pair_of_indexes(name, (generator.standard_normal((90, 12)) * 3).astype(dtype))
    queries = (generator.standard_normal((7, 12)) * 3).astype(dtype)
    scores, _ = index.search(queries, 4)
    reference_scores, _ = reference.search(queries, 4)
    np.testing.assert_allclose(scores, reference_scores, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("name", MAKERS)
def test_layouts_that_are_not_contiguous_give_the_same(name: str, generator: np.random.Generator) -> None:
    wide = generator.standard_normal((60, 24), dtype=np.float32)
    index, reference = pair_of_indexes(name, wide[::-2, ::3])
    queries = np.asfortranarray(wide[:5, :8])
    queries.flags.writeable = False
    assert_same_neighbours(index.search(queries, 6), reference.search(queries, 6), 8)


@pytest.mark.parametrize("name", MAKERS)
def test_nan_and_infinitely_bad_keys_are_no_neighbours(name: str, generator: np.random.Generator) -> None:
    keys = generator.standard_normal((6, 4), dtype=np.float32)
    keys[1, 2] = np.nan
    keys[4] = -np.inf
    index, reference = pair_of_indexes(name, keys)
    queries = np.abs(generator.standard_normal((3, 4), dtype=np.float32))
    queries[2, 0] = np.nan
    scores, ids = index.search(queries, 6)
    assert_same_neighbours((scores, ids), reference.search(queries, 6), 4)
    np.testing.assert_array_equal(ids[:2, -2:], -1)
    np.testing.assert_array_equal(scores[:2, -2:], FLT_MAX if name == "IndexFlatL2" else -FLT_MAX)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("n", [0, 80])
@pytest.mark.parametrize("q", [0, 9])
def test_range_search_gives_the_same_sets(name: str, n: int, q: int, generator: np.random.Generator) -> None:
    index, reference = pair_of_indexes(name, generator.standard_normal((n, 8), dtype=np.float32))
    queries = generator.standard_normal((q, 8), dtype=np.float32)
    lims, scores, ids = index.range_search(queries, 6.5)
    reference_lims, reference_scores, reference_ids = reference.range_search(queries, 6.5)
    assert (lims.dtype, scores.dtype, ids.dtype) == (np.uint64, np.float32, np.int64)
    np.testing.assert_array_equal(lims, reference_lims)
    for row in range(q):
        part = slice(int(lims[row]), int(lims[row + 1]))
        order = np.argsort(reference_ids[part])
        np.testing.assert_array_equal(ids[part], reference_ids[part][order])
        np.testing.assert_allclose(scores[part], reference_scores[part][order], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", MAKERS)
def test_range_search_is_strict(name: str) -> None:
    index, reference = pair_of_indexes(name, np.array([[1.0], [2.0], [3.0]], dtype=np.float32))
    threshold = 2.0 if name == "IndexFlatIP" else 1.0
    queries = np.ones((1, 1), dtype=np.float32)
    np.testing.assert_array_equal(
        index.range_search(queries, threshold)[2], reference.range_search(queries, threshold)[2]
    )


@pytest.mark.parametrize("name", MAKERS)
def test_an_index_that_many_searches_packed_gives_the_same(name: str, generator: np.random.Generator) -> None:
    index, reference = pair_of_indexes(name, generator.standard_normal((700, 48), dtype=np.float32))
    queries = generator.standard_normal((100, 48), dtype=np.float32)
    for more in (0, 1, 40):
        added = generator.standard_normal((more, 48), dtype=np.float32)
        index.add(added)
        reference.add(added)
        assert_same_neighbours(index.search(queries, 10), reference.search(queries, 10), 48)
        assert index._stored.memory()["packed keys"] > 0
        threshold = 15.0 if name == "IndexFlatIP" else 60.0
        lims, _, ids = index.range_search(queries, threshold)
        reference_lims, _, reference_ids = reference.range_search(queries, threshold)
        np.testing.assert_array_equal(lims, reference_lims)
        for row in range(100):
            part = slice(int(lims[row]), int(lims[row + 1]))
            assert set(ids[part]) == set(reference_ids[part])


def test_arrays_to_fill_are_filled_and_returned(generator: np.random.Generator) -> None:
    index, _ = pair_of_indexes("IndexFlatL2", generator.standard_normal((9, 4), dtype=np.float32))
    queries = generator.standard_normal((2, 4), dtype=np.float32)
    scores, ids = np.empty((2, 3), dtype=np.float32), np.empty((2, 3), dtype=np.int64)
    answer = index.search(queries, k=3, params=None, D=scores, I=ids)
    assert answer[0] is scores
    assert answer[1] is ids
    np.testing.assert_array_equal(ids, index.search(x=queries, k=3)[1])
    row = np.empty(4, dtype=np.float32)
    assert index.reconstruct(3, row) is row
    rows = np.empty((2, 4), dtype=np.float32)
    assert index.reconstruct_n(2, 2, rows) is rows
    np.testing.assert_array_equal(rows[1], row)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_torch_in_torch_out(dtype: torch.dtype) -> None:
    keys = torch.randn(40, 8, generator=torch.Generator().manual_seed(0)).to(dtype)
    index = ours.IndexFlatIP(8)
    index.add(keys)
    scores, ids = index.search(keys[:5], 3)
    lims, range_scores, range_ids = index.range_search(keys[:5], 2.0)
    answer = [scores, ids, lims, range_scores, range_ids]
    assert all(isinstance(tensor, torch.Tensor) for tensor in answer)
    assert [tensor.dtype for tensor in answer] == [
        torch.float32,
        torch.int64,
        torch.int64,  # of the limits, as FAISS's contrib.torch_utils has them
        torch.float32,
        torch.int64,
    ]
    numpy_scores, numpy_ids = index.search(keys[:5].float().numpy(), 3)
    np.testing.assert_array_equal(scores.numpy(), numpy_scores)
    np.testing.assert_array_equal(ids.numpy(), numpy_ids)


@pytest.mark.parametrize("name", MAKERS)
def test_attributes_are_those_that_scripts_read(name: str, generator: np.random.Generator) -> None:
    index, reference = pair_of_indexes(name, generator.standard_normal((9, 4), dtype=np.float32))
    for attribute in ("d", "ntotal", "metric_type", "metric_arg", "is_trained", "verbose", "code_size"):
        assert getattr(index, attribute) == getattr(reference, attribute), attribute
    for attribute in ("nprobe", "quantizer", "index"):
        assert not hasattr(index, attribute)
    assert isinstance(index, ours.Index)
    assert isinstance(index, ours.IndexFlat)
    index.verbose = True
    assert index.verbose
    index.reset()
    assert index.ntotal == 0
    assert repr(index) == f"{name}(d=4, metric_type={index.metric_type}, ntotal=0)"


def test_index_flat_takes_its_metric_and_is_l2_by_default() -> None:
    assert ours.IndexFlat(3).metric_type == ours.METRIC_L2 == theirs.METRIC_L2 == 1
    flat = ours.IndexFlat(3, ours.METRIC_INNER_PRODUCT)
    assert flat.metric_type == ours.METRIC_INNER_PRODUCT == theirs.METRIC_INNER_PRODUCT == 0
    assert flat.d == 3


def test_reconstruct_gives_copies(generator: np.random.Generator) -> None:
    keys = generator.standard_normal((9, 4), dtype=np.float32)
    index, reference = pair_of_indexes("IndexFlatL2", keys)
    for arguments in [(), (2,), (2, 3), (9, 0), (0, -1)]:
        np.testing.assert_array_equal(index.reconstruct_n(*arguments), reference.reconstruct_n(*arguments), strict=True)
    np.testing.assert_array_equal(index.reconstruct(8), keys[8], strict=True)
    index.reconstruct(0)[:] = 0
    index.reconstruct_n()[:] = 0
    np.testing.assert_array_equal(index.reconstruct(0), keys[0])


@pytest.mark.parametrize("name", MAKERS)
def test_remove_ids_moves_later_vectors_down(name: str, generator: np.random.Generator) -> None:
    index, reference = pair_of_indexes(name, generator.standard_normal((30, 4), dtype=np.float32))
    unwanted = np.array([3, 7, 7, 99])
    assert index.remove_ids(unwanted) == reference.remove_ids(unwanted) == 2
    more = generator.standard_normal((5, 4), dtype=np.float32)
    index.add(more)
    reference.add(more)
    np.testing.assert_array_equal(index.reconstruct_n(), reference.reconstruct_n())
    assert_same_neighbours(index.search(more, 33), reference.search(more, 33), 4)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda index: pickle.loads(pickle.dumps(index))])
def test_copies_and_pickles_answer_the_same(duplicate: Callable[[Any], Any], generator: np.random.Generator) -> None:
    index, _ = pair_of_indexes("IndexFlatIP", generator.standard_normal((9, 4), dtype=np.float32))
    other = duplicate(index)
    np.testing.assert_array_equal(other.reconstruct_n(), index.reconstruct_n())
    other.add(np.ones((1, 4), dtype=np.float32))
    assert (index.ntotal, other.ntotal) == (9, 10)


ROWS = np.ones((2, 4), dtype=np.float32)
BAD_CALLS: dict[str, tuple[Callable[[ModuleType, Any], object], str]] = {
    "1-D queries": (lambda m, i: i.search(ROWS[0], 1), r"IndexFlatIP.search: vectors must be \[n, d\], got \[4\]"),
    "3-D queries": (lambda m, i: i.search(ROWS[None], 1), r".*vectors must be \[n, d\], got \[1, 2, 4\]"),
    "d of search": (
        lambda m, i: i.search(ROWS[:, :3], 1),
        r"IndexFlatIP.search: vectors must be \[n, 4\], got \[2, 3\]",
    ),
    "d of add": (lambda m, i: i.add(ROWS[:, :3]), r"IndexFlatIP.add: vectors must be \[n, 4\], got \[2, 3\]"),
    "d of train": (lambda m, i: i.train(ROWS[:, :3]), r"IndexFlatIP.train: vectors must be .*"),
    "d of range": (lambda m, i: i.range_search(ROWS[:, :3], 1.0), r"IndexFlatIP.range_search: vectors .*"),
    "k = 0": (lambda m, i: i.search(ROWS, 0), "IndexFlatIP.search: k must be positive, got 0"),
    "k < 0": (lambda m, i: i.search(ROWS, -1), "IndexFlatIP.search: k must be positive, got -1"),
    "k of float": (lambda m, i: i.search(ROWS, 1.5), ".*float.*"),
    "D of wrong shape": (
        lambda m, i: i.search(ROWS, 1, D=np.empty((1, 1), dtype=np.float32)),
        r"IndexFlatIP.search: the array to fill must be \[2, 1\], got \[1, 1\]",
    ),
    "D of wrong dtype": (
        lambda m, i: i.search(ROWS, 1, D=np.empty((2, 1))),
        "IndexFlatIP.search: the array to fill must be float32, got float64",
    ),
    "reconstruct beyond": (
        lambda m, i: i.reconstruct(3),
        "IndexFlatIP.reconstruct: vectors 3 to 3 were asked for, the index holds 2",
    ),
    "reconstruct_n beyond": (
        lambda m, i: i.reconstruct_n(1, 2),
        "IndexFlatIP.reconstruct_n: 2 vectors from 1 on were asked for, the index holds 2",
    ),
    "reconstruct_n before": (lambda m, i: i.reconstruct_n(-1, 2), ".*2 vectors from -1 on were asked for.*"),
    "reconstruct_n of less than none": (
        lambda m, i: i.reconstruct_n(5),
        "IndexFlatIP.reconstruct_n: ni must not be negative, got -3",
    ),
    "own ids": (
        lambda m, i: i.add_with_ids(ROWS, np.arange(2)),
        "IndexFlatIP.add_with_ids: it numbers its own vectors; put it into IndexIDMap",
    ),
    "2-D ids": (lambda m, i: i.remove_ids(np.ones((1, 1), dtype=np.int64)), ".*must be 1-D.*"),
    "attribute": (lambda m, i: setattr(i, "nprobe", 3), "'IndexFlatIP' object has no attribute 'nprobe'"),
    "d of float": (lambda m, i: m.IndexFlatIP(4.0), ".*float.*"),
}


@pytest.mark.parametrize("case", BAD_CALLS)
def test_errors_are_of_the_type_that_faiss_raises(case: str) -> None:
    call, sentence = BAD_CALLS[case]
    index, reference = pair_of_indexes("IndexFlatIP", ROWS)
    with pytest.raises(Exception) as expected:
        call(theirs, reference)
    with pytest.raises(expected.type, match=f"^{sentence}$"):
        call(ours, index)
    assert index.ntotal == 2


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (
            lambda: ours.IndexFlatL2(4).add(np.ones((2, 4), dtype=np.complex64)),
            TypeError,
            "IndexFlatL2.add: vectors must be real numbers, got complex64",
        ),
        (
            lambda: ours.IndexFlatL2(4).add(torch.ones(2, 4, dtype=torch.complex64)),
            TypeError,
            "IndexFlatL2.add: vectors must be real numbers, got torch.complex64",
        ),
        (
            lambda: ours.IndexFlatL2(4).add(np.full((2, 4), "1")),
            TypeError,
            "IndexFlatL2.add: vectors must be real numbers, got <U1",
        ),
        (
            lambda: ours.IndexFlatL2(4).search(ROWS, 1, params=object()),
            TypeError,
            "IndexFlatL2.search: params must be SearchParameters, got object",
        ),
        (lambda: ours.IndexFlatL2(-1), RuntimeError, "IndexFlatL2: d must not be negative, got -1"),
    ],
)
def test_stricter_than_faiss_in_one_sentence(call: Callable[[], object], error: type, sentence: str) -> None:
    with pytest.raises(error, match=f"^{sentence}$"):
        call()
