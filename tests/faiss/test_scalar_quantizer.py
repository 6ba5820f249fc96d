"""Scalar quantizers and their index beside faiss-cpu: the same codes bit for bit, neighbours and files."""

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

TYPES = [
    "QT_8bit",
    "QT_4bit",
    "QT_8bit_uniform",
    "QT_4bit_uniform",
    "QT_fp16",
    "QT_8bit_direct",
    "QT_6bit",
    "QT_bf16",
    "QT_8bit_direct_signed",
]


def pair_of_quantizers(d: int, name: str, vectors: np.ndarray) -> tuple[Any, Any]:
    quantizers = [module.ScalarQuantizer(d, getattr(module.ScalarQuantizer, name)) for module in (ours, theirs)]
    for quantizer in quantizers:
        quantizer.train(vectors)
    return quantizers[0], quantizers[1]


def hard_values(generator: np.random.Generator) -> np.ndarray:
    """Every kind of float32, ties between neighbours in float16 and bfloat16, subnormals and levels' edges: [n]."""
    special = np.array(
        [np.nan, np.inf, -np.inf, 1e9, -1e9, 300.7, -3.5, 255.9, 256, -129, 127, 128, 1e-9, -0.0, 65519.9, 65520]
    )
    bits = generator.integers(0, 2**32, 4000, dtype=np.uint64).astype(np.uint32)
    half_way = [
        (bits & np.uint32(mask) | np.uint32(bit)).view(np.float32)
        for mask, bit in ((0xFFFFE000, 0x1000), (0xFFFF0000, 0x8000))
    ]
    small = np.ldexp(generator.standard_normal(2000), generator.integers(-30, -10, 2000))
    within = generator.standard_normal(4000) * 4
    return np.concatenate(
        [part.astype(np.float32) for part in (special, small, within)] + [bits.view(np.float32), *half_way]
    )


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("d", [1, 2, 3, 5, 8, 33])
def test_codes_are_those_of_faiss(name: str, d: int, generator: np.random.Generator) -> None:
    vectors = generator.standard_normal((80, d), dtype=np.float32) * 3 + 1
    quantizer, reference = pair_of_quantizers(d, name, vectors)
    assert (quantizer.bits, quantizer.code_size) == (reference.bits, reference.code_size)
    values = hard_values(generator)
    rows = values[: len(values) // d * d].reshape(-1, d)
    codes = quantizer.compute_codes(rows)
    np.testing.assert_array_equal(codes, reference.compute_codes(rows), strict=True)
    # FAISS fuses or separates the last product and sum, by d: one rounding of it, relative to the range.
    rounding = 2e-7 * (np.abs(vectors).max() * 2)
    np.testing.assert_allclose(quantizer.decode(codes), reference.decode(codes), rtol=2e-7, atol=rounding, strict=True)


@pytest.mark.parametrize("name", ["QT_8bit", "QT_6bit", "QT_4bit", "QT_8bit_uniform", "QT_4bit_uniform"])
@pytest.mark.parametrize(("rangestat", "argument"), [(0, 0.0), (0, 0.1), (1, 2.0), (2, 0.05), (2, 0.7), (3, 0.0)])
def test_ranges_are_those_of_faiss(name: str, rangestat: int, argument: float, generator: np.random.Generator) -> None:
    vectors = generator.standard_normal((90, 5), dtype=np.float32) * 3 + 1
    vectors[:, 2] = 7
    threads = theirs.omp_get_max_threads()
    theirs.omp_set_num_threads(1)  # several overwrite each other's ranges there
    trained = []
    for module in (ours, theirs):
        quantizer = module.ScalarQuantizer(5, getattr(module.ScalarQuantizer, name))
        quantizer.rangestat, quantizer.rangestat_arg = rangestat, argument
        quantizer.train(vectors)
        trained.append(module.vector_to_array(quantizer.trained))
    theirs.omp_set_num_threads(threads)
    np.testing.assert_array_equal(trained[0], trained[1], strict=True)


def test_a_dimension_without_a_range_has_level_zero() -> None:
    rows = np.array([[1, 5], [2, 5]], dtype=np.float32)
    quantizer, reference = pair_of_quantizers(2, "QT_8bit", rows)
    np.testing.assert_array_equal(quantizer.compute_codes(rows * 9), reference.compute_codes(rows * 9))
    np.testing.assert_array_equal(quantizer.decode(quantizer.compute_codes(rows))[:, 1], 5)


def test_quantizers_take_tensors_and_other_numbers() -> None:
    quantizer = ours.ScalarQuantizer(3, ours.ScalarQuantizer.QT_fp16)
    codes = quantizer.compute_codes(torch.tensor([[1.0, 2.5, -3.0]], dtype=torch.float64))
    assert isinstance(codes, torch.Tensor)
    assert torch.equal(quantizer.decode(codes), torch.tensor([[1.0, 2.5, -3.0]]))
    assert quantizer.compute_codes(np.ones((0, 3))).shape == (0, 6)


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (
            lambda q: q.train(np.ones((3, 5))),
            AssertionError,
            r"ScalarQuantizer.train: vectors must be \[n, 4\], got \[3, 5\]",
        ),
        (lambda q: q.train(np.ones((0, 4))), RuntimeError, "ScalarQuantizer.train: there must be vectors .*, got none"),
        (
            lambda q: q.compute_codes(np.ones((1, 4))),
            RuntimeError,
            "ScalarQuantizer: it is not trained; call train first",
        ),
        (
            lambda q: q.decode(np.ones((1, 3), np.uint8)),
            AssertionError,
            r".*decode: codes must be \[n, 4\], got \[1, 3\]",
        ),
        (lambda q: q.decode(np.ones((1, 4))), TypeError, "ScalarQuantizer.decode: codes must be uint8, got float64"),
        (lambda q: setattr(q, "foo", 1), AttributeError, "'ScalarQuantizer' object has no attribute 'foo'"),
        (
            lambda q: ours.ScalarQuantizer(4, q.QT_4bit_tqmse),
            RuntimeError,
            "ScalarQuantizer: qtype 13 is not known here.*",
        ),
        (lambda q: ours.ScalarQuantizer(-1), TypeError, "ScalarQuantizer: d must not be negative, got -1"),
    ],
)
def test_quantizers_refuse_in_one_sentence(call: Callable[[Any], object], error: type, sentence: str) -> None:
    with pytest.raises(error, match=f"^{sentence}$"):
        call(ours.ScalarQuantizer(4, 0))


