"""hamming_search and hamming_range_search return what their definitions do, on every instruction set."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from same_bits import assert_same_bits, check_everywhere
from torch import Generator, Tensor

from fastret.ops import hamming_reference as reference
from fastret.ops.hamming_search import ProbedLists, hamming_range_search, hamming_search

WIDTHS = [0, 1, 3, 8, 13, 16, 32, 64, 100, 264]


def bits(n: int, width: int, generator: Generator, values: int = 256) -> Tensor:
    return torch.randint(values, (n, width), generator=generator, dtype=torch.uint8)


def check(
    queries: Tensor, keys: Tensor, k: int, allowed: Tensor | None = None, lists: ProbedLists | None = None
) -> tuple[Tensor, Tensor]:
    options = {"allowed": allowed, "lists": lists}
    want = reference.hamming_search(queries, keys, k, **options)
    check_everywhere(lambda: hamming_search(queries, keys, k, **options), want, (queries, keys))
    for radius in (0, 4 * keys.shape[1], 8 * keys.shape[1] + 1):
        found = reference.hamming_range_search(queries, keys, radius, **options)
        check_everywhere(
            lambda radius=radius: hamming_range_search(queries, keys, radius, **options), found, (queries, keys)
        )
    return want


@pytest.mark.parametrize("num_queries", [1, 5, 40])
@pytest.mark.parametrize("width", WIDTHS)
def test_widths_of_codes(width: int, num_queries: int, generator: Generator) -> None:
    queries = bits(num_queries, width, generator)
    for num_keys in (31, 100, 700):
        check(queries, bits(num_keys, width, generator), 10)


@pytest.mark.parametrize("num_queries", [1, 9])
def test_thousands_of_ties(num_queries: int, generator: Generator) -> None:
    queries, keys = bits(num_queries, 3, generator, 2), bits(3000, 3, generator, 2)
    for k in (1, 100, 1500):
        check(queries, keys, k)
    _, ids = hamming_search(queries, torch.zeros(3000, 3, dtype=torch.uint8), 500)
    assert torch.equal(ids, torch.arange(500).expand(num_queries, 500))


@pytest.mark.parametrize("order", ["nearer and nearer", "farther and farther"])
def test_sorted_keys(order: str) -> None:
    keys = torch.from_numpy(np.packbits(np.tri(512, dtype=np.uint8), axis=1))
    query = torch.zeros(1, 64, dtype=torch.uint8)
    check(query.expand(8, 64), keys if order == "farther and farther" else keys.flip(0).contiguous(), 17)


@pytest.mark.parametrize("k", [0, 1, 40, 41, 100])
def test_more_places_than_keys(k: int, generator: Generator) -> None:
    distances, ids = check(bits(3, 8, generator), bits(40, 8, generator), k)
    assert (ids[:, 40:] == -1).all()
    assert (distances[:, 40:] == 2**31 - 1).all()


@pytest.mark.parametrize(("num_queries", "num_keys"), [(0, 5), (3, 0), (0, 0)])
def test_nothing_to_search(num_queries: int, num_keys: int, generator: Generator) -> None:
    check(bits(num_queries, 8, generator), bits(num_keys, 8, generator), 2)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5])
def test_only_allowed_keys_are_found(share: float, generator: Generator) -> None:
    queries, keys = bits(7, 16, generator), bits(900, 16, generator)
    check(queries, keys, 20, torch.rand(900, generator=generator) < share)


@pytest.mark.parametrize("num_queries", [1, 20])
@pytest.mark.parametrize("width", [1, 13, 32])
def test_inverted_lists(width: int, num_queries: int, generator: Generator) -> None:
    queries, keys = bits(num_queries, width, generator), bits(1000, width, generator)
    sizes = torch.tensor([300, 0, 7, 250, 33])
    starts = torch.tensor([600, 0, 0, 100, 400])  # with gaps, and not in order
    ids = torch.randperm(5000, generator=generator)[:1000] - 100
    probes = torch.stack([torch.randperm(5, generator=generator)[:3] for _ in range(num_queries)])
    probes[:, 2] = torch.where(probes[:, 2] == 0, -1, probes[:, 2])
    lists = ProbedLists(ids, starts, sizes, probes)
    for k in (1, 50, 700):
        check(queries, keys, k, None, lists)
    check(queries, keys, 20, torch.rand(1000, generator=generator) < 0.3, lists)


def test_ties_between_lists_go_to_the_smaller_id(generator: Generator) -> None:
    ids = torch.randperm(2000, generator=generator)
    lists = ProbedLists(ids, torch.tensor([0, 1000]), torch.tensor([1000, 1000]), torch.tensor([[1, 0]]))
    check(torch.zeros(1, 8, dtype=torch.uint8), bits(2000, 8, generator, 2), 30, None, lists)
    check(torch.zeros(1, 8, dtype=torch.uint8), torch.zeros(2000, 8, dtype=torch.uint8), 30, None, lists)


def test_numpy_in_and_out(generator: Generator) -> None:
    queries, keys = bits(3, 8, generator), bits(50, 8, generator)
    distances, ids = hamming_search(queries.numpy(), keys.numpy(), 4)
    assert isinstance(distances, np.ndarray)
    assert isinstance(ids, np.ndarray)
    want = hamming_search(queries, keys, 4)
    assert_same_bits(torch.from_numpy(distances), want[0])
    assert_same_bits(torch.from_numpy(ids), want[1])


def test_rows_that_are_not_contiguous(generator: Generator) -> None:
    queries, keys = bits(16, 9, generator).T, bits(16, 50, generator).T
    assert_same_bits(hamming_search(queries, keys, 4)[1], hamming_search(queries.clone(), keys.clone(), 4)[1])


def test_opcheck(generator: Generator) -> None:
    queries, keys = bits(3, 8, generator), bits(50, 8, generator)
    lists = (torch.arange(50), torch.tensor([0]), torch.tensor([50]), torch.zeros(3, 1, dtype=torch.int64))
    for options in ((), (torch.arange(50) % 2 > 0,), (None, *lists)):
        torch.library.opcheck(torch.ops.fastret.hamming_search.default, (queries, keys, 4, *options))
        torch.library.opcheck(torch.ops.fastret.hamming_range_search.default, (queries, keys, 30, *options))


def test_bad_arguments_are_told_in_one_sentence(generator: Generator) -> None:
    queries, keys = bits(3, 8, generator), bits(50, 8, generator)
    with pytest.raises(
        ValueError, match=r"^hamming_search: queries and keys must share B, got \[3, 8\] and \[50, 7\]$"
    ):
        hamming_search(queries, keys[:, :7], 1)
    with pytest.raises(TypeError, match=r"^hamming_search: keys must be uint8, got int32$"):
        hamming_search(queries, keys.int(), 1)
    with pytest.raises(ValueError, match=r"^hamming_search: k must not be negative, got -1$"):
        hamming_search(queries, keys, -1)
    with pytest.raises(ValueError, match=r"^hamming_range_search: queries must be \[n, B\], got \[8\]$"):
        hamming_range_search(queries[0], keys, 1)
    lists = ProbedLists(torch.arange(50), torch.tensor([0]), torch.tensor([50]), torch.ones(3, 1, dtype=torch.int64))
    with pytest.raises(RuntimeError, match="hamming_search: probes must be below 1, got 1"):
        hamming_search(queries, keys, 1, lists=lists)
    with pytest.raises(RuntimeError, match="list 0 must lie within the 50 rows, got start 1 and size 50"):
        hamming_search(queries, keys, 1, lists=lists._replace(starts=torch.tensor([1])))
