"""Split planes give every bit back, and are searched like the rows that they are made of."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from hard_vectors import FAMILIES, METRICS, Family, normal
from same_bits import assert_same_bits
from torch import Generator, Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import fastret
from fastret.ops import planes as planes_module
from fastret.ops import reference
from fastret.ops.packing import pack_planes
from fastret.ops.planes import KEY_TILE, SplitPlanes, search_split

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
# Around every edge of the split: zeros, subnormals, powers of two, rounding up to the next of them, the largest
# numbers, of which those from 0x7F7F8000 on round to infinity, infinity, quiet and signalling NaN.
MAGNITUDES = [
    edge + step
    for edge in (0x0, 0x8000, 0x10000, 0x800000, 0x3F800000, 0x3F808000, 0x7F7F8000, 0x7F800000, 0x7FC00000)
    for step in (-0x8001, -0x8000, -0x7FFF, -1, 0, 1, 0x7FFF, 0x8000, 0x8001)
    if 0 <= edge + step <= 0x7FFFFFFF
] + [0x7FFF7FFF, 0x7FFF8000, 0x7FFFFFFF]


def every_kind_of_float32() -> Tensor:
    magnitudes = torch.tensor(MAGNITUDES)
    bits = torch.cat([magnitudes, magnitudes - (1 << 31)]).to(torch.int32)
    random = torch.randint(-(1 << 31), 1 << 31, (20000,), generator=Generator().manual_seed(0)).to(torch.int32)
    return torch.cat([bits, random]).view(torch.float32)


def bits_of(rows: Tensor) -> Tensor:
    return rows.view(torch.int32 if rows.dtype == torch.float32 else torch.int16)


def split(rows: Tensor, metric: str = "ip", first: int = 0) -> SplitPlanes:
    planes = SplitPlanes.empty(rows.shape[1], rows.dtype, rows.device, first + len(rows))
    return planes.with_rows(rows, first, metric)  # type: ignore[arg-type]


def test_every_float32_comes_back_with_its_bits() -> None:
    rows = every_kind_of_float32().view(-1, 2)
    high, low = reference.split_rows(rows)
    assert torch.equal(bits_of(reference.join_rows(high, low)), bits_of(rows))
    assert torch.equal(bits_of(split(rows).joined()), bits_of(rows))


def test_high_is_the_nearest_bfloat16_of_every_finite_number() -> None:
    rows = every_kind_of_float32()
    rows = rows[rows.abs() < 3.3895e38]  # beyond: infinity
    high = reference.split_rows(rows)[0].view(torch.bfloat16).double()
    # Of two equally near ones torch takes the even one, the planes that of the larger magnitude.
    assert torch.equal((high - rows.double()).abs(), (rows.bfloat16().double() - rows.double()).abs())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_every_16_bit_number_comes_back(dtype: torch.dtype) -> None:
    rows = torch.arange(1 << 16).to(torch.uint16).view(dtype).view(-1, 64)
    rows = torch.where(rows.isnan(), torch.nan, rows)  # float16 NaN lose nothing but their payload
    planes = split(rows)
    assert planes.joined().dtype == planes.at(slice(0, 3)).dtype == dtype
    assert torch.equal(bits_of(planes.joined()), bits_of(rows))


def test_bfloat16_rows_need_no_low_plane_and_float16_rows_do() -> None:
    assert split(torch.ones(5, 70, dtype=torch.bfloat16)).low is None
    assert split(torch.full((1, 1), 1 + 2**-10).half()).low[0, 0] != 0
    for dtype, element_bytes in zip(DTYPES, (4, 2, 4), strict=True):
        assert split(torch.ones(5, 70, dtype=dtype)).nbytes == KEY_TILE * (128 * element_bytes + 16)


def test_rows_are_written_where_they_are_told_and_the_rest_is_never_found() -> None:
    rows = normal(1, 300, 70, Generator().manual_seed(0))[1]
    planes = SplitPlanes.empty(70, torch.float32, torch.device("cpu"), 300)
    for first in range(0, 300, 37):
        planes = planes.with_rows(rows[first : first + 37], first, "l2")
    assert planes.shape == (300, 70) and planes.high.shape == (512, 128)
    assert_same_bits(planes.joined(), rows)
    assert_same_bits(planes.facts[:300], reference.plane_facts(rows, "l2"))
    assert planes.facts[300:].isnan().all()
    assert not planes.high[:300, 70:].any() and planes.low is not None and not planes.low[:300, 70:].any()


class NoIndexingOfUint16(TorchDispatchMode):
    """As torch's CUDA devices."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        assert func is not torch.ops.aten.index.Tensor or args[0].dtype != torch.uint16
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_are_taken_in_any_order(dtype: torch.dtype, generator: Generator) -> None:
    rows, where = normal(1, 300, 70, generator)[1].to(dtype), torch.randperm(300, generator=generator)
    with NoIndexingOfUint16():
        taken = split(rows).at(where)
    assert torch.equal(bits_of(taken), bits_of(rows[where]))