def pair_of_indexes(name: str, metric: int, vectors: np.ndarray) -> tuple[Any, Any]:
    indexes = [
        module.IndexScalarQuantizer(vectors.shape[1], getattr(module.ScalarQuantizer, name), metric)
        for module in (ours, theirs)
    ]
    for index in indexes:
        index.train(vectors)
        index.add(vectors)
    return indexes[0], indexes[1]


def flat_of(index: Any) -> Any:
    """The flat index of what an index decodes to."""
    flat = ours.IndexFlat(index.d, index.metric_type)
    flat.add(index.reconstruct_n())
    return flat


METRICS = pytest.mark.parametrize("metric", [ours.METRIC_L2, ours.METRIC_INNER_PRODUCT])


@pytest.mark.parametrize("name", TYPES)
@METRICS
@pytest.mark.parametrize("d", [16, 21])
def test_search_is_exact_over_what_codes_decode_to(
    name: str, metric: int, d: int, generator: np.random.Generator
) -> None:
    vectors, queries = (generator.standard_normal((n, d), dtype=np.float32) * 9 for n in (300, 20))
    index, reference = pair_of_indexes(name, metric, vectors)
    np.testing.assert_array_equal(ours.vector_to_array(index.codes), theirs.vector_to_array(reference.codes))
    flat = flat_of(index)
    for answer, exact in zip(index.search(queries, 7), flat.search(queries, 7), strict=True):
        np.testing.assert_array_equal(answer, exact, strict=True)
    scores, _ = index.search(queries, 7)
    # FAISS sums d products in float32.
    bound = 4 * d * np.finfo(np.float32).eps * np.square(queries).sum(1).max()
    np.testing.assert_allclose(scores, reference.search(queries, 7)[0], rtol=1e-5, atol=bound)
    threshold = float(np.median(scores))
    for answer, exact in zip(
        index.range_search(queries, threshold), flat.range_search(queries, threshold), strict=True
    ):
        np.testing.assert_array_equal(answer, exact, strict=True)


@METRICS
def test_many_vectors_are_searched_as_few_are(metric: int, generator: np.random.Generator) -> None:
    vectors = generator.standard_normal((9000, 4), dtype=np.float32)
    index, _ = pair_of_indexes("QT_8bit", metric, vectors)
    flat = flat_of(index)
    for queries in (vectors[:1], vectors[:300]):
        for answer, exact in zip(index.search(queries, 9), flat.search(queries, 9), strict=True):
            np.testing.assert_array_equal(answer, exact)


@pytest.mark.parametrize("name", ["QT_fp16", "QT_6bit"])
@METRICS
def test_selectors_limit_what_is_found(name: str, metric: int, generator: np.random.Generator) -> None:
    vectors = generator.standard_normal((200, 12), dtype=np.float32)
    index, _ = pair_of_indexes(name, metric, vectors)
    params = ours.SearchParameters(sel=ours.IDSelectorRange(50, 53))
    scores, ids = index.search(vectors[:9], 5, params=params)
    expected = flat_of(index).search(vectors[:9], 5, params=params)
    np.testing.assert_array_equal(scores, expected[0])
    np.testing.assert_array_equal(ids, expected[1])
    np.testing.assert_array_equal(ids[:, 3:], -1)
    _, _, ids = index.range_search(vectors[:9], 100.0 if metric == ours.METRIC_L2 else -100.0, params=params)
    assert set(ids) == {50, 51, 52}


