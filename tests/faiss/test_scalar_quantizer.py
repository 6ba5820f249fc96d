"""Scalar quantizers and their index beside faiss-cpu: the same codes bit for bit, neighbours and files."""

from __future__ import annotations

from collections.abc import Callable
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
