"""The metrics beyond inner product and L2 beside those of faiss-cpu."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import fastret.faiss as ours

theirs = pytest.importorskip("faiss")

NAMES = ["L1", "Linf", "Lp", "Canberra", "BrayCurtis", "JensenShannon", "Jaccard", "NaNEuclidean", "GOWER"]
METRICS = pytest.mark.parametrize("metric", [getattr(theirs, f"METRIC_{name}") for name in NAMES], ids=NAMES)
P = 1.5  # of Lp


def vectors_for(metric: int, n: int, d: int, rng: np.random.Generator) -> np.ndarray:
    """Vectors for which the metric is meant."""
    x = rng.random((n, d), dtype=np.float32)
    if metric == theirs.METRIC_GOWER:
        x[:, ::2] = -rng.integers(1, 4, x[:, ::2].shape)
    if metric in (theirs.METRIC_GOWER, theirs.METRIC_NaNEuclidean):
        x[rng.random(x.shape) < 0.1] = np.nan
    return x


def assert_close(scores: Any, reference: Any) -> None:
    # faiss sums d = 24 terms of at most about 1 in float32, from logarithms and powers of a few roundings each.
    np.testing.assert_allclose(scores, reference, rtol=24 * 2**-23, atol=24 * 2**-22)


@METRICS
@pytest.mark.parametrize(("n", "q", "k"), [(3000, 5, 10), (700, 70, 3), (4, 2, 6), (0, 2, 3), (30, 0, 2)])
def test_search_and_knn_give_the_same_neighbours(
    metric: int, n: int, q: int, k: int, generator: np.random.Generator
) -> None:
    keys, queries = vectors_for(metric, n, 24, generator), vectors_for(metric, q, 24, generator)
    index, reference = ours.IndexFlat(24, metric), theirs.IndexFlat(24, metric)
    for one in (index, reference):
        one.metric_arg = P
        one.add(keys)
    expected = reference.search(queries, k)
    answers = [index.search(queries, k), ours.knn(queries, keys, k, metric, P)]
    for scores, ids in answers:
        assert (scores.dtype, ids.dtype) == (np.float32, np.int64)
        assert_close(scores, expected[0])
        exact = ours.pairwise_distances(queries, keys, metric, P)
        for row, mine, others in zip(exact, ids, expected[1], strict=True):
            # Where rounding orders neighbours otherwise than faiss, their scores are as close as rounding.
            differing = mine != others
            assert_close(row[mine[differing]], row[others[differing]])
            assert (mine >= 0).sum() == (others >= 0).sum()
    np.testing.assert_array_equal(answers[0][1], answers[1][1])


@METRICS
def test_pairwise_distances_agree_where_a_metric_applies_and_where_not(
    metric: int, generator: np.random.Generator
) -> None:
    keys, queries = generator.standard_normal((50, 6)), generator.standard_normal((40, 6))
    keys[:5], keys[5:10, 2], queries[:2], keys[10] = 0, np.nan, 0, np.nan
    with np.errstate(all="ignore"):
        scores = ours.pairwise_distances(queries, keys, metric, 3.0)
        reference = theirs.pairwise_distances(queries, keys, metric, 3.0)
    finite = np.abs(reference) < 100  # Bray-Curtis and Jaccard divide by sums that may nearly vanish
    np.testing.assert_array_equal(np.isnan(scores), np.isnan(reference))
    np.testing.assert_allclose(scores[finite], reference[finite], rtol=1e-3, atol=1e-5)


@METRICS
def test_range_search_finds_the_same(metric: int, generator: np.random.Generator) -> None:
    keys, queries = vectors_for(metric, 900, 24, generator), vectors_for(metric, 70, 24, generator)
    index, reference = ours.IndexFlat(24, metric), theirs.IndexFlat(24, metric)
    index.metric_arg = reference.metric_arg = P
    index.add(keys)
    reference.add(keys)
    distances = np.sort(ours.pairwise_distances(queries, keys, metric, P).ravel())
    # Between two scores, so that rounding moves nothing across the radius.
    place = 2000 + np.diff(distances[2000:2200]).argmax()
    radius = float((distances[place] + distances[place + 1]) / 2)
    for lims, expected in zip(
        index.range_search(queries, radius), reference.range_search(queries, radius), strict=True
    ):
        assert_close(lims.astype(np.float64), expected.astype(np.float64))


@METRICS
def test_selectors_restrict_search_and_range_search(metric: int, generator: np.random.Generator) -> None:
    keys, queries = vectors_for(metric, 300, 24, generator), vectors_for(metric, 3, 24, generator)
    index = ours.IndexFlat(24, metric)
    index.metric_arg = P
    index.add(keys)
    chosen = np.array([7, 11, 200, 299])
    params = ours.SearchParameters(sel=ours.IDSelectorBatch(chosen))
    scores, ids = index.search(queries, 5, params=params)
    alone = ours.knn(queries, keys[chosen], 5, metric, P)
    np.testing.assert_array_equal(ids, np.where(alone[1] < 0, -1, chosen[alone[1]]))
    np.testing.assert_array_equal(scores, alone[0])
    radius = -1.0 if metric == ours.METRIC_Jaccard else 100.0
    np.testing.assert_array_equal(index.range_search(queries, radius, params=params)[2], np.tile(chosen, 3))


@METRICS
def test_equal_scores_come_by_id_and_bits_do_not_depend_on_the_batch(
    metric: int, generator: np.random.Generator
) -> None:
    keys = np.tile(vectors_for(metric, 40, 9, generator), (60, 1))
    queries = vectors_for(metric, 130, 9, generator)
    scores, ids = ours.knn(queries, keys, 90, metric, P)
    assert (np.diff(ids)[np.diff(scores) == 0] > 0).all()
    for q in (0, 64, 129):
        alone = ours.knn(queries[q : q + 1], keys, 90, metric, P)
        np.testing.assert_array_equal(alone[0][0].view(np.int32), scores[q].view(np.int32))
        np.testing.assert_array_equal(alone[1][0], ids[q])


def test_parts_of_the_keys_are_merged(monkeypatch: pytest.MonkeyPatch, generator: np.random.Generator) -> None:
    keys, queries = generator.integers(0, 3, (500, 5)), generator.integers(0, 3, (9, 5))
    whole = ours.knn(queries, keys, 60, ours.METRIC_L1)
    monkeypatch.setattr("fastret.faiss.extra_metrics._SCORES", 64 * 37)
    monkeypatch.setattr("fastret.faiss.extra_metrics._PAIRS", 9 * 10)
    for answer, expected in zip(ours.knn(queries, keys, 60, ours.METRIC_L1), whole, strict=True):
        np.testing.assert_array_equal(answer, expected)
    distances = np.abs(queries[:, None] - keys).sum(2)
    np.testing.assert_array_equal(whole[1], np.argsort(distances, 1, kind="stable")[:, :60])


@METRICS
def test_files_go_both_ways(metric: int, generator: np.random.Generator, tmp_path: Path) -> None:
    index = ours.IndexFlat(24, metric)
    index.metric_arg = P
    index.add(vectors_for(metric, 20, 24, generator))
    ours.write_index(index, tmp_path / "ours")
    reference = theirs.read_index(str(tmp_path / "ours"))
    assert (reference.metric_type, reference.metric_arg, reference.ntotal) == (metric, P, 20)
    theirs.write_index(reference, str(tmp_path / "theirs"))
    back = ours.read_index(tmp_path / "theirs")
    assert (back.metric_type, back.metric_arg, back.ntotal) == (metric, P, 20)


def test_a_metric_may_be_set_later(generator: np.random.Generator) -> None:
    keys, queries = generator.random((100, 8), dtype=np.float32), generator.random((4, 8), dtype=np.float32)
    index, reference = ours.IndexFlatL2(8), theirs.IndexFlatL2(8)
    index.add(keys)
    reference.add(keys)
    for metric in (theirs.METRIC_L1, theirs.METRIC_INNER_PRODUCT, theirs.METRIC_Linf, theirs.METRIC_L2):
        index.metric_type = reference.metric_type = metric
        np.testing.assert_array_equal(index.search(queries, 5)[1], reference.search(queries, 5)[1])


def test_cosine_is_there_too() -> None:
    keys, queries = torch.randn(50, 8), torch.randn(3, 8)
    index = ours.IndexFlat(8, ours.METRIC_COSINE)
    index.add(keys)
    expected = torch.nn.functional.normalize(queries) @ torch.nn.functional.normalize(keys).T
    for scores, ids in (index.search(queries, 5), ours.knn(queries, keys, 5, ours.METRIC_COSINE)):
        assert torch.equal(ids, expected.topk(5).indices)
        torch.testing.assert_close(scores, expected.topk(5).values)
    torch.testing.assert_close(ours.pairwise_distances(queries, keys, ours.METRIC_COSINE), expected)


@pytest.mark.parametrize("metric", [theirs.METRIC_L2, theirs.METRIC_INNER_PRODUCT])
def test_pairwise_distances_are_the_scores_of_search(metric: int, generator: np.random.Generator) -> None:
    keys, queries = generator.standard_normal((50, 8)), generator.standard_normal((3, 8))
    scores = ours.pairwise_distances(queries, keys, metric)
    np.testing.assert_allclose(scores, theirs.pairwise_distances(queries, keys, metric), rtol=1e-5, atol=1e-5)
    found, ids = ours.knn(queries, keys, 50, metric)
    np.testing.assert_array_equal(np.take_along_axis(scores, ids, 1), found)


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda faiss, x: faiss.knn(x, x, 1, 77), RuntimeError),
        (lambda faiss, x: faiss.IndexFlat(4, 77).search(x, 1), RuntimeError),
        (lambda faiss, x: faiss.pairwise_distances(x, x, 77), RuntimeError),
        (lambda faiss, x: faiss.pairwise_distances(x, x[:, :2]), AssertionError),
        (lambda faiss, x: faiss.pairwise_distances(x[0], x), ValueError),
    ],
)
def test_what_is_refused(call: Any, kind: type[Exception]) -> None:
    for faiss in (ours, theirs):
        with pytest.raises(kind):
            call(faiss, np.zeros((3, 4), np.float32))


def test_jaccard_is_a_similarity() -> None:
    assert ours.is_similarity_metric(ours.METRIC_Jaccard) == theirs.is_similarity_metric(theirs.METRIC_Jaccard) is True
