"""HNSW graphs: the definition and the kernels agree bit for bit, on every instruction set and number of threads."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Generator, Tensor

import fastret
from fastret.ops import hnsw_reference, reference
from fastret.ops.arrays import Metric
from fastret.ops.hnsw import HnswGraph, hnsw_add, hnsw_range_search, hnsw_search

METRICS: list[Metric] = ["l2", "ip"]
MANY = 16  # neighbours: few enough that graphs of some hundred vectors are walked, enough that all is reached


def empty_graph(n: int, M: int = 4) -> HnswGraph:
    levels = 1 + torch.poisson(torch.full((n,), 0.3), generator=torch.Generator().manual_seed(5)).clamp_max(2).int()
    starts = torch.tensor([0, 2 * M, 3 * M, 4 * M], dtype=torch.int32)
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), starts[levels.long()].cumsum(0)])
    neighbors = torch.full((int(offsets[-1]),), -1, dtype=torch.int32)
    return HnswGraph(levels, offsets, starts, neighbors, torch.tensor([-1, -1], dtype=torch.int32))


def built(vectors: Tensor, metric: Metric = "l2", M: int = 4, **options: Any) -> HnswGraph:
    graph = empty_graph(len(vectors), M)
    hnsw_add(vectors, 0, graph, metric, **options)
    return graph


def first_part(graph: HnswGraph, n: int) -> HnswGraph:
    neighbors = graph.neighbors[: int(graph.offsets[n])].clone()
    return HnswGraph(graph.levels[:n], graph.offsets[: n + 1], graph.level_starts, neighbors, graph.entry.clone())


def assert_same_graph(a: HnswGraph, b: HnswGraph) -> None:
    assert torch.equal(a.neighbors, b.neighbors)
    assert a.entry.tolist() == b.entry.tolist()


def same_bits(a: Tensor, b: Tensor) -> bool:
    return torch.equal(a.view(torch.int32), b.view(torch.int32))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dim", [0, 1, 16, 37])
def test_graph_and_answers_are_the_definition_s(isa: str, metric: Metric, dim: int, generator: Generator) -> None:
    vectors, queries = torch.randn(60, dim, generator=generator), torch.randn(3, dim, generator=generator)
    graph, expected = built(vectors, metric, ef_construction=12), empty_graph(60)
    hnsw_reference.add(vectors, 0, expected, metric, ef_construction=12)
    assert_same_graph(graph, expected)
    for options in ({"ef": 5}, {"ef": 3, "check_relative_distance": False}, {"allowed": torch.arange(60) % 3 == 0}):
        scores, ids, _ = hnsw_search(queries, vectors, graph, 7, metric, **options)
        expected_scores, expected_ids = hnsw_reference.search(queries, vectors, graph, 7, metric, **options)
        assert torch.equal(ids, expected_ids)
        assert same_bits(scores, expected_scores)


@pytest.mark.parametrize("options", [{"keep_max_size_level0": True}, {"prune_headroom": 0.0}, {"prune_headroom": 9.0}])
def test_options_of_adding_are_the_definition_s(options: Any, generator: Generator) -> None:
    vectors = torch.randn(90, 6, generator=generator)
    graph, expected = built(vectors, **options), empty_graph(90)
    hnsw_reference.add(vectors, 0, expected, **options)
    assert_same_graph(graph, expected)


def test_adding_in_parts_is_the_definition_s(generator: Generator) -> None:
    vectors, whole, expected = torch.randn(80, 8, generator=generator), empty_graph(80), empty_graph(80)
    for first, last in ((0, 1), (1, 2), (2, 50), (50, 80)):
        for graph, add in ((whole, hnsw_add), (expected, hnsw_reference.add)):
            part = first_part(graph, last)
            add(vectors[:last], first, part)
            graph.neighbors[: len(part.neighbors)], graph.entry = part.neighbors, part.entry
    assert_same_graph(whole, expected)


@pytest.mark.parametrize("metric", METRICS)
def test_every_instruction_set_and_number_of_threads_gives_the_same_bits(metric: Metric, generator: Generator) -> None:
    vectors, queries = torch.randn(1000, 21, generator=generator), torch.randn(50, 21, generator=generator)
    seen = []
    for name in fastret._C.available_isas():
        for threads in (1, 3):
            fastret._C.set_isa(name)
            torch.set_num_threads(threads)
            graph = built(vectors, metric)
            seen.append((graph.neighbors, *hnsw_search(queries, vectors, graph, 10, metric, ef=30)))
    for neighbors, scores, ids, counts in seen[1:]:
        assert torch.equal(neighbors, seen[0][0])
        assert same_bits(scores, seen[0][1])
        assert torch.equal(ids, seen[0][2])
        assert counts == seen[0][3]


def test_a_search_does_not_depend_on_its_batch(generator: Generator) -> None:
    vectors, queries = torch.randn(2000, 16, generator=generator), torch.randn(64, 16, generator=generator)
    graph = built(vectors)
    scores, ids, counts = hnsw_search(queries, vectors, graph, 5)
    single = [hnsw_search(query[None], vectors, graph, 5) for query in queries]
    assert torch.equal(ids, torch.cat([answer[1] for answer in single]))
    assert same_bits(scores, torch.cat([answer[0] for answer in single]))
    assert counts.distances == sum(answer[2].distances for answer in single)


@pytest.mark.parametrize("metric", METRICS)
def test_wide_searches_are_exact(metric: Metric, generator: Generator) -> None:
    vectors, queries = torch.randn(600, 9, generator=generator), torch.randn(20, 9, generator=generator)
    scores, ids, counts = hnsw_search(queries, vectors, built(vectors, metric, MANY), 10, metric, ef=600)
    expected_scores, expected_ids = reference.search(queries, vectors, 10, metric)
    assert torch.equal(ids, expected_ids)
    assert same_bits(scores, expected_scores)
    assert counts.searches == counts.exhausted == 20


def test_a_planted_bug_is_noticed(generator: Generator) -> None:
    vectors, queries = torch.randn(600, 9, generator=generator), torch.randn(20, 9, generator=generator)
    graph = built(vectors)
    graph.neighbors[graph.offsets[300] : graph.offsets[301]] = -1  # vector 300 leads nowhere
    graph.neighbors[graph.neighbors == 7] = 8  # and nothing leads to vector 7
    _, ids, _ = hnsw_search(vectors[7:8], vectors, graph, 1, ef=600)
    assert ids.item() != 7
    expected = hnsw_reference.search(queries, vectors, graph, 5)
    assert torch.equal(hnsw_search(queries, vectors, graph, 5)[1], expected[1])


def test_of_equal_vectors_the_smaller_id_is_first(generator: Generator) -> None:
    vectors = torch.randn(50, 5, generator=generator)[torch.randint(50, (400,), generator=generator)]
    scores, ids, _ = hnsw_search(vectors[:30], vectors, built(vectors, M=MANY), 8, ef=400)
    rising = (scores[:, 1:] > scores[:, :-1]) | (ids[:, 1:] > ids[:, :-1])
    assert rising.all()


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_vectors_and_many_neighbours(n: int, generator: Generator) -> None:
    vectors, queries = torch.randn(n, 4, generator=generator), torch.randn(3, 4, generator=generator)
    scores, ids, _ = hnsw_search(queries, vectors, built(vectors), 5)
    assert (ids >= 0).sum(1).tolist() == [n] * 3
    assert scores[:, n:].isposinf().all()
    lims, found, _, _ = hnsw_range_search(queries, vectors, built(vectors), 1e9)
    assert lims.tolist() == [0, n, 2 * n, 3 * n]
    assert found.isfinite().all()
    assert hnsw_search(queries[:0], vectors, built(vectors), 5)[1].shape == (0, 5)
    assert hnsw_search(queries, vectors, built(vectors), 0)[1].shape == (3, 0)


@pytest.mark.parametrize("share", [0.1, 1.0])
def test_nan_is_never_found_and_hides_nothing(share: float, generator: Generator) -> None:
    vectors, queries = torch.randn(500, 6, generator=generator), torch.randn(10, 6, generator=generator)
    with_nan = torch.rand(500, generator=generator) < share
    graph = empty_graph(500, MANY)
    with_nan[int(graph.levels.argmax())] = True  # where searches begin
    vectors[with_nan, 2] = torch.nan
    hnsw_add(vectors, 0, graph)
    scores, ids, _ = hnsw_search(queries, vectors, graph, 600, ef=600)
    expected_scores, expected_ids = reference.search(queries, vectors, 600, "l2")
    assert torch.equal(ids, expected_ids)
    assert torch.equal(scores, expected_scores)
    queries[3, 0] = torch.nan
    assert (hnsw_search(queries, vectors, graph, 5)[1][3] == -1).all()


@pytest.mark.parametrize("metric", METRICS)
def test_range_search_finds_what_a_search_meets(metric: Metric, generator: Generator) -> None:
    vectors, queries = torch.randn(600, 9, generator=generator), torch.randn(20, 9, generator=generator)
    graph, radius = built(vectors, metric, MANY), 6.0 if metric == "l2" else 4.0
    allowed = torch.rand(600, generator=generator) < 0.5
    lims, scores, ids, _ = hnsw_range_search(queries, vectors, graph, radius, metric, ef=600, allowed=allowed)
    expected = reference.range_search(queries, vectors, radius, metric, allowed=allowed)
    assert torch.equal(lims, expected[0])
    assert torch.equal(ids, expected[2])
    assert same_bits(scores, expected[1])
    narrow = hnsw_range_search(queries, vectors, graph, radius, metric, ef=4)
    assert 0 < int(narrow[0][-1]) <= int(hnsw_range_search(queries, vectors, graph, radius, metric, ef=600)[0][-1])


def test_originals_choose_the_neighbours(generator: Generator) -> None:
    vectors = torch.randn(300, 8, generator=generator)
    rounded = vectors.round()
    assert_same_graph(built(rounded, originals=rounded), built(rounded))
    assert not torch.equal(built(rounded, originals=vectors).neighbors, built(rounded).neighbors)


def test_a_graph_that_contradicts_itself_is_walked_without_harm(generator: Generator) -> None:
    vectors, queries = torch.randn(300, 8, generator=generator), torch.randn(5, 8, generator=generator)
    graph = built(vectors)
    wild = torch.randint(-(2**31), 2**31 - 1, graph.neighbors.shape, generator=generator, dtype=torch.int32)
    graph.neighbors[::3] = wild[::3]
    graph.neighbors[1::3] = torch.randint(300, graph.neighbors[1::3].shape, generator=generator, dtype=torch.int32)
    ids = hnsw_search(queries, vectors, graph, 5)[1]
    assert ids.max() < 300


def test_bad_input_is_refused_in_one_sentence(generator: Generator) -> None:
    vectors = torch.randn(20, 4, generator=generator)
    graph, op = built(vectors), torch.ops.fastret
    with pytest.raises(ValueError, match=r'hnsw_search: metric must be "l2" or "ip", got "cosine"'):
        hnsw_search(vectors, vectors, graph, 3, "cosine")
    with pytest.raises(ValueError, match=r"hnsw_search: queries must be \[Q, 4\], got \[20, 3\]"):
        hnsw_search(vectors[:, :3], vectors, graph, 3)
    with pytest.raises(ValueError, match=r"hnsw_search: levels must be \[19\] for 19 vectors, got \[20\]"):
        hnsw_search(vectors, vectors[:19], graph, 3)
    with pytest.raises(TypeError, match=r"hnsw_search: vectors must be float32, got torch.float64"):
        hnsw_search(vectors, vectors.double(), graph, 3)
    with pytest.raises(ValueError, match=r"hnsw_search: allowed must be \[20\] bool, got \[3\] torch.bool"):
        hnsw_search(vectors, vectors, graph, 3, allowed=torch.ones(3, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"hnsw_add: ef_construction must be positive, got 0"):
        hnsw_add(vectors, 20, graph, ef_construction=0)
    with pytest.raises(ValueError, match=r"hnsw_add: first must be at most 20, the number of vectors, got 21"):
        hnsw_add(vectors, 21, graph)
    tables = (graph.offsets, graph.level_starts, graph.neighbors)
    with pytest.raises(RuntimeError, match=r"hnsw_search: entry must be a vector and its highest level, got 20 and 0"):
        op.hnsw_search(vectors, vectors, *tables, torch.tensor([20, 0], dtype=torch.int32), 3, 2, 16, True)
    levels = torch.full((20,), 9, dtype=torch.int32)
    with pytest.raises(RuntimeError, match="hnsw_add_: levels must be from 1 to 3"):
        op.hnsw_add_(vectors, 0, levels, graph.offsets, graph.level_starts, 2, 9, 0.2, False, tables[2], graph.entry)
    with pytest.raises(RuntimeError, match="hnsw_add_: levels must be from 1 to 3"):  # of old vectors, too
        op.hnsw_add_(vectors, 19, levels, graph.offsets, graph.level_starts, 2, 9, 0.2, False, tables[2], graph.entry)
    with pytest.raises(RuntimeError, match="hnsw_add_: prune_headroom must be a number, got NaN"):
        hnsw_add(vectors, 20, graph, prune_headroom=float("nan"))


def test_a_damaged_graph_is_searched_within_its_tables(generator: Generator) -> None:
    vectors = torch.randn(50, 6, generator=generator)
    graph = built(vectors)
    graph.neighbors[::3] = 2**31 - 1
    graph.neighbors[1::3] = -(2**31)
    graph.offsets[1:-1:2] = 2**62
    graph.offsets[:-1:4] = -(2**62)
    graph.level_starts = torch.tensor([0, 8, 12, 2**31 - 1], dtype=torch.int32)
    _, ids, counts = hnsw_search(vectors, vectors, graph, 5)
    assert int(ids.min()) >= -1 and int(ids.max()) < 50 and counts.searches == 50


def test_opcheck(generator: Generator) -> None:
    vectors, queries = torch.randn(40, 8, generator=generator), torch.randn(3, 8, generator=generator)
    graph, op = built(vectors), torch.ops.fastret
    walk = (queries, vectors, graph.offsets, graph.level_starts, graph.neighbors, graph.entry)
    torch.library.opcheck(op.hnsw_search.default, (*walk, 5, 2, 16, True))
    torch.library.opcheck(op.hnsw_range_search.default, (*walk, 5.0, 2, 16, True))
    empty = empty_graph(40)
    tables = (empty.levels, empty.offsets, empty.level_starts)
    arguments = (vectors, 0, *tables, 2, 9, 0.2, False, empty.neighbors, empty.entry)
    torch.library.opcheck(op.hnsw_add_.default, arguments)
