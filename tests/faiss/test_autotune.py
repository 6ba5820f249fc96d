"""Autotuning beside faiss-cpu: ranges, names and settings of parameters, criteria and operating points."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastret.faiss as ours

theirs = pytest.importorskip("faiss")

DIM = 16
VECTORS = np.random.default_rng(0).random((1500, DIM), dtype=np.float32)
QUERIES = VECTORS[:50] + np.float32(0.02)


def space_of(module: Any, description: str) -> Any:
    space = module.ParameterSpace()
    space.verbose = 0
    space.initialize(module.index_factory(DIM, description))
    return space


def ranges(module: Any, space: Any) -> list[tuple[str, list[float]]]:
    entries = [space.parameter_ranges.at(i) for i in range(space.parameter_ranges.size())]
    return [(entry.name, module.vector_to_array(entry.values).tolist()) for entry in entries]


@pytest.mark.parametrize(
    "description",
    [
        *("Flat", "SQ8", "IVF64,Flat", "PCA8,IVF64,Flat", "IVF64_HNSW8,Flat", "IVF16(IVF4,Flat),SQ8", "HNSW8"),
        *("IDMap,IVF16,Flat", "IVF16,Flat,RFlat", "PQ4", "PQ4x4", "PQ8np", "IVF16,PQ4", "OPQ4,IVF16,PQ4x4,RFlat"),
        *("IVF16,PQ4x4fs", "IVF5,Flat"),
    ],
)
def test_ranges_and_their_combinations_are_those_of_faiss(description: str) -> None:
    mine, reference = space_of(ours, description), space_of(theirs, description)
    assert ranges(ours, mine) == ranges(theirs, reference)
    n = mine.n_combinations()
    assert n == reference.n_combinations()
    for cno in range(0, n, max(1, n // 7)):
        assert mine.combination_name(cno) == reference.combination_name(cno)
        for other in range(0, n, max(1, n // 5)):
            assert mine.combination_ge(cno, other) == reference.combination_ge(cno, other)


def test_parameters_are_set_on_the_part_that_has_them() -> None:
    index = ours.index_factory(DIM, "IDMap,PCA8,IVF16(IVF4,Flat),Flat,RFlat")
    ours.ParameterSpace().set_index_parameters(index, "nprobe=5, quantizer_nprobe=3,k_factor_rf=7,max_codes=100")
    lists = ours.extract_index_ivf(index)
    assert (lists.nprobe, lists.max_codes, lists.quantizer.nprobe) == (5, 100, 3)
    assert index.index.k_factor == 7
    ours.ParameterSpace().set_index_parameter(index, "max_codes", np.inf)
    assert lists.max_codes == 0
    ours.ParameterSpace().set_index_parameter(index, "verbose", 1)
    assert index.verbose
    assert lists.verbose


def test_parameters_of_graphs_reach_the_quantizer() -> None:
    for description in ("HNSW8", "IVF16_HNSW8,Flat"):
        index = ours.index_factory(DIM, description)
        ours.ParameterSpace().set_index_parameters(index, "efSearch=77,efConstruction=88")
        graph = getattr(index, "quantizer", index).hnsw
        assert (graph.efSearch, graph.efConstruction) == (77, 88)


def test_parameters_reach_every_shard() -> None:
    parts = [ours.index_factory(DIM, "IVF4,Flat") for _ in range(2)]
    shards = ours.IndexShards(DIM)
    for part in parts:
        shards.add_shard(part)
    ours.ParameterSpace().set_index_parameters(shards, "nprobe=3")
    assert [part.nprobe for part in parts] == [3, 3]


def test_parameters_of_binary_indexes_are_set() -> None:
    for module in (ours, theirs):
        index = module.index_binary_factory(64, "BIVF16_HNSW8")
        module.ParameterSpace().set_index_parameters(index, "nprobe=5,efSearch=99,quantizer_efConstruction=7")
        graph = module.downcast_IndexBinary(index.quantizer).hnsw
        assert (index.nprobe, graph.efSearch, graph.efConstruction) == (5, 99, 7)


@pytest.mark.parametrize("description", ["PQ4", "IVF16,PQ4"])
def test_polysemous_thresholds_are_set_as_by_faiss(description: str) -> None:
    settings_of = []
    for module in (ours, theirs):
        index, fields = module.index_factory(DIM, description), []
        for threshold in (20, 32):
            module.ParameterSpace().set_index_parameter(index, "ht", threshold)
            fields.append((index.polysemous_ht, getattr(index, "search_type", None)))
        settings_of.append(fields)
    assert settings_of[0] == settings_of[1]


def test_a_combination_is_set_by_its_number() -> None:
    for module in (ours, theirs):
        index = module.index_factory(DIM, "IVF64_HNSW8,Flat")
        space = space_of(module, "IVF64_HNSW8,Flat")
        space.set_index_parameters(index, 27)
        assert space.combination_name(27) == "nprobe=8,quantizer_efSearch=64"
        assert index.nprobe == 8


@pytest.mark.parametrize(
    ("description", "text", "sentence"),
    [
        ("Flat", "nprobe=3", r"IndexFlat has no parameter 'nprobe' to set"),
        ("IVF16,Flat", "foo=3", r"IndexIVFFlat has no parameter 'foo' to set"),
        ("IVF16,Flat", "nprobe", r"'nprobe' of 'nprobe' is not name=number"),
        ("IVF16,Flat", "nprobe=many", r"'nprobe=many' of 'nprobe=many' is not name=number"),
    ],
)
def test_parameters_that_are_not_there_are_refused(description: str, text: str, sentence: str) -> None:
    for module in (theirs, ours):
        with pytest.raises(RuntimeError, match=sentence if module is ours else None):
            module.ParameterSpace().set_index_parameters(module.index_factory(DIM, description), text)


def test_criteria_are_those_of_faiss() -> None:
    generator = np.random.default_rng(1)
    true, found = generator.integers(0, 30, (50, 12)), generator.integers(0, 30, (50, 10))
    for name in ("OneRecallAtRCriterion", "IntersectionCriterion"):
        mine, reference = getattr(ours, name)(50, 10), getattr(theirs, name)(50, 10)
        for criterion in (mine, reference):
            criterion.set_groundtruth(None, true)
            assert (criterion.nq, criterion.nnn, criterion.R, criterion.gt_nnn) == (50, 10, 10, 12)
            assert criterion.gt_I.size() == 600
        scores = np.zeros((50, 10), dtype=np.float32)
        expected = reference.evaluate(theirs.swig_ptr(scores), theirs.swig_ptr(found))
        assert mine.evaluate(scores, found) == expected
        assert mine.evaluate(ours.swig_ptr(scores), ours.swig_ptr(found)) == expected


def test_a_criterion_needs_ground_truth() -> None:
    criterion = ours.IntersectionCriterion(50, 10)
    with pytest.raises(RuntimeError, match="10 true neighbours are needed, see set_groundtruth, got 0"):
        criterion.evaluate(None, np.zeros((50, 10), dtype=np.int64))
    with pytest.raises(AssertionError, match=r"D must be \[50, 10\] as I, got \[50, 9\]"):
        criterion.set_groundtruth(np.zeros((50, 9)), np.zeros((50, 10), dtype=np.int64))


quarters = st.integers(0, 8).map(lambda i: i / 4)


@settings(deadline=None, max_examples=100)
@given(points=st.lists(st.tuples(quarters, quarters), max_size=12), perf=quarters)
def test_optimal_points_are_those_of_faiss(points: list[tuple[float, float]], perf: float) -> None:
    mine, reference = ours.OperatingPoints(), theirs.OperatingPoints()
    for i, (reached, t) in enumerate(points):
        assert mine.add(reached, t, f"p{i}", i) == reference.add(reached, t, f"p{i}", i)

    def optimal(found: Any) -> list[tuple[float, float, str, int]]:
        all_of = [found.optimal_pts.at(i) for i in range(found.optimal_pts.size())]
        return [(point.perf, point.t, point.key, point.cno) for point in all_of]

    assert optimal(mine) == optimal(reference)
    assert mine.t_for_perf(perf) == reference.t_for_perf(perf)
    merged, reference_merged = ours.OperatingPoints(), theirs.OperatingPoints()
    assert merged.merge_with(mine, "x ") == reference_merged.merge_with(reference, "x ")
    assert optimal(merged) == optimal(reference_merged)


def test_operating_points_are_written_as_by_faiss(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    texts = []
    for module in (ours, theirs):
        found = module.OperatingPoints()
        for i, (perf, t) in enumerate([(0.5, 1.0), (0.5, 0.5), (0.7, 2.25), (0.6, 3.0)]):
            found.add(perf, t, f"nprobe={i}", i)
        found.all_to_gnuplot(str(tmp_path / "all"))
        found.optimal_to_gnuplot(str(tmp_path / "optimal"))
        texts.append([(tmp_path / name).read_text() for name in ("all", "optimal")])
    assert texts[0] == texts[1]
    ours.OperatingPoints().display()
    assert capfd.readouterr().out.splitlines()[0] == "Tested 0 operating points, 1 ones are Pareto-optimal:"


def test_exploring_finds_settings_that_trade_time_for_recall(capsys: pytest.CaptureFixture[str]) -> None:
    index = ours.index_factory(DIM, "IVF32,Flat")
    index.train(VECTORS)
    index.add(VECTORS)
    criterion = ours.IntersectionCriterion(len(QUERIES), 10)
    criterion.set_groundtruth(*ours.knn(QUERIES, VECTORS, 10))
    space = ours.ParameterSpace()
    space.initialize(index)
    space.n_experiments = 0
    found = space.explore(index, QUERIES, criterion)
    assert found.all_pts.size() == 5
    recalls = [found.all_pts.at(i).perf for i in range(5)]
    assert recalls == sorted(recalls)
    assert recalls[0] < recalls[-1]
    assert found.optimal_pts.at(found.optimal_pts.size() - 1).perf == recalls[-1]
    assert len(capsys.readouterr().out.splitlines()) == 5
    with pytest.raises(AssertionError, match="the criterion is for 50 queries, got 9"):
        space.explore(index, QUERIES[:9], criterion)


def test_exploring_begins_with_the_fastest_and_the_slowest() -> None:
    index = ours.index_factory(DIM, "IVF32,Flat")
    index.train(VECTORS)
    index.add(VECTORS)
    criterion = ours.OneRecallAtRCriterion(len(QUERIES), 1)
    criterion.set_groundtruth(*ours.knn(QUERIES, VECTORS, 1))
    space = ours.ParameterSpace()
    space.verbose = 0
    space.initialize(index)
    space.batchsize = 20
    found = space.explore(index, QUERIES, criterion)
    assert [found.all_pts.at(i).key for i in range(2)] == ["nprobe=1", "nprobe=16"]


def test_lists_are_found_behind_other_indexes() -> None:
    index = ours.index_factory(DIM, "IDMap,PCA8,IVF16,Flat,RFlat")
    assert type(ours.extract_index_ivf(index)).__name__ == "IndexIVFFlat"
    assert ours.try_extract_index_ivf(ours.IndexFlatL2(DIM)) is None
    with pytest.raises(RuntimeError, match="extract_index_ivf: there are no inverted lists in IndexFlatL2"):
        ours.extract_index_ivf(ours.IndexFlatL2(DIM))