def test_more_room_keeps_the_rows_and_enough_room_the_memory() -> None:
    planes = split(torch.randn(5, 3, generator=Generator().manual_seed(0)))
    larger = planes.with_room(KEY_TILE + 1)
    assert planes.with_room(KEY_TILE) is planes
    assert len(larger.facts) == 2 * KEY_TILE and larger.ntotal == 5
    assert_same_bits(larger.joined(), planes.joined())
    assert larger.facts[5:].isnan().all()


def test_rows_are_joined_a_block_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = torch.randn(1000, 7, generator=Generator().manual_seed(0))
    monkeypatch.setattr(planes_module.row_blocks, "__defaults__", (1,))  # bytes: a tile at a time
    assert [block.stop for block in planes_module.row_blocks(1000, 1)] == [256, 512, 768, 1000]
    assert_same_bits(split(rows).joined(), rows)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_facts_bound_what_the_first_pass_leaves_out(family: Family, metric: str, generator: Generator) -> None:
    rows = family(1, 200, 33, generator)[1]
    scale, bias, residual, norm = reference.plane_facts(rows, metric).double().unbind(1)
    x, high = rows.double(), reference.split_rows(rows)[0].view(torch.bfloat16).double()
    exact = x.norm(dim=1)
    told = residual.isfinite()
    assert torch.equal(residual.isnan(), x.isnan().any(1))
    assert torch.equal(told, (exact == 0) | (exact >= 2.0**-30) & (exact <= 2.0**60))
    assert (residual >= (x - high).norm(dim=1) * scale)[told].all()
    assert (norm >= high.norm(dim=1) * scale)[told].all()
    want_scale = torch.where(exact == 0, 0, 1 / exact) if metric == "cosine" else torch.ones_like(exact)
    want_bias = -exact.square() / 2 if metric == "l2" else torch.zeros_like(exact)
    torch.testing.assert_close(scale[told], want_scale[told], rtol=2.0**-24, atol=0)
    torch.testing.assert_close(bias[told], want_bias[told], rtol=2.0**-23, atol=0)


def ways(queries: Tensor, keys: Tensor, metric: str, generator: Generator) -> Iterator[dict[str, Tensor]]:
    """Filters to search with."""
    yield {}
    yield {"allowed": torch.rand(len(keys), generator=generator) < 0.5}
    yield {"excluded": torch.randint(-1, len(keys), (len(queries), 9), generator=generator)}


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_planes_are_found_like_the_rows(family: Family, metric: str, generator: Generator) -> None:
    queries, keys = family(4, 700, 20, generator)
    packed = pack_planes(keys, metric)
    threshold = float(fastret.search(queries, keys, 9, metric)[0][:, -1].nan_to_num(0).median())
    for filters in ways(queries, keys, metric, generator):
        for k in (0, 1, 20, 800):
            want = fastret.search(queries, keys, k, metric, **filters)
            for got in (
                fastret.search(queries, packed, k, **filters),
                _search_in_tiles(queries, packed.source, k, metric, **filters),
            ):
                for one, other in zip(got, want, strict=True):
                    assert_same_bits(one, other, f"{filters}, k = {k}")
        want = fastret.range_search(queries, keys, threshold, metric, **filters)
        for one, other in zip(fastret.range_search(queries, packed, threshold, **filters), want, strict=True):
            assert_same_bits(one, other, f"{filters}")


