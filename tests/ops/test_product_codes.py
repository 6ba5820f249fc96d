"""The ops on product codes give the bits of their definitions, under every instruction set and thread count."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from same_bits import assert_same_bits, check_everywhere
from torch import Generator, Tensor

from fastret.ops import product_codes as ops
from fastret.ops import product_codes_reference as reference
from fastret.ops.product_codes import CodeLists

INF = float("inf")
SHAPES = [(8, 4, 8), (4, 8, 4), (5, 7, 3), (3, 5, 1), (2, 3, 10), (1, 16, 2), (3, 1, 6), (2, 2, 1), (1, 5, 12)]


def lists_of(sizes: list[int], num_codes: int, nbits: int, generator: Generator, *, offsets: bool = False) -> CodeLists:
    """Random codes in lists that lie apart from each other in the arena, with ids in no order."""
    starts = torch.tensor([0, *sizes])[:-1].cumsum(0) + 3 * torch.arange(len(sizes))
    capacity = sum(sizes) + 3 * len(sizes)
    numbers = torch.randint(1 << nbits, (capacity, num_codes), generator=generator)
    return CodeLists(
        reference.pack_codes(numbers, nbits),
        torch.randperm(capacity, generator=generator) * 2,
        starts,
        torch.tensor(sizes),
        torch.randn(capacity, generator=generator) if offsets else None,
    )


def check_search(
    tables: Tensor, lists: CodeLists, probes: Tensor, nbits: int, k: int, largest: bool, **more: Any
) -> tuple[Tensor, Tensor]:
    arguments: dict[str, Any] = {"largest": largest, **more}
    want = reference.search_product_codes(tables, lists, probes, nbits, k, **arguments)
    check_everywhere(
        lambda: ops.search_product_codes(tables, lists, probes, nbits, k, **arguments), want, (tables, lists.codes)
    )
    found = want[0][want[1] >= 0]
    threshold = float(found.median()) if len(found) else 0.0
    ranged = reference.range_search_product_codes(tables, lists, probes, nbits, threshold, **arguments)
    check_everywhere(
        lambda: ops.range_search_product_codes(tables, lists, probes, nbits, threshold, **arguments), ranged, (tables,)
    )
    return want


@pytest.mark.parametrize("squared_l2", [True, False])
@pytest.mark.parametrize(("num_codes", "sub_dim", "nbits"), [(3, 5, 1), (4, 8, 4), (2, 3, 6), (3, 4, 8), (1, 2, 10)])
def test_tables(num_codes: int, sub_dim: int, nbits: int, squared_l2: bool, generator: Generator) -> None:
    centroids = torch.randn(num_codes, 1 << nbits, sub_dim, generator=generator)
    rows = torch.randn(7, num_codes * sub_dim, generator=generator)
    want = reference.product_tables(rows, centroids, squared_l2)
    check_everywhere(lambda: (ops.product_tables(rows, centroids, nbits, squared_l2),), (want,), (rows, centroids))


@pytest.mark.parametrize(("num_codes", "sub_dim", "nbits"), [(3, 5, 1), (3, 2, 3), (7, 4, 5), (4, 8, 8), (5, 3, 11)])
def test_codes_and_back(num_codes: int, sub_dim: int, nbits: int, generator: Generator) -> None:
    centroids = torch.randn(num_codes, 1 << nbits, sub_dim, generator=generator)
    rows = torch.randn(50, num_codes * sub_dim, generator=generator)
    codes = reference.encode_product_codes(rows, centroids, nbits)
    check_everywhere(lambda: (ops.encode_product_codes(rows, centroids, nbits),), (codes,), (rows, centroids))
    decoded = reference.decode_product_codes(codes, centroids, nbits)
    check_everywhere(lambda: (ops.decode_product_codes(codes, centroids, nbits),), (decoded,), (codes,))
    assert torch.equal(ops.encode_product_codes(decoded, centroids, nbits), codes)


@pytest.mark.parametrize("nbits", [4, 8])
def test_of_equally_near_centroids_the_smaller_is_coded(nbits: int, isa: str) -> None:
    centroids = torch.zeros(2, 1 << nbits, 3)
    centroids[1, 5:] = 1
    rows = torch.tensor([[9.0, 9, 9, 1, 1, 1], [float("nan")] * 6, [INF] * 6])
    numbers = reference.unpack_codes(ops.encode_product_codes(rows, centroids, nbits), 2, nbits)
    assert numbers.tolist() == [[0, 5], [0, 0], [0, 0]]


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize(("num_codes", "queries", "nbits"), [*SHAPES, (16, 3, 4), (7, 4, 4), (17, 2, 8), (12, 2, 5)])
def test_search(num_codes: int, queries: int, nbits: int, largest: bool, generator: Generator) -> None:
    tables = torch.randn(queries, num_codes, 1 << nbits, generator=generator)
    lists = lists_of([300, 0, 1, 65, 600], num_codes, nbits, generator, offsets=largest)
    probes = torch.stack([torch.randperm(5, generator=generator) for _ in range(queries)])
    probes[0, 1] = -1
    base = torch.randn(queries, 5, generator=generator)
    for k in (1, 10, 2000):
        check_search(tables, lists, probes, nbits, k, largest, base=base)


@pytest.mark.parametrize("nbits", [4, 8])
def test_ties_go_to_the_smaller_id(nbits: int, generator: Generator) -> None:
    tables = torch.randint(0, 2, (3, 4, 1 << nbits), generator=generator).float()
    lists = lists_of([500, 300], 4, nbits, generator)
    scores, positions = check_search(tables, lists, torch.tensor([[0, 1]] * 3), nbits, 40, largest=True)
    assert lists.ids is not None
    for row_scores, row in zip(scores, lists.ids[positions], strict=True):
        for score in row_scores.unique():
            assert row[row_scores == score].tolist() == sorted(row[row_scores == score].tolist())


def test_filters_and_limits_of_rows(generator: Generator) -> None:
    tables = torch.randn(4, 6, 256, generator=generator)
    lists = lists_of([400, 100, 300], 6, 8, generator)
    probes = torch.tensor([[0, 1, 2], [2, 1, 0], [1, -1, 2], [-1, -1, -1]])
    allowed = torch.rand(len(lists.codes), generator=generator) < 0.3
    for max_rows in (0, 1, 399, 450):
        check_search(tables, lists, probes, 8, 20, largest=False, allowed=allowed, max_rows=max_rows)
    _, positions = check_search(tables, lists, probes, 8, 5, largest=False, allowed=torch.zeros_like(allowed))
    assert (positions == -1).all()


@pytest.mark.parametrize("nbits", [4, 8])
@pytest.mark.parametrize("special", [INF, -INF, float("nan"), 3e38, 1e-45])
def test_tables_beyond_the_first_pass(special: float, nbits: int, generator: Generator) -> None:
    tables = torch.randn(4, 5, 1 << nbits, generator=generator)
    tables[1, :, ::3] = special
    lists = lists_of([500], 5, nbits, generator, offsets=True)
    assert lists.offsets is not None
    lists.offsets[::50] = special
    base = torch.tensor([[0.0], [1.0], [special], [-2.0]])
    for largest in (True, False):
        check_search(tables, lists, torch.zeros(4, 1, dtype=torch.int64), nbits, 30, largest, base=base)


@pytest.mark.parametrize("nbits", [4, 8])
@pytest.mark.parametrize("offset", [0.0, 1e4, -1e6])
def test_the_bound_holds_where_scores_are_close_together(offset: float, nbits: int, generator: Generator) -> None:
    # The levels tell little of entries that are large and nearly equal: the slack of the bound must cover it.
    tables = offset + torch.randint(0, 4, (3, 16, 1 << nbits), generator=generator) * 2.0**-7
    lists = lists_of([2000], 16, nbits, generator, offsets=True)
    for largest in (True, False):
        check_search(tables, lists, torch.zeros(3, 1, dtype=torch.int64), nbits, 15, largest)


def test_rows_without_ids_have_their_positions(generator: Generator) -> None:
    lists = lists_of([500, 300], 4, 8, generator)._replace(ids=None)
    tables = torch.randint(0, 2, (3, 4, 256), generator=generator).float()
    check_search(tables, lists, torch.tensor([[0, 1]] * 3), 8, 40, largest=True)


def test_more_codes_than_levels_add_up_to(generator: Generator) -> None:
    tables = torch.rand(2, 300, 16, generator=generator)
    check_search(tables, lists_of([400], 300, 4, generator), torch.zeros(2, 1, dtype=torch.int64), 4, 10, True)


def test_many_queries_give_what_each_gives_alone(isa: str, generator: Generator) -> None:
    tables = torch.randn(300, 8, 256, generator=generator)
    lists = lists_of([200] * 6, 8, 8, generator)
    probes = torch.randint(6, (300, 3), generator=generator)
    together = ops.search_product_codes(tables, lists, probes, 8, 7, largest=True)
    for query in (0, 150, 299):
        one = slice(query, query + 1)
        alone = ops.search_product_codes(tables[one], lists, probes[one], 8, 7, largest=True)
        for got, want in zip(alone, together, strict=True):
            assert_same_bits(got, want[one])


def test_tables_with_strides(generator: Generator) -> None:
    tables = torch.randn(5, 3, 256, generator=generator).transpose(0, 1)  # [3, 5, 256]
    check_search(tables, lists_of([300], 5, 8, generator), torch.zeros(3, 1, dtype=torch.int64), 8, 9, True)


def test_nothing_to_search(generator: Generator) -> None:
    lists = lists_of([0, 0], 4, 8, generator)
    scores, positions = check_search(torch.rand(2, 4, 256), lists, torch.zeros(2, 2, dtype=torch.int64), 8, 3, False)
    assert scores.tolist() == [[INF] * 3] * 2 and positions.tolist() == [[-1] * 3] * 2
    check_search(torch.rand(0, 4, 256), lists, torch.zeros(0, 2, dtype=torch.int64), 8, 3, True)
    check_search(torch.rand(2, 4, 256), lists, torch.zeros(2, 0, dtype=torch.int64), 8, 0, True)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_search_at_all(data: st.DataObject) -> None:
    generator = Generator().manual_seed(data.draw(st.integers(0, 2**32)))
    nbits, num_codes = data.draw(st.sampled_from([1, 4, 5, 6, 8, 9])), data.draw(st.integers(1, 20))
    queries = data.draw(st.integers(1, 4))
    sizes = data.draw(st.lists(st.integers(0, 300), min_size=1, max_size=4))
    entries = torch.tensor(data.draw(st.lists(st.floats(-1e3, 1e3, width=32), min_size=2, max_size=9)))
    tables = entries[torch.randint(len(entries), (queries, num_codes, 1 << nbits), generator=generator)]
    lists = lists_of(sizes, num_codes, nbits, generator, offsets=data.draw(st.booleans()))
    probes = torch.randint(-1, len(sizes), (queries, data.draw(st.integers(0, 4))), generator=generator)
    check_search(tables, lists, probes, nbits, data.draw(st.integers(0, 40)), data.draw(st.booleans()))


def test_bad_input_is_named() -> None:
    centroids = torch.zeros(4, 256, 2)
    with pytest.raises(ValueError, match=r"^encode_product_codes: rows must be \[N, 8\], got \[3, 7\]$"):
        ops.encode_product_codes(torch.zeros(3, 7), centroids, 8)
    with pytest.raises(ValueError, match=r"^decode_product_codes: codes must be \[N, 4\], got \[3, 5\]$"):
        ops.decode_product_codes(torch.zeros(3, 5, dtype=torch.uint8), centroids, 8)
    with pytest.raises(ValueError, match=r"^product_tables: nbits must be 1 to 16, got 17$"):
        ops.product_tables(torch.zeros(3, 8), centroids, 17, True)
    lists = CodeLists.of_all(torch.zeros(9, 4, dtype=torch.uint8))
    tables = torch.zeros(1, 4, 256)
    with pytest.raises(RuntimeError, match="search_product_codes: probes must name lists below 1, got 1"):
        ops.search_product_codes(tables, lists, torch.tensor([[1]]), 8, 1, largest=True)
    with pytest.raises(RuntimeError, match="list 0 must lie within the 9 rows, got start 0 and size 10"):
        longer = lists._replace(sizes=torch.tensor([10]))
        ops.search_product_codes(tables, longer, torch.tensor([[0]]), 8, 1, largest=True)
    with pytest.raises(ValueError, match="k must not be negative"):
        ops.search_product_codes(tables, lists, torch.tensor([[0]]), 8, -1, largest=True)


def test_torch_compile_knows_the_shapes(generator: Generator) -> None:
    tables = torch.randn(3, 4, 256, generator=generator)
    lists = lists_of([100], 4, 8, generator)
    probes = torch.zeros(3, 1, dtype=torch.int64)
    torch.library.opcheck(
        torch.ops.fastret.search_product_codes,
        (tables, *lists[:4], probes, 8, 5, True),
        test_utils=("test_schema", "test_faketensor"),
    )
    centroids = torch.randn(4, 256, 2, generator=generator)
    rows = torch.randn(6, 8, generator=generator)
    torch.library.opcheck(torch.ops.fastret.encode_product_codes, (rows, centroids, 8))
    torch.library.opcheck(torch.ops.fastret.product_tables, (rows, centroids, 8, True))
