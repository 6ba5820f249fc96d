"""Principal axes of packed keys: chosen only where they gain, and the bits of the definition all the same."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hard_vectors import METRICS
from same_bits import assert_same_bits, every_setting
from torch import Generator, Tensor

import fastret
from fastret import PackedKeys
from fastret.ops import packing, principal_axes, reference

DIM = 150  # neither a multiple of 32, of a panel of axes, nor of 16, of a head


@pytest.fixture
def forced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Axes for few keys too, whatever they gain."""
    monkeypatch.setattr(principal_axes, "_WORTH_AXES_BYTES", 0)
    monkeypatch.setattr(principal_axes, "_LARGEST_SHARE", 10)


def decaying(num_keys: int, dim: int, g: Generator, power: float = 1.0) -> Tensor:
    """Rows whose variance falls along some rotated axes, around a common centre."""
    spread = torch.arange(1, dim + 1).float() ** -power
    turn = torch.linalg.qr(torch.randn(dim, dim, generator=g)).Q
    return (torch.randn(num_keys, dim, generator=g) * spread) @ turn + 0.05


def near_queries(keys: Tensor, count: int, g: Generator) -> Tensor:
    near = keys[torch.randint(len(keys), (count,), generator=g)].float()
    return near * (1 + 0.2 * torch.randn(near.shape, generator=g))


def with_unbounded(keys: Tensor) -> Tensor:
    keys = keys.clone()
    keys[5::97] *= 1e30
    keys[7::101, 3], keys[9::103, 4] = torch.inf, torch.nan
    return keys


def near_duplicates(keys: Tensor) -> Tensor:
    steps = torch.arange(len(keys))[:, None] % 5 - 2
    return keys[torch.arange(len(keys)) % 20] * (1 + steps * 2.0**-23)


KEYS: dict[str, Callable[[Tensor], Tensor]] = {
    "plain": lambda keys: keys,
    "unbounded": with_unbounded,
    "near duplicates": near_duplicates,
    "bfloat16": lambda keys: keys.bfloat16(),
    "tiny": lambda keys: keys * 1e-36,
}


def with_axes(keys: Tensor, metric: str, sample: Tensor) -> PackedKeys:
    packed = fastret.pack(keys, "int8", metric, sample_queries=sample)
    assert packed.packing is not None and packed.packing.principal is not None
    return packed


def a_threshold(queries: Tensor, keys: Tensor, metric: str) -> float:
    """One that some keys reach."""
    scores = reference.search(queries, keys, 12, metric)[0]
    return scores[scores.isfinite()].median().item()


def assert_searches(packed: PackedKeys, queries: Tensor, where: str = "", **filters: Tensor) -> None:
    keys, metric = packed.keys, packed.metric
    threshold = a_threshold(queries, keys, metric)
    for number in (1, 3, 4, 5, 40):
        some = {name: rows[:number] if name == "excluded" else rows for name, rows in filters.items()}
        few = queries[:number]
        want = (
            *reference.search(few, keys, 9, metric, **some),
            *reference.range_search(few, keys, threshold, metric, **some),
        )
        got = (*fastret.search(few, packed, 9, **some), *fastret.range_search(few, packed, threshold, **some))
        for part, wanted in zip(got, want, strict=True):
            assert_same_bits(part, wanted, f"{where}, {number} queries")


@pytest.mark.usefixtures("forced")
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("family", KEYS)
def test_the_bits_are_those_of_the_definition(family: str, metric: str, generator: Generator) -> None:
    plain = decaying(1000, DIM, generator)
    keys, queries = KEYS[family](plain), near_queries(plain, 40, generator)
    packed = with_axes(keys, metric, near_queries(plain, 20, generator))
    allowed = torch.rand(1000, generator=generator) < 0.3
    excluded = reference.search(queries, keys, 3, metric)[1]
    for setting in every_setting():
        assert_searches(packed, queries, f"{setting}, packed before")
        assert_searches(packed, queries, f"{setting}, filtered", allowed=allowed, excluded=excluded)


@pytest.mark.usefixtures("forced")
@pytest.mark.parametrize("metric", METRICS)
def test_what_one_instruction_set_packed_every_other_reads(metric: str, generator: Generator) -> None:
    keys = with_unbounded(decaying(700, DIM, generator))
    queries = near_queries(decaying(700, DIM, generator), 40, generator)
    for packer in fastret._C.available_isas():
        fastret._C.set_isa(packer)
        packed = with_axes(keys, metric, queries)
        for reader in fastret._C.available_isas():
            fastret._C.set_isa(reader)
            assert_searches(packed, queries, f"packed by {packer}, read by {reader}")


