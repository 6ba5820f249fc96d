"""Packed keys: what they take, how they grow, and that every instruction set reads what another one packed."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from hard_vectors import DTYPES, METRICS, beyond_the_float32_norm, nan_and_inf, normal, transposed
from same_bits import assert_same_bits
from torch import Generator, Tensor

import fastret
from fastret import PackedKeys
from fastret.ops import packing, reference


def assert_finds(packed: PackedKeys, queries: Tensor, keys: Tensor, where: str = "") -> None:
    want = reference.search(queries, keys, 9, packed.metric)
    for got, wanted in zip(fastret.search(queries, packed, 9), want, strict=True):
        assert_same_bits(got, wanted, where)


@pytest.mark.parametrize(("first_pass", "bytes_per_dim"), [("int8", 1), ("int16", 2), ("float32", 0)])
def test_what_packing_adds_to_the_memory(first_pass: str, bytes_per_dim: int) -> None:
    packed = fastret.pack(torch.ones(3200, 64), first_pass)
    added = 3200 * (64 * bytes_per_dim + 20) + 2 * 64 * 4 if bytes_per_dim else 0
    assert packed.overhead_bytes == added
    assert packed.nbytes == added + 3200 * 64 * 4
    assert (packed.ntotal, packed.dim, packed.first_pass, packed.metric) == (3200, 64, first_pass, "ip")


@pytest.mark.parametrize(("dim", "first_pass"), [(31, "float32"), (32, "int8"), (65536, "int8"), (65537, "float32")])
def test_auto_packs_for_int8_where_it_pays(dim: int, first_pass: str) -> None:
    assert fastret.pack(torch.zeros(1, dim)).first_pass == first_pass


def test_repr_tells_what_it_is() -> None:
    packed = fastret.pack(torch.zeros(64, 32), metric="l2")
    assert repr(packed) == "PackedKeys(ntotal=64, dim=32, metric='l2', first_pass='int8', overhead_bytes=3584)"


def test_the_keys_are_read_in_place_and_stay_as_they_are(generator: Generator) -> None:
    keys = torch.randn(50, 40, generator=generator)
    before = keys.clone()
    for given in (keys, keys.numpy(), keys.requires_grad_()):
        packed = fastret.pack(given)
        assert packed.keys.data_ptr() == keys.data_ptr()
        assert not packed.keys.requires_grad
    assert_same_bits(keys.detach(), before)


def test_elements_that_are_apart_are_brought_together_once(generator: Generator) -> None:
    queries, keys = normal(5, 90, 40, generator)
    packed = fastret.pack(transposed(keys))
    assert packed.keys.stride(1) == 1
    assert_finds(packed, queries, keys)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("first_pass", ["int8", "int16"])
def test_what_one_instruction_set_packed_every_other_reads(first_pass: str, metric: str, generator: Generator) -> None:
    queries, keys = beyond_the_float32_norm(17, 700, 45, generator)
    isas = fastret._C.available_isas()
    for packer in isas:
        fastret._C.set_isa(packer)
        packed = fastret.pack(keys, first_pass, metric)
        for reader in isas:
            fastret._C.set_isa(reader)
            assert_finds(packed, queries, keys, f"packed by {packer}, read by {reader}")


@pytest.mark.parametrize("step", [1, 31, 32, 33, 100])
@pytest.mark.parametrize("first_pass", ["int8", "int16", "float32"])
def test_extending_finds_what_packing_all_at_once_finds(first_pass: str, step: int, generator: Generator) -> None:
    queries, keys = nan_and_inf(6, 5 * step + 40, 33, generator)
    packed = fastret.pack(keys[:3], first_pass, "l2")
    for last in range(3 + step, len(keys), step):
        packed = packing.extend(packed, keys[:last])
        assert_finds(packed, queries, keys[:last], f"{last} keys")
    assert packed.keys.data_ptr() == keys.data_ptr()


def test_many_small_extensions_move_the_panels_only_a_few_times(generator: Generator) -> None:
    keys = torch.randn(3000, 32, generator=generator)
    packed, storages = fastret.pack(keys[:1], "int8"), set()
    for last in range(2, 3000):
        packed = packing.extend(packed, keys[:last])
        storages.add(packed.packing.panels.data_ptr())
    assert len(storages) < 20
    assert packed.overhead_bytes < 2 * fastret.pack(keys, "int8").overhead_bytes


def test_an_unbounded_key_that_comes_later_is_found(generator: Generator) -> None:
    queries, keys = normal(5, 80, 32, generator)
    keys[70] = 1e30
    packed = fastret.pack(keys[:64], "int8")
    assert not packed.packing.has_unbounded
    packed = packing.extend(packed, keys)
    assert packed.packing.has_unbounded
    assert_finds(packed, queries, keys)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_of_packed_keys_count_from_0(dtype: torch.dtype, generator: Generator) -> None:
    queries, keys = normal(5, 200, 40, generator)
    keys = keys.to(dtype)
    packed = fastret.pack(keys, "int16", "cosine")
    for first, last in ((0, 200), (0, 0), (32, 96), (64, 100), (192, 200)):
        assert_finds(packed.rows(first, last), queries, keys[first:last], f"{first} to {last}")


@pytest.mark.parametrize("first_pass", ["int8", "int16"])
def test_rows_end_within_a_panel(first_pass: str, generator: Generator) -> None:
    keys = torch.randn(128, 40, generator=generator)
    keys[99:] *= 1e3
    keys[110] = 1e30  # scored canonically, if it were one of the rows
    packed = fastret.pack(keys, first_pass).rows(64, 99)
    queries = keys[99:104]
    assert_finds(packed, queries, keys[64:99])
    want = reference.range_search(queries, keys[64:99], 0.0)
    for got, wanted in zip(fastret.range_search(queries, packed, 0.0), want, strict=True):
        assert_same_bits(got, wanted)


@pytest.mark.parametrize(("first", "last"), [(5, 40), (-32, 40), (64, 32), (0, 101)])
def test_rows_begin_a_panel(first: int, last: int) -> None:
    sentence = f"PackedKeys.rows: first must be a multiple of 32 and first <= last <= 100, got {first} and {last}"
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        fastret.pack(X).rows(first, last)


def test_another_first_pass_reads_the_keys_themselves(generator: Generator) -> None:
    queries, keys = normal(20, 200, 40, generator)
    packed = fastret.pack(keys, "int8")
    for first_pass, is_packed in (("auto", True), ("int8", True), ("int16", False), ("float32", False)):
        explanation = fastret.explain_search(queries, packed, 5, first_pass=first_pass)
        assert explanation.packed == is_packed
        assert explanation.first_pass == ("int8" if first_pass == "auto" else first_pass)


def test_packed_keys_are_a_torch_input(generator: Generator) -> None:
    torch._dynamo.reset()
    queries, keys = normal(20, 200, 40, generator)
    packed = fastret.pack(keys, "int8")
    compiled = torch.compile(lambda q, p: fastret.search(q, p, 5), fullgraph=True, backend="aot_eager")
    for got, wanted in zip(compiled(queries, packed), fastret.search(queries, keys, 5), strict=True):
        assert_same_bits(got, wanted)


X = torch.zeros(100, 40)


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: fastret.pack(X[0]), ValueError, "pack: keys must be 2-D, got [40]"),
        (lambda: fastret.pack(X.double()), TypeError, "pack: keys must be float32, bfloat16 or float16, got float64"),
        (
            lambda: fastret.pack(X, "int4"),  # type: ignore[arg-type]
            ValueError,
            'pack: first_pass must be "auto", "int8", "int16" or "float32", got \'int4\'',
        ),
        (
            lambda: fastret.pack(X, metric="dot"),  # type: ignore[arg-type]
            ValueError,
            'pack: metric must be "ip", "cosine" or "l2", got \'dot\'',
        ),
        (
            lambda: fastret.search(X, fastret.pack(X, metric="l2"), 3, "ip"),
            ValueError,
            "search: the keys were packed for metric 'l2', got 'ip'",
        ),
        (
            lambda: fastret.search(X[:, :7], fastret.pack(X), 3),
            ValueError,
            "search: queries and keys must share D, got [100, 7] and [100, 40]",
        ),
        (
            lambda: fastret.search(X, X, 3, first_pass="int4"),  # type: ignore[arg-type]
            ValueError,
            'search: first_pass must be "auto", "int8", "int16" or "float32", got \'int4\'',
        ),
    ],
)
def test_errors_are_one_sentence(call: Any, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(sentence)}$"):
        call()


def test_the_metric_is_the_packed_one_by_default(generator: Generator) -> None:
    queries, keys = normal(4, 50, 32, generator)
    want = fastret.search(queries, keys, 3, "l2")
    got = fastret.search(queries.numpy(), fastret.pack(keys.numpy(), metric="l2"), 3)
    assert all(isinstance(part, np.ndarray) for part in got)
    assert_same_bits(torch.from_numpy(got[1]), want[1])


def test_packed_keys_have_the_shape_of_the_keys() -> None:
    packed = fastret.pack(torch.zeros(70, 40, dtype=torch.bfloat16))
    assert (len(packed), packed.shape, packed.dtype) == (70, (70, 40), torch.bfloat16)


def test_no_packed_keys_are_packed_keys_too() -> None:
    packed = fastret.pack(torch.zeros(0, 40), metric="l2")
    scores, ids = fastret.search(torch.zeros(1, 40), packed, 2)
    assert (scores.tolist(), ids.tolist()) == ([[torch.inf] * 2], [[-1] * 2])
