"""search_lists finds the rows of the visited lists that its definition finds, with the same bits everywhere."""

from __future__ import annotations

import dataclasses
import re

import pytest
import torch
from hard_vectors import FAMILIES, METRICS, Family, normal
from same_bits import assert_same_bits, check_everywhere
from torch import Generator, Tensor

from fastret.ops import search_lists_reference as definition
from fastret.ops.search_lists import CODECS, InvertedRows, range_search_lists, search_lists

BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "bits6": 0.75, "bits4": 0.5}


@dataclasses.dataclass
class Work:
    queries: Tensor
    lists: InvertedRows
    probes: Tensor

    def inputs(self) -> tuple[Tensor, ...]:
        return self.queries, self.lists.codes, self.probes

    def check(self, k: int, metric: str, **options: object) -> tuple[Tensor, Tensor]:
        """search_lists and range_search_lists equal their definitions; what the former found."""
        want = definition.search_lists(self.queries, self.lists, self.probes, k, metric, **options)
        check_everywhere(
            lambda: search_lists(self.queries, self.lists, self.probes, k, metric, **options), want, self.inputs()
        )
        finite = want[0][want[0].isfinite()]
        threshold = float(finite.sort().values[len(finite) // 2]) if len(finite) else 0.0
        in_range = definition.range_search_lists(self.queries, self.lists, self.probes, threshold, metric, **options)
        check_everywhere(
            lambda: range_search_lists(self.queries, self.lists, self.probes, threshold, metric, **options),
            in_range,
            self.inputs(),
        )
        return want


def in_lists(queries: Tensor, rows: Tensor, num_lists: int, num_probes: int, g: Generator) -> Work:
    """Rows in lists of very different sizes, with gaps between them, list 1 empty; ids in no order."""
    listed = (num_lists * torch.rand(len(rows), generator=g).square()).long()
    listed[listed == 1] = 0
    sizes = torch.bincount(listed, minlength=num_lists)
    starts = torch.cat([torch.zeros(1, dtype=torch.int64), (sizes + 3).cumsum(0)[:-1]])
    arena = torch.full((len(rows) + 3 * num_lists, rows.shape[1]), torch.nan)
    places = torch.cat([torch.arange(s, s + n) for s, n in zip(starts.tolist(), sizes.tolist(), strict=True)])
    arena[places] = rows[listed.argsort(stable=True)]
    ids = torch.randperm(len(arena), generator=g) - 5
    probes = torch.rand(len(queries), num_lists, generator=g).argsort(1)[:, :num_probes]
    probes[probes == 2] = -1
    return Work(queries, InvertedRows(arena.view(torch.uint8), ids, starts, sizes), probes)


def coded(work: Work, codec: str, g: Generator) -> Work:
    """The same lists, of codes at random."""
    dim = work.queries.shape[1]
    shape = len(work.lists.ids), -int(-dim * BYTES.get(codec, 1) // 1)
    codes = torch.randint(256, shape, generator=g, dtype=torch.uint8)
    ranges = torch.stack([torch.randn(dim, generator=g), 3 * torch.rand(dim, generator=g)])
    lists = work.lists._replace(codes=codes, codec=codec, ranges=ranges if codec.startswith("bits") else None)
    return dataclasses.replace(work, lists=lists)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("family", FAMILIES)
def test_hard_vectors(family: Family, metric: str, generator: Generator) -> None:
    in_lists(*family(6, 400, 19, generator), 5, 4, generator).check(7, metric)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("shape", [(1, 200, 33), (9, 3, 8), (140, 300, 16), (3, 0, 4), (0, 20, 4), (4, 90, 0)])
def test_off_tile_shapes(shape: tuple[int, int, int], metric: str, generator: Generator) -> None:
    work = in_lists(*normal(*shape, generator), 6, 5, generator)
    for k in (1, 20, 400):
        work.check(k, metric)


@pytest.mark.parametrize("with_centroids", [False, True])
@pytest.mark.parametrize("codec", CODECS)
def test_codecs(codec: str, with_centroids: bool, generator: Generator) -> None:
    for dim in (1, 37, 131):
        work = coded(in_lists(*normal(9, 150, dim, generator), 4, 3, generator), codec, generator)
        if with_centroids:
            centroids = torch.randn(4, dim, generator=generator)
            work = dataclasses.replace(work, lists=work.lists._replace(centroids=centroids))
        for queries in (work.queries, work.queries[:2]):  # lists shared by many, and visited by few
            few = dataclasses.replace(work, queries=queries, probes=work.probes[: len(queries)])
            few.check(9, "l2")
            few.check(9, "ip")


@pytest.mark.parametrize("metric", ["l2", "ip"])
@pytest.mark.parametrize("width", [0.0, 1e-40, 1e-25, 1e25, torch.inf, torch.nan])
def test_levels_of_extreme_widths(width: float, metric: str, generator: Generator) -> None:
    work = coded(in_lists(*normal(2, 150, 9, generator), 3, 3, generator), "bits8", generator)
    assert work.lists.ranges is not None
    for scale in (1.0, 1e-30, 1e15):
        ranges = work.lists.ranges * scale
        ranges[1, 4] = width
        lists = work.lists._replace(ranges=ranges)
        dataclasses.replace(work, queries=work.queries * scale, lists=lists).check(5, metric)


@pytest.mark.parametrize("num_queries", [2, 12])
def test_filtered_rows_and_a_most_number_of_rows(num_queries: int, generator: Generator) -> None:
    work = in_lists(*normal(num_queries, 300, 12, generator), 6, 5, generator)
    allowed = torch.rand(len(work.lists.ids), generator=generator) < 0.5
    for max_rows in (0, 1, 40, 250, 10**12):
        work.check(10, "ip", allowed=allowed, max_rows=max_rows)
    scores, positions = work.check(3, "l2", allowed=torch.zeros_like(allowed))
    assert scores.isinf().all() and (positions == -1).all()


def test_of_equal_scores_the_smaller_id_comes_first() -> None:
    ids = torch.tensor([7, -3, 9, 0, 2])
    lists = InvertedRows(torch.ones(5, 1).view(torch.uint8), ids, torch.tensor([0, 3]), torch.tensor([3, 2]))
    _, positions = search_lists(torch.ones(1, 1), lists, torch.tensor([[1, 0]]), 5)
    assert ids[positions].tolist() == [[-3, 0, 2, 7, 9]]
    _, _, positions = range_search_lists(torch.ones(1, 1), lists, torch.tensor([[1, 0]]), 1.0)
    assert ids[positions].tolist() == [-3, 0, 2, 7, 9]


def test_no_probes_find_nothing(generator: Generator) -> None:
    work = in_lists(*normal(3, 40, 8, generator), 4, 3, generator)
    _, positions = dataclasses.replace(work, probes=work.probes[:, :0]).check(2, "l2")
    assert (positions == -1).all()


def test_a_list_probed_twice_counts_twice() -> None:
    lists = InvertedRows(torch.ones(1, 1).view(torch.uint8), *torch.tensor([[5], [0], [1]]))
    for num_queries in (1, 20):  # alone, or with others
        probes = torch.zeros(num_queries, 2, dtype=torch.int64)
        assert search_lists(torch.ones(num_queries, 1), lists, probes, 3)[1].tolist() == [[0, 0, -1]] * num_queries


def test_unaligned_codes_are_read(generator: Generator) -> None:
    work = in_lists(*normal(3, 90, 5, generator), 4, 3, generator)
    bytes_ = torch.empty(work.lists.codes.numel() + 1, dtype=torch.uint8)
    shifted = bytes_[1:].view_as(work.lists.codes).copy_(work.lists.codes)
    got = search_lists(work.queries, work.lists._replace(codes=shifted), work.probes, 5)
    for part, wanted in zip(got, work.check(5, "l2"), strict=True):
        assert_same_bits(part, wanted)


def test_so_many_alike_rows_are_scored_exactly(generator: Generator) -> None:
    # More rows than the first pass may keep lie within its error of the best.
    queries, rows = normal(2, 1, 8, generator)
    steps = torch.randint(-2, 3, (9000, 8), generator=generator)
    in_lists(queries, rows * (1 + steps * 2.0**-23), 2, 2, generator).check(5, "ip")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"ids": torch.arange(3)}, "ids must be [4] of scalar type 4, got [3] of 4"),
        ({"codes": torch.zeros(4, 3, dtype=torch.uint8)}, "codes must be [4, 8] of scalar type 0, got [4, 3] of 0"),
        ({"sizes": torch.tensor([2, 3])}, "list 1 must lie within 4 rows, got 3 from 2"),
        ({"codec": "bits4", "codes": torch.zeros(4, 1, dtype=torch.uint8)}, "codec 5 needs codec_params"),
    ],
)
def test_bad_lists(change: dict[str, object], sentence: str) -> None:
    lists = InvertedRows(
        torch.zeros(4, 8, dtype=torch.uint8), torch.arange(4), torch.tensor([0, 2]), torch.tensor([2, 2])
    )
    with pytest.raises(RuntimeError, match=re.escape(f"search_lists: {sentence}")):
        search_lists(torch.zeros(1, 2), lists._replace(**change), torch.tensor([[0, 1]]), 1)
    with pytest.raises(RuntimeError, match="search_lists: probes must be below 2, got 2"):
        search_lists(torch.zeros(1, 2), lists, torch.tensor([[2]]), 1)


def test_opcheck(generator: Generator) -> None:
    work = in_lists(*normal(3, 40, 5, generator), 4, 3, generator)
    arguments = (work.queries, *work.lists[:4], work.probes)
    torch.library.opcheck(torch.ops.fastret.search_lists.default, (*arguments, 3, 2))
    torch.library.opcheck(torch.ops.fastret.range_search_lists.default, (*arguments, 3.0, 2))