def _search_in_tiles(
    queries: Tensor,
    planes: SplitPlanes,
    k: int,
    metric: str,
    allowed: Tensor | None = None,
    excluded: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    return search_split(queries, planes, k, METRICS.index(metric), allowed, excluded, workspace_bytes=1)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_16_bit_planes_are_found_like_the_rows(dtype: torch.dtype, generator: Generator) -> None:
    queries, keys = normal(5, 600, 70, generator)
    packed = pack_planes(keys.to(dtype), "cosine")
    assert packed.dtype == packed.keys.dtype == dtype
    for one, other in zip(
        fastret.search(queries, packed, 9), fastret.search(queries, keys.to(dtype), 9, "cosine"), strict=True
    ):
        assert_same_bits(one, other)


def test_packed_planes_tell_what_they_are(generator: Generator) -> None:
    keys = normal(1, 300, 70, generator)[1]
    packed = pack_planes(keys, "l2")
    assert (packed.shape, packed.dtype, packed.device, len(packed)) == (keys.shape, keys.dtype, keys.device, 300)
    assert packed.nbytes == 512 * (128 * 4 + 16)
    assert packed.overhead_bytes == packed.nbytes - 300 * 70 * 4
    assert_same_bits(packed.keys, keys)
    part = packed.rows(256, 290)
    assert_same_bits(part.keys, keys[256:290])
    facts = part.source.facts
    assert facts.shape == (256, 4) and facts[34:].isnan().all() and not packed.source.facts[:300].isnan().any()
    want = fastret.search(keys[:4], keys[256:290], 300, "l2")
    for one, other in zip(fastret.search(keys[:4], part, 300), want, strict=True):
        assert_same_bits(one, other)
    with pytest.raises(ValueError, match=r"^PackedKeys.rows: first must be a multiple of 256 .* got 32 and 290$"):
        packed.rows(32, 290)
    with pytest.raises(ValueError, match=r"^search: the keys were packed for metric 'l2', got 'ip'$"):
        fastret.search(keys, packed, 3, "ip")
    with pytest.raises(ValueError, match=r"^search: queries and keys must share D, got \[300, 69\] and \[300, 70\]$"):
        fastret.search(keys[:, 1:], packed, 3)
    explanation = fastret.explain_search(keys[:4], packed, 300)
    assert explanation.answered_by == {"device": 4} and explanation.packed and explanation.num_keys == 300
    assert explanation.why == "split planes are made for CUDA devices" and "rescored" not in str(explanation)


def test_keys_on_a_cuda_device_become_planes() -> None:
    from torch._subclasses import FakeTensorMode

    with FakeTensorMode():
        queries, keys = torch.empty(5, 70, device="cuda"), torch.empty(300, 70, device="cuda")
        packed = fastret.pack(keys, metric="l2")
        assert isinstance(packed.source, SplitPlanes)
        assert packed.shape == (300, 70) and packed.device == keys.device
        scores, ids = fastret.search(queries, packed, 7)
        assert scores.shape == ids.shape == (5, 7) and scores.device == keys.device


def test_the_ops_are_well_formed(generator: Generator) -> None:
    queries, keys = normal(3, 90, 70, generator)
    planes = split(keys)
    ops = torch.ops.fastret
    torch.library.opcheck(ops.split_rows_, (keys, 2, 100, planes.high, planes.low, planes.facts))
    torch.library.opcheck(ops.split_rows_, (keys.bfloat16(), 0, 0, planes.high, None, planes.facts))
    torch.library.opcheck(ops.search_planes, (queries, planes.high, planes.low, planes.facts, 70, 90, 5, 0))


def test_a_search_of_planes_compiles_as_one_graph(generator: Generator) -> None:
    queries, keys = normal(3, 90, 70, generator)
    packed = pack_planes(keys, "ip")
    compiled = torch.compile(lambda q: fastret.search(q, packed, 5), fullgraph=True, backend="eager")
    for one, other in zip(compiled(queries), fastret.search(queries, keys, 5), strict=True):
        assert_same_bits(one, other)