@pytest.mark.usefixtures("forced")
@pytest.mark.parametrize("queries_like", [1e-30, 1e17, 1e19, torch.inf, torch.nan])
def test_queries_of_any_size(queries_like: float, generator: Generator) -> None:
    keys = decaying(500, DIM, generator)
    queries = near_queries(keys, 3, generator)
    packed = with_axes(keys, "ip", near_queries(keys, 20, generator))
    queries[1] *= queries_like
    want = reference.search(queries, keys, 9)
    for part, wanted in zip(fastret.search(queries, packed, 9), want, strict=True):
        assert_same_bits(part, wanted)


@pytest.mark.usefixtures("forced")
@pytest.mark.parametrize("step", [1, 31, 32, 33])
def test_extending(step: int, generator: Generator) -> None:
    keys = decaying(100 + 4 * step, DIM, generator)
    queries = near_queries(keys, 40, generator)
    packed = with_axes(keys[:100], "l2", queries)
    for last in range(100 + step, len(keys) + 1, step):
        packed = packing.extend(packed, keys[:last])
        assert packed.packing.principal is not None
        assert_searches(packed, queries, f"{last} keys")
    assert_searches(packed.rows(64, 99), queries, "rows")


@pytest.mark.usefixtures("forced")
def test_packing_twice_gives_the_same_bytes(generator: Generator) -> None:
    keys = with_unbounded(decaying(330, DIM, generator))
    once, again = (with_axes(keys, "ip", keys[:20].nan_to_num(0, 0, 0)).packing for _ in range(2))
    assert once is not None and again is not None
    for name, tensor in once.tensors().items():
        assert_same_bits(tensor, again.tensors()[name], name)


@pytest.mark.usefixtures("forced")
def test_what_axes_add_to_the_memory(generator: Generator) -> None:
    packed = with_axes(decaying(640, 160, generator), "ip", torch.ones(8, 160))
    assert packed.overhead_bytes == 640 * (160 + 24) + 2 * 160 * 4 + 160 * 160 * 4


# ---- Choosing


@pytest.mark.parametrize("metric", METRICS)
def test_a_head_is_chosen_where_the_spectrum_decays_and_only_there(
    metric: str, monkeypatch: pytest.MonkeyPatch, generator: Generator
) -> None:
    monkeypatch.setattr(principal_axes, "_WORTH_AXES_BYTES", 0)
    gains = decaying(6000, 160, generator)
    packed = fastret.pack(gains, "int8", metric, sample_queries=near_queries(gains, 40, generator))
    assert packed.packing.principal is not None
    assert packed.packing.panels.shape[1] * 4 in (16, 32, 48, 64, 80)
    isotropic = torch.randn(6000, 160, generator=generator)
    packed = fastret.pack(isotropic, "int8", metric, sample_queries=torch.randn(40, 160, generator=generator))
    assert packed.packing.principal is None


def test_few_bytes_and_other_passes_have_no_axes(monkeypatch: pytest.MonkeyPatch, generator: Generator) -> None:
    keys = decaying(3000, 160, generator)
    sample = near_queries(keys, 40, generator)
    assert fastret.pack(keys, sample_queries=sample).packing.principal is None
    monkeypatch.setattr(principal_axes, "_WORTH_AXES_BYTES", 0)
    assert fastret.pack(keys, sample_queries=sample).packing.principal is not None
    assert fastret.pack(keys).packing.principal is None
    assert fastret.pack(keys, sample_queries=sample[:0]).packing.principal is None
    assert fastret.pack(keys, "int16", sample_queries=sample).packing.principal is None
    assert fastret.pack(keys, "float32", sample_queries=sample).packing is None
    assert fastret.pack(keys[:, :120], sample_queries=sample[:, :120]).packing.principal is None


@pytest.mark.usefixtures("forced")
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, 1e30])
def test_queries_of_the_sample_that_are_no_numbers_are_left_out(bad: float, generator: Generator) -> None:
    keys = decaying(500, DIM, generator)
    sample = near_queries(keys, 40, generator)
    sample[3] *= bad
    assert_searches(with_axes(keys, "cosine", sample), near_queries(keys, 40, generator))
    assert fastret.pack(keys, sample_queries=torch.full((5, DIM), torch.nan)).packing.principal is None


@pytest.mark.usefixtures("forced")
def test_the_axes_are_orthogonal_up_to_their_defect(generator: Generator) -> None:
    keys = decaying(500, DIM, generator)
    principal = with_axes(keys, "ip", keys[:20]).packing.principal
    assert principal.axes.shape == (5, DIM, 32)
    axes = principal.axes.transpose(1, 2).reshape(160, DIM)
    assert not axes[DIM:].any()
    exact = axes[:DIM].double()
    defect = torch.linalg.matrix_norm(exact @ exact.T - torch.eye(DIM, dtype=torch.float64), 2)
    assert defect <= principal.defect < 1e-5
    skewed = torch.eye(3)
    skewed[0, 1] = 1e-3
    assert 1e-3 * 2**0.5 <= principal_axes.defect_of(skewed) < 1.001e-3 * 2**0.5


