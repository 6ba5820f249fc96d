"""Flat binary indexes, ids, hash tables, graphs and functions on bits beside those of faiss-cpu; files both ways."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hamming_neighbours import assert_same_neighbours, assert_same_range

import fastret.faiss as ours

theirs = pytest.importorskip("faiss")

BOTH = pytest.mark.parametrize("faiss", [ours, theirs], ids=["ours", "theirs"])
BITS = 64


def codes(n: int, generator: np.random.Generator, d: int = BITS) -> np.ndarray:
    """Some of them near to each other."""
    centres = generator.integers(0, 256, (7, d // 8), dtype=np.uint8)
    noise = generator.integers(0, 256, (3, n, d // 8), dtype=np.uint8)
    return centres[generator.integers(0, 7, n)] ^ (noise[0] & noise[1] & noise[2])


def filled_pair(description: str, vectors: np.ndarray) -> tuple[Any, Any]:
    pair = [faiss.index_binary_factory(8 * vectors.shape[1], description) for faiss in (ours, theirs)]
    for index in pair:
        if "IDMap" in description:
            index.add_with_ids(vectors, np.arange(len(vectors), dtype=np.int64)[::-1].copy() * 3)
        else:
            index.add(vectors)
    return pair[0], pair[1]


@pytest.mark.parametrize("d", [8, 64, 104, 256, 512])
def test_flat_search(d: int, generator: np.random.Generator) -> None:
    vectors, queries = codes(900, generator, d), codes(11, generator, d)
    index, reference = filled_pair("BFlat", vectors)
    for k in (1, 10, 1000):
        assert_same_neighbours(index.search(queries, k), reference.search(queries, k))
    for radius in (0, d // 8, d):
        assert_same_range(index.range_search(queries, radius), reference.range_search(queries, radius))
    np.testing.assert_array_equal(index.assign(queries, 1), index.search(queries, 1)[1])


@pytest.mark.parametrize("description", ["BFlat", "BFlat,IDMap", "BFlat,IDMap2", "IDMap,BHash8"])
def test_programs_give_the_same_answers(description: str, generator: np.random.Generator, tmp_path: Path) -> None:
    vectors, queries = codes(120, generator), codes(9, generator)
    pair = filled_pair(description, vectors)
    for step in range(5):
        index, reference = pair
        assert (index.ntotal, index.d, index.code_size) == (reference.ntotal, reference.d, reference.code_size)
        for k in (1, 5, 200):
            assert_same_neighbours(index.search(queries, k), reference.search(queries, k))
        assert_same_range(index.range_search(queries, 20), reference.range_search(queries, 20))
        if "Hash" not in description and step % 2:
            gone = np.arange(3 * step, 90 + step, 7)
            assert index.remove_ids(gone) == reference.remove_ids(gone)
        elif step == 4:
            index.reset()
            reference.reset()
        else:  # each goes on with what the other wrote
            names = [str(tmp_path / f"{step}_{name}") for name in ("ours", "theirs")]
            ours.write_index_binary(index, names[0])
            theirs.write_index_binary(reference, names[1])
            pair = ours.read_index_binary(names[1]), theirs.read_index_binary(names[0])


@pytest.mark.parametrize("description", ["BFlat", "IDMap,BFlat", "BFlat,IDMap2", "BHNSW8"])
def test_files_are_the_same_byte_for_byte(description: str, generator: np.random.Generator) -> None:
    index, reference = filled_pair(description, codes(150, generator))
    if "HNSW" in description:  # what ours makes of theirs
        index = ours.deserialize_index_binary(theirs.serialize_index_binary(reference))
    np.testing.assert_array_equal(ours.serialize_index_binary(index), theirs.serialize_index_binary(reference))


@pytest.mark.parametrize("cut", [0, 3, 10, 40, -1])
def test_truncated_files_are_refused(cut: int, generator: np.random.Generator, tmp_path: Path) -> None:
    data = theirs.serialize_index_binary(filled_pair("BFlat,IDMap", codes(20, generator))[1])
    file = tmp_path / "cut"
    file.write_bytes(data[:cut].tobytes())
    with pytest.raises(RuntimeError, match="cut"):
        ours.read_index_binary(file)


def test_files_of_other_indexes_are_refused(tmp_path: Path) -> None:
    ours.write_index(ours.IndexFlatL2(4), tmp_path / "float")
    with pytest.raises(RuntimeError, match="IxF2"):
        ours.read_index_binary(tmp_path / "float")
    with pytest.raises(TypeError, match="IndexFlatL2 is no binary index"):
        ours.write_index_binary(ours.IndexFlatL2(4), tmp_path / "other")


@pytest.mark.parametrize("description", ["BFlat", "BFlat,IDMap2", "BHNSW8", "BHash8", "BHash4x8"])
@pytest.mark.parametrize(
    "copied", [copy.deepcopy, copy.copy, lambda index: pickle.loads(pickle.dumps(index)), ours.clone_binary_index]
)
def test_copies_are_their_own(description: str, copied: Callable[[Any], Any], generator: np.random.Generator) -> None:
    vectors = codes(100, generator)
    index, _ = filled_pair(description, vectors)
    before = index.search(vectors[:5], 4)
    clone = copied(index)
    index.reset()
    for part, expected in zip(clone.search(vectors[:5], 4), before, strict=True):
        np.testing.assert_array_equal(part, expected)


@pytest.mark.parametrize("nflip", [0, 1, 3])
@pytest.mark.parametrize("description", ["BHash10", "BHash4x10"])
def test_hash_tables(description: str, nflip: int, generator: np.random.Generator) -> None:
    vectors, queries = codes(800, generator), codes(30, generator)
    index, reference = filled_pair(description, vectors)
    assert index.hashtable_size() == reference.hashtable_size()
    for one, other in (
        (index, reference),
        (
            ours.deserialize_index_binary(theirs.serialize_index_binary(reference)),
            theirs.deserialize_index_binary(ours.serialize_index_binary(index)),
        ),
    ):
        one.nflip = other.nflip = nflip
        for k in (1, 20):
            assert_same_neighbours(one.search(queries, k), other.search(queries, k))
        assert_same_range(one.range_search(queries, 15), other.range_search(queries, 15))


def test_graphs_find_as_much(generator: np.random.Generator) -> None:
    vectors, queries = (generator.integers(0, 256, (n, 8), dtype=np.uint8) for n in (1500, 50))
    exact = ours.knn_hamming(queries, vectors, 10)[0]
    index, reference = filled_pair("BHNSW16", vectors)
    of_theirs = ours.deserialize_index_binary(theirs.serialize_index_binary(reference))
    of_ours = theirs.deserialize_index_binary(ours.serialize_index_binary(index))
    reference.hnsw.efSearch = 64
    expected = (reference.search(queries, 10)[0] == exact).mean()
    for one in (index, of_theirs, of_ours):
        one.hnsw.efSearch = 64
        distances, ids = one.search(queries, 10)
        assert (distances == exact).mean() > expected - 0.03
        np.testing.assert_array_equal(np.unpackbits(vectors[ids] ^ queries[:, None], axis=2).sum(2), distances)


@pytest.mark.parametrize("metric", ["METRIC_L2", "METRIC_INNER_PRODUCT"])
def test_indexes_of_floats(metric: str, generator: np.random.Generator) -> None:
    vectors, queries = codes(200, generator), codes(9, generator)
    pair = [faiss.IndexBinaryFromFloat(faiss.IndexFlat(BITS, getattr(faiss, metric))) for faiss in (ours, theirs)]
    for index in pair:
        index.add(vectors)
    assert_same_neighbours(pair[0].search(queries, 5), pair[1].search(queries, 5))
    np.testing.assert_array_equal(ours.serialize_index_binary(pair[0]), theirs.serialize_index_binary(pair[1]))
    again = ours.deserialize_index_binary(theirs.serialize_index_binary(pair[1]))
    assert_same_neighbours(again.search(queries, 5), pair[1].search(queries, 5))


def test_only_selected_ids_are_found(generator: np.random.Generator) -> None:
    vectors = codes(300, generator)
    for description in ("BFlat", "BFlat,IDMap"):
        index, reference = filled_pair(description, vectors)
        answers = [
            one.search(vectors[:9], 7, params=faiss.SearchParameters(sel=faiss.IDSelectorRange(30, 200)))
            for one, faiss in ((index, ours), (reference, theirs))
        ]
        if description == "BFlat":
            assert ((answers[0][1] >= 30) & (answers[0][1] < 200)).all()
        else:
            assert_same_neighbours(*answers)


def test_vectors_come_back(generator: np.random.Generator) -> None:
    vectors = codes(50, generator)
    index, _ = filled_pair("BFlat", vectors)
    np.testing.assert_array_equal(index.reconstruct(7), vectors[7])
    np.testing.assert_array_equal(index.reconstruct_n(3, 4), vectors[3:7])
    np.testing.assert_array_equal(index.reconstruct_n(), vectors)
    np.testing.assert_array_equal(ours.vector_to_array(index.xb), vectors.reshape(-1))
    _, ids, found = index.search_and_reconstruct(vectors[:2], 60)
    np.testing.assert_array_equal(found[:, :50], vectors[ids[:, :50]])
    assert (found[:, 50:] == 255).all()
    for key in (-1, 50):
        with pytest.raises(RuntimeError, match=f"vectors {key} to {key} of 50 were asked for"):
            index.reconstruct(key)
    mapped, reference = filled_pair("BFlat,IDMap2", vectors)
    np.testing.assert_array_equal(mapped.reconstruct(6), reference.reconstruct(6))
    with pytest.raises(RuntimeError, match="there is no vector of id 7"):
        mapped.reconstruct(7)


def test_torch_in_and_out(generator: np.random.Generator) -> None:
    vectors = torch.from_numpy(codes(50, generator))
    index = ours.IndexBinaryFlat(BITS)
    index.add(vectors)
    distances, ids = index.search(vectors[:3], 2)
    assert distances.dtype == torch.int32
    assert ids[:, 0].tolist() == [0, 1, 2]


def test_given_arrays_are_filled(generator: np.random.Generator) -> None:
    index, _ = filled_pair("BFlat", codes(50, generator))
    D, I = np.empty((3, 2), np.int32), np.empty((3, 2), np.int64)  # noqa: E741
    assert index.search(index.reconstruct_n(0, 3), 2, D=D, I=I)[1] is I
    assert I[:, 0].tolist() == [0, 1, 2]


@BOTH
@pytest.mark.parametrize(
    ("error", "call"),
    [
        (RuntimeError, lambda faiss, index, x: faiss.IndexBinaryFlat(7)),
        (TypeError, lambda faiss, index, x: index.add(x.astype(np.float32))),
        (TypeError, lambda faiss, index, x: index.search(x.view(np.int8), 1)),
        (ValueError, lambda faiss, index, x: index.add(x[0])),
        (AssertionError, lambda faiss, index, x: index.add(x[:, :3])),
        (AssertionError, lambda faiss, index, x: index.search(x, 0)),
        (TypeError, lambda faiss, index, x: index.range_search(x, 8.5)),
        (RuntimeError, lambda faiss, index, x: index.add_with_ids(x, np.arange(len(x)))),
        (RuntimeError, lambda faiss, index, x: index.merge_from(faiss.IndexBinaryFlat(BITS))),
        (RuntimeError, lambda faiss, index, x: faiss.IndexBinaryIDMap(index)),
        (RuntimeError, lambda faiss, index, x: faiss.IndexBinaryIDMap(faiss.IndexBinaryFlat(BITS)).add(x)),
        (TypeError, lambda faiss, index, x: faiss.IndexBinaryIDMap(faiss.IndexFlatL2(4))),
        (RuntimeError, lambda faiss, index, x: faiss.index_binary_factory(BITS, "Flat")),
        (RuntimeError, lambda faiss, index, x: faiss.index_binary_factory(BITS, "BHNSW")),
        (RuntimeError, lambda faiss, index, x: faiss.IndexBinaryMultiHash(32, 5, 8)),
        (RuntimeError, lambda faiss, index, x: faiss.read_index_binary("/nonexistent/file")),
        (AssertionError, lambda faiss, index, x: faiss.knn_hamming(x, x[:, :3], 1)),
        (AttributeError, lambda faiss, index, x: index.nprobe),
    ],
)
def test_errors_are_of_the_same_kind(
    faiss: ModuleType, error: type[Exception], call: Callable[..., Any], generator: np.random.Generator
) -> None:
    vectors = codes(20, generator)
    index = faiss.IndexBinaryFlat(BITS)
    index.add(vectors)
    with pytest.raises(error):
        call(faiss, index, vectors)


@pytest.mark.parametrize("variant", ["hc", "mc"])
def test_knn_hamming(variant: str, generator: np.random.Generator) -> None:
    vectors, queries = codes(300, generator), codes(9, generator)
    assert_same_neighbours(
        ours.knn_hamming(queries, vectors, 5, variant), theirs.knn_hamming(queries, vectors, 5, variant)
    )


@pytest.mark.parametrize("widths", [1, 3, 8, 13, [3, 9, 5, 1, 16], [0, 30, 2, 7, 1]])
def test_bit_strings(widths: Any, generator: np.random.Generator) -> None:
    numbers = generator.integers(0, 2 ** np.broadcast_to(widths, 5), (20, 5))
    packed = ours.pack_bitstrings(numbers, widths)
    np.testing.assert_array_equal(packed, theirs.pack_bitstrings(numbers, widths))
    arguments = (5, widths) if isinstance(widths, int) else (widths,)
    np.testing.assert_array_equal(ours.unpack_bitstrings(packed, *arguments), numbers)
    np.testing.assert_array_equal(
        ours.unpack_bitstrings(packed, *arguments), theirs.unpack_bitstrings(packed, *arguments)
    )
    with pytest.raises(AssertionError, match="bits are needed in a row"):
        ours.unpack_bitstrings(packed[:, :0], *arguments)


def test_functions_on_pointers(generator: np.random.Generator) -> None:
    floats = generator.standard_normal((6, 20)).astype(np.float32)
    floats[0, :3] = 0
    results = []
    for faiss in (ours, theirs):
        signs, back = np.zeros((6, 3), np.uint8), np.zeros((6, 20), np.float32)
        faiss.fvecs2bitvecs(faiss.swig_ptr(floats), faiss.swig_ptr(signs), 20, 6)
        faiss.bitvecs2fvecs(faiss.swig_ptr(signs), faiss.swig_ptr(back), 20, 6)
        positive, numbers = np.zeros(15, np.uint8), np.zeros(120, np.float32)
        faiss.real_to_binary(120, faiss.swig_ptr(floats), faiss.swig_ptr(positive))
        faiss.binary_to_real(120, faiss.swig_ptr(positive), faiss.swig_ptr(numbers))
        results.append((signs, back, positive, numbers))
    for mine, expected in zip(*results, strict=True):
        np.testing.assert_array_equal(mine, expected)