@pytest.mark.parametrize("name", TYPES)
def test_removing_merging_and_emptying(name: str, generator: np.random.Generator) -> None:
    vectors = generator.standard_normal((90, 6), dtype=np.float32) * 40
    index, reference = pair_of_indexes(name, ours.METRIC_L2, vectors)
    others = [copy.deepcopy(index), theirs.clone_index(reference)]
    assert index.remove_ids(np.arange(10, 31)) == reference.remove_ids(np.arange(10, 31)) == 21
    for one, other in zip((index, reference), others, strict=True):
        one.merge_from(other)
        assert (one.ntotal, other.ntotal) == (159, 0)
    np.testing.assert_array_equal(ours.vector_to_array(index.codes), theirs.vector_to_array(reference.codes))
    np.testing.assert_allclose(index.reconstruct(100), reference.reconstruct(100), rtol=1e-6, atol=1e-5)
    codes = index.sa_encode(vectors[:5])
    np.testing.assert_array_equal(codes, reference.sa_encode(vectors[:5]), strict=True)
    np.testing.assert_allclose(index.sa_decode(codes), reference.sa_decode(codes), rtol=1e-6, atol=1e-5)
    index.reset()
    assert index.ntotal == 0
    assert index.is_trained
    np.testing.assert_array_equal(index.search(vectors[:2], 1)[1], -1)


@pytest.mark.parametrize("name", TYPES)
@METRICS
def test_files_go_both_ways(name: str, metric: int, generator: np.random.Generator, tmp_path: Path) -> None:
    vectors = generator.standard_normal((70, 7), dtype=np.float32) * 9
    index, reference = pair_of_indexes(name, metric, vectors)
    ours.write_index(index, tmp_path / "ours")
    theirs.write_index(reference, str(tmp_path / "theirs"))
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
    read = ours.read_index(tmp_path / "theirs")
    assert (read.sq.qtype, read.metric_type, read.ntotal) == (reference.sq.qtype, metric, 70)
    for one in (read, ours.read_index(tmp_path / "ours", ours.IO_FLAG_MMAP_IFC)):
        one.add(vectors[:3])
        index_again = ours.read_index(tmp_path / "ours")
        index_again.add(vectors[:3])
        for answer, expected in zip(one.search(vectors[:9], 4), index_again.search(vectors[:9], 4), strict=True):
            np.testing.assert_array_equal(answer, expected)


def test_an_index_before_training_refuses_and_is_written() -> None:
    index = ours.IndexScalarQuantizer(4, ours.ScalarQuantizer.QT_6bit)
    assert not index.is_trained
    with pytest.raises(RuntimeError, match=r"^IndexScalarQuantizer.add: the index is not trained"):
        index.add(np.ones((1, 4)))
    read = ours.deserialize_index(ours.serialize_index(index))
    assert (read.is_trained, read.sq.qtype, read.code_size) == (False, ours.ScalarQuantizer.QT_6bit, 3)
    assert ours.IndexScalarQuantizer(4, ours.ScalarQuantizer.QT_bf16).is_trained


def test_an_index_refuses_what_it_cannot_search_or_merge() -> None:
    index = ours.IndexScalarQuantizer(4, ours.ScalarQuantizer.QT_fp16, ours.METRIC_L1)
    index.add(np.ones((1, 4)))
    with pytest.raises(RuntimeError, match=r"^IndexScalarQuantizer.search: the metric must be METRIC_L2 or .*, got 2$"):
        index.search(np.ones((1, 4)), 1)
    trained = [ours.IndexScalarQuantizer(4, 0) for _ in range(2)]
    for scale, one in enumerate(trained, 1):
        one.train(np.eye(4) * scale)
        one.add(np.eye(4))
    with pytest.raises(RuntimeError, match=r"^IndexScalarQuantizer.merge_from: the two quantizers must have the same"):
        trained[0].merge_from(trained[1])


def test_a_file_that_contradicts_itself_is_refused(generator: np.random.Generator) -> None:
    index, _ = pair_of_indexes("QT_8bit", ours.METRIC_L2, generator.standard_normal((9, 4), dtype=np.float32))
    data = ours.serialize_index(index).copy()
    place = data.tobytes().index(np.uint64(8).tobytes(), 40)  # how many trained values
    data[place] = 6
    with pytest.raises(
        RuntimeError, match=r"^read_index: memory was truncated, .*: qtype 0 of d 4 with codes of 4 and 6"
    ):
        ours.deserialize_index(data)
