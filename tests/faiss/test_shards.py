"""Several indexes that answer as one, beside those of faiss-cpu."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

import fastret.faiss as ours

theirs = pytest.importorskip("faiss")

BOTH = pytest.mark.parametrize("faiss", [ours, theirs], ids=["ours", "theirs"])
FLATS = pytest.mark.parametrize("flat", ["IndexFlatL2", "IndexFlatIP"])
THREADED = pytest.mark.parametrize("threaded", [False, True])


@FLATS
@THREADED
@pytest.mark.parametrize("n", [0, 2, 100])
def test_shards_with_successive_ids_find_what_one_index_finds(
    flat: str, threaded: bool, n: int, generator: np.random.Generator
) -> None:
    vectors, queries = (generator.standard_normal((m, 6), dtype=np.float32) for m in (n, 9))
    answers, sizes = [], []
    for faiss in (ours, theirs):
        shards, kept = faiss.IndexShards(6, threaded, True), [getattr(faiss, flat)(6) for _ in range(3)]
        for index in kept:
            shards.add_shard(index)
        shards.add(vectors)
        assert shards.ntotal == n
        sizes.append([index.ntotal for index in kept])
        answers.append(shards.search(queries, 7))
    assert sizes[0] == sizes[1]
    one = getattr(ours, flat)(6)
    one.add(vectors)
    alone = one.search(queries, 7)
    for answer, reference, single in zip(*answers, alone, strict=True):
        np.testing.assert_allclose(answer, reference, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(answer, single)


@THREADED
def test_shards_keep_ids_of_their_own(threaded: bool, generator: np.random.Generator) -> None:
    vectors, queries = (generator.standard_normal((m, 6), dtype=np.float32) for m in (50, 4))
    ids = generator.permutation(500)[:50]
    answers = []
    for faiss in (ours, theirs):
        # FAISS's id maps change shared parameters while they search: its threads get in each other's way.
        shards = faiss.IndexShards(6, threaded and faiss is ours, False)
        kept = [faiss.IndexIDMap(faiss.IndexFlatL2(6)) for _ in range(2)]
        for index in kept:
            shards.add_shard(index)
        shards.add_with_ids(vectors, ids)
        np.testing.assert_array_equal(faiss.vector_to_array(kept[1].id_map), ids[25:])
        params = faiss.SearchParameters(sel=faiss.IDSelectorRange(100, 400))
        answers.append([*shards.search(queries, 9), *shards.search(queries, 60, params=params)])
        shards.add(vectors[:4])  # which get the next ids
        assert kept[0].id_map.at(25) == 50
    for answer, reference in zip(*answers, strict=True):
        np.testing.assert_allclose(answer, reference, rtol=1e-5, atol=1e-5)


def test_equal_scores_come_by_id_across_shards() -> None:
    shards = ours.IndexShards(2, False, False)
    for _ in range(3):
        shards.add_shard(ours.IndexIDMap(ours.IndexFlatIP(2)))
    shards.add_with_ids(np.ones((30, 2)), np.random.default_rng(0).permutation(30))
    np.testing.assert_array_equal(shards.search(np.ones((2, 2)), 12)[1], np.tile(np.arange(12), (2, 1)))


def test_a_selector_is_about_the_ids_that_are_returned(generator: np.random.Generator) -> None:
    vectors = generator.standard_normal((40, 6), dtype=np.float32)
    shards, one = ours.IndexShards(6), ours.IndexFlatL2(6)
    for _ in range(3):
        shards.add_shard(ours.IndexFlatL2(6))
    shards.add(vectors)
    one.add(vectors)
    params = ours.SearchParameters(sel=ours.IDSelectorBatch(np.array([1, 14, 20, 39])))
    answers = shards.search(vectors, 6, params=params), one.search(vectors, 6, params=params)
    for answer, expected in zip(*answers, strict=True):
        np.testing.assert_array_equal(answer, expected)


@THREADED
@FLATS
def test_replicas_share_the_queries(threaded: bool, flat: str, generator: np.random.Generator) -> None:
    vectors, queries = (generator.standard_normal((m, 6), dtype=np.float32) for m in (50, 7))
    answers = []
    for faiss in (ours, theirs):
        replicas, kept = faiss.IndexReplicas(6, threaded), [getattr(faiss, flat)(6) for _ in range(3)]
        for index in kept:
            replicas.addIndex(index)
        replicas.add(vectors)
        assert [index.ntotal for index in (replicas, *kept)] == [50] * 4
        np.testing.assert_array_equal(replicas.reconstruct(3), vectors[3])
        answers.append([*replicas.search(queries, 5), *replicas.search(queries[:2], 60)])
        replicas.reset()
        assert [index.ntotal for index in (replicas, *kept)] == [0] * 4
    for answer, reference in zip(*answers, strict=True):
        np.testing.assert_allclose(answer, reference, rtol=1e-5, atol=1e-5)


@BOTH
@pytest.mark.parametrize("name", ["IndexShards", "IndexReplicas"])
def test_what_is_taken_in_and_let_go(faiss: ModuleType, name: str) -> None:
    several, kept = getattr(faiss, name)(), [faiss.IndexFlatIP(7), faiss.IndexFlatIP(7)]
    others = [faiss.IndexFlatIP(5), faiss.IndexFlatL2(7)]
    assert (several.d, several.count(), several.own_indices) == (0, 0, False)
    several.addIndex(kept[0])
    several.addIndex(kept[1])
    assert (several.d, several.metric_type, several.count(), several.is_trained) == (7, 0, 2, True)
    for other in (*others, kept[0]):
        with pytest.raises(RuntimeError):
            several.addIndex(other)
    with pytest.raises(RuntimeError):
        several.removeIndex(others[0])
    with pytest.raises(TypeError):
        several.addIndex(5)
    several.removeIndex(kept[0])
    assert several.count() == 1
    several.syncWithSubIndexes()
    with pytest.raises(RuntimeError):
        several.range_search(np.zeros((1, 7)), 1)
    with pytest.raises(RuntimeError):
        several.remove_ids(np.arange(2))
    for absent in ("threaded", "own_fields", "nprobe"):
        assert not hasattr(several, absent)


@BOTH
def test_what_shards_refuse(faiss: ModuleType) -> None:
    x, kept = np.zeros((6, 4), np.float32), [faiss.IndexFlatL2(4), faiss.IndexFlatL2(4)]
    shards = faiss.IndexShards(4)
    for index in kept:
        shards.add_shard(index)
    with pytest.raises(RuntimeError):
        shards.add_with_ids(x, np.arange(6))
    shards.add(x)
    with pytest.raises(RuntimeError):
        shards.add(x)
    shards.successive_ids = False
    with pytest.raises(RuntimeError):  # flat indexes take no ids
        shards.add(x)
    assert faiss.IndexShards(True, False).successive_ids is False


@THREADED
@pytest.mark.parametrize("name", ["IndexBinaryShards", "IndexBinaryReplicas"])
def test_binary_vectors(name: str, threaded: bool, generator: np.random.Generator) -> None:
    vectors, queries = (generator.integers(0, 256, (m, 2)).astype(np.uint8) for m in (40, 5))
    answers: list[Any] = []
    for faiss in (ours, theirs):
        several, kept = getattr(faiss, name)(16, threaded), [faiss.IndexBinaryFlat(16) for _ in range(3)]
        for index in kept:
            several.addIndex(index)
        several.add(vectors)
        answers.append([several.search(queries, 60)[0], several.search(queries, 7)[0]])
    for answer, reference in zip(*answers, strict=True):
        assert answer.dtype == reference.dtype
        np.testing.assert_array_equal(answer, reference)