# ---- Bad input


@pytest.mark.parametrize("shape", [(4, DIM + 1), (DIM,), (2, 4, DIM)])
def test_sample_queries_of_another_shape(shape: tuple[int, ...]) -> None:
    sentence = f"pack: sample_queries must be [S, {DIM}] on cpu, got {list(shape)} on cpu"
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        fastret.pack(torch.ones(5, DIM), sample_queries=torch.ones(shape))


BELONG = "axes, head_residuals and tails belong together, and to panels"
MULTIPLE = f"panels beside principal axes must hold a multiple of 16 of the {DIM} dimensions as int8, got "
UNIT = "frame must hold a centre of norm at most 1e18 and a direction of norm at most 1.01, got squares "


@pytest.mark.usefixtures("forced")
@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"defect": -1e-9}, "defect must be from 0 to 0.001, got -1e-09"),
        ({"defect": 0.001}, "defect must be from 0 to 0.001, got 0.001"),
        ({"defect": float("nan")}, "defect must be from 0 to 0.001, got nan"),
        ({"tails": None}, BELONG),
        ({"axes": None}, BELONG),
        ({"panels": None, "facts": None, "frame": None}, BELONG),
        ({"axes": None, "head_residuals": None, "tails": None}, "panels must be [7, 38, 32] int32"),
        ({"axes": torch.zeros(4, DIM, 32)}, f"axes must be [5, {DIM}, 32] float32, contiguous, got [4, {DIM}, 32]"),
        ({"panels": torch.zeros(7, 3, 32, dtype=torch.int32)}, MULTIPLE + "[7, 3, 32]"),
        ({"panels": torch.zeros(7, 0, 32, dtype=torch.int32)}, MULTIPLE + "[7, 0, 32]"),
        ({"panels": torch.zeros(7, 40, 32, dtype=torch.int32)}, MULTIPLE + "[7, 40, 32]"),
        ({"panels": torch.zeros(6, 4, 32, dtype=torch.int32)}, "panels must be [7, 4, 32] int32"),
        ({"panels": torch.zeros(7, 8, 32, dtype=torch.int32)}, "tails must be [7, 30, 32] int32"),
        ({"head_residuals": torch.zeros(6, 32)}, "head_residuals must be [7, 32] float32, contiguous, got [6, 32]"),
        ({"head_residuals": torch.zeros(7, 32).double()}, "head_residuals must be [7, 32] float32"),
        ({"first_pass": 1}, MULTIPLE),
        ({"frame": torch.full((2, DIM), 1e19)}, UNIT),
        ({"frame": torch.cat([torch.zeros(1, DIM), torch.full((1, DIM), 2 / DIM**0.5)])}, UNIT + "0 and 4"),
        ({"frame": torch.full((2, DIM), torch.nan)}, UNIT + "nan and nan"),
    ],
)  # fmt: skip
def test_the_native_ops_refuse_what_would_lose_keys(
    changes: dict[str, Any], sentence: str, generator: Generator
) -> None:
    keys = decaying(200, DIM, generator)
    packed = with_axes(keys, "ip", keys[:20])
    names = ("panels", "facts", "frame", "has_unbounded", "axes", "head_residuals", "tails", "defect")
    arguments = dict(zip(names, packed.packing.arguments, strict=True)) | {"first_pass": 2} | changes
    first_pass = arguments.pop("first_pass")
    for operation, *what in (("search", 3), ("range_search", 0.5)):
        op = getattr(torch.ops.fastret, "explained_search" if operation == "search" else operation)
        with pytest.raises(RuntimeError, match=re.escape(sentence)):
            op(keys[:2], keys, *what, 0, first_pass, *arguments.values())


@pytest.mark.usefixtures("forced")
def test_opcheck(generator: Generator) -> None:
    keys = decaying(200, DIM, generator)
    panels, facts, frame, unbounded, *principal = with_axes(keys, "ip", keys[:20]).packing.arguments
    ops = torch.ops.fastret
    torch.library.opcheck(ops.pack_keys_.default, (keys, 0, 2, frame, 0, panels, facts, *principal))
    packed = (panels, facts, frame, unbounded, *principal)
    torch.library.opcheck(ops.explained_search.default, (keys[:2], keys, 3, 0, 2, *packed))
    torch.library.opcheck(ops.range_search.default, (keys[:2], keys, 0.5, 0, 2, *packed))
