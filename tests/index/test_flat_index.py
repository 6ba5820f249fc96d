"""FlatIndex answers like fastret.search over the same rows, whatever was added and removed before."""

from __future__ import annotations

import copy
import sys
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import fastret
from fastret import FlatIndex

METRICS = ("ip", "cosine", "l2")


def vectors(n: int, dim: int = 8, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=METRICS)
def metric(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_search_gives_the_bits_of_fastret_search(metric: str) -> None:
    keys, queries = vectors(300), vectors(20, seed=1)
    index = FlatIndex(8, metric)
    for part in keys.split(37):
        index.add(part)
    expected_scores, expected_ids = fastret.search(queries, keys, 7, metric)
    scores, ids = index.search(queries, 7)
    assert torch.equal(scores, expected_scores)
    assert torch.equal(ids, expected_ids)
    assert scores.dtype == torch.float32
    assert ids.dtype == torch.int64


def test_a_query_scores_the_same_alone_and_in_a_batch(metric: str) -> None:
    index = FlatIndex(8, metric)
    index.add(vectors(200))
    queries = vectors(33, seed=1)
    together = index.search(queries, 5)
    alone = [index.search(query[None], 5) for query in queries]
    assert torch.equal(torch.cat([scores for scores, _ in alone]), together[0])
    assert torch.equal(torch.cat([ids for _, ids in alone]), together[1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_vectors_are_kept_in_the_dtype_of_the_index(dtype: torch.dtype) -> None:
    index = FlatIndex(8, dtype=dtype)
    keys = vectors(50).to(dtype)
    index.add(keys)
    assert index.reconstruct(7).dtype == dtype
    assert torch.equal(index.vectors, keys)
    scores, ids = index.search(keys[:3], 4)
    expected = fastret.search(keys[:3], keys, 4)
    assert torch.equal(scores, expected[0])
    assert torch.equal(ids, expected[1])


def test_added_vectors_are_rounded_to_the_dtype_of_the_index() -> None:
    index = FlatIndex(1, dtype=torch.bfloat16)
    index.add(torch.tensor([[1.0 + 2**-10]]))
    assert index.reconstruct(0).item() == 1.0


def test_float32_queries_meet_half_precision_vectors_at_their_exact_values(metric: str) -> None:
    keys, queries = vectors(60).half(), vectors(5, seed=1)
    index = FlatIndex(8, metric, dtype=torch.float16)
    index.add(keys)
    scores, ids = index.search(queries, 6)
    expected_scores, expected_ids = fastret.search(queries, keys.float(), 6, metric)
    assert torch.equal(scores, expected_scores)
    assert torch.equal(ids, expected_ids)


def test_numpy_in_numpy_out() -> None:
    index = FlatIndex(8)
    index.add(vectors(10).numpy())
    scores, ids = index.search(vectors(2, seed=1).numpy(), 3)
    lims, range_scores, range_ids = index.range_search(vectors(2, seed=1).numpy(), 0.0)
    assert all(isinstance(array, np.ndarray) for array in (scores, ids, lims, range_scores, range_ids))
    assert scores.dtype == np.float32
    assert ids.dtype == lims.dtype == range_ids.dtype == np.int64


def test_the_index_keeps_no_view_of_what_was_added() -> None:
    index, keys = FlatIndex(8), vectors(4)
    original = keys.clone()
    index.add(keys)
    keys.zero_()
    assert torch.equal(index.vectors, original)
    index.reconstruct(0).zero_()
    assert torch.equal(index.reconstruct(0), original[0])


class FakeCupyArray:
    """What fastret asks of a CuPy array, in CPU memory."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor

    __cuda_array_interface__: ClassVar[dict[str, int]] = {"version": 3}

    def __dlpack__(self, **arguments: object) -> object:
        return self.tensor.__dlpack__(**arguments)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.tensor.__dlpack_device__()


def test_cupy_in_cupy_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(from_dlpack=FakeCupyArray))
    index = FlatIndex(8)
    index.add(FakeCupyArray(vectors(10)))
    queries = FakeCupyArray(vectors(2, seed=1))
    answer = (*index.search(queries, 3), *index.range_search(queries, 0.0))
    expected = (*index.search(queries.tensor, 3), *index.range_search(queries.tensor, 0.0))
    assert all(isinstance(array, FakeCupyArray) for array in answer)
    assert all(torch.equal(array.tensor, tensor) for array, tensor in zip(answer, expected, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_index_over_vectors_shares_them_until_it_grows(metric: str, dtype: torch.dtype) -> None:
    keys, queries = vectors(100).to(dtype), vectors(5, seed=1)
    before = keys.clone()
    index = FlatIndex.over(keys, metric)
    assert index.vectors.data_ptr() == keys.data_ptr()
    for answer, expected in zip(index.search(queries, 7), fastret.search(queries, keys, 7, metric), strict=True):
        assert torch.equal(answer, expected)
    index.add(keys[:3])
    assert (index.ntotal, index.dtype) == (103, dtype)
    index.remove([0])
    assert torch.equal(keys, before)
    with pytest.raises(ValueError, match=r"^FlatIndex.over: vectors must be \[N, D\], got \[8\]$"):
        FlatIndex.over(keys[0], metric)


def test_a_copy_is_an_index_of_its_own() -> None:
    index = FlatIndex(8)
    for row in vectors(5).split(1):
        index.add(row)
    other = copy.copy(index)
    other.add(torch.zeros(1, 8))
    index.add(torch.ones(1, 8))
    assert torch.equal(other.reconstruct(5), torch.zeros(8))
    assert torch.equal(index.reconstruct(5), torch.ones(8))


def test_vectors_that_require_a_gradient_are_stored_without_it() -> None:
    index = FlatIndex(8)
    index.add(vectors(4).requires_grad_())
    scores, _ = index.search(vectors(1).requires_grad_(), 1)
    assert not index.vectors.requires_grad
    assert not scores.requires_grad


def test_equal_scores_come_with_the_smaller_id_first_also_for_own_ids_in_any_order(metric: str) -> None:
    index = FlatIndex(4, metric)
    same = torch.ones(1, 4)
    for id in (40, 7, 99, 23, 0):
        index.add(same, [id])
    _, ids = index.search(same, 5)
    assert ids.tolist() == [[0, 7, 23, 40, 99]]
    index.remove([7, 40])
    index.add(same, [5])
    index.add(same)  # takes id 100
    _, ids = index.search(same, 6)
    assert ids.tolist() == [[0, 5, 23, 99, 100, -1]]


def test_default_ids_are_consecutive_and_never_given_twice() -> None:
    index = FlatIndex(8)
    index.add(vectors(3))
    index.add(vectors(1), ids=[10])
    index.add(vectors(2))
    assert index.ids.tolist() == [0, 1, 2, 10, 11, 12]
    assert index.remove([12]) == 1
    index.add(vectors(1))
    assert index.ids.tolist() == [0, 1, 2, 10, 11, 13]
    index.reset()
    index.add(vectors(1))
    assert index.ids.tolist() == [0]


operations = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.lists(st.integers(0, 30), unique=True, max_size=6)),
        st.tuples(st.just("add_default"), st.integers(0, 4)),
        st.tuples(st.just("remove"), st.lists(st.integers(0, 40), max_size=5)),
        st.tuples(st.just("search"), st.integers(0, 8)),
    ),
    max_size=12,
)


@settings(deadline=None, max_examples=60)
@given(operations=operations, metric=st.sampled_from(METRICS))
def test_any_sequence_of_changes_answers_like_a_dictionary(operations: list[tuple[str, object]], metric: str) -> None:
    generator = torch.Generator().manual_seed(0)
    index, model, next_id = FlatIndex(3, metric), dict[int, torch.Tensor](), 0
    for name, argument in [*operations, ("search", 50)]:
        if name == "add":
            ids = [id for id in argument if id not in model]
        elif name == "add_default":
            ids = list(range(next_id, next_id + argument))
        elif name == "remove":
            present = {id for id in argument if id in model}
            assert index.remove(argument) == len(present)
            model = {id: row for id, row in model.items() if id not in present}
            continue
        else:
            # Values from {-1, 0, 1} make ties the rule.
            queries = torch.randint(-1, 2, (4, 3), generator=generator).float()
            in_order = sorted(model)
            keys = torch.stack([model[id] for id in in_order]) if model else torch.empty(0, 3)
            expected_scores, positions = fastret.search(queries, keys, argument, metric)
            expected_ids = torch.tensor([*in_order, -1])[positions]
            scores, found = index.search(queries, argument)
            assert torch.equal(scores, expected_scores)
            assert torch.equal(found, expected_ids)
            continue
        rows = torch.randint(-1, 2, (len(ids), 3), generator=generator).float()
        index.add(rows, ids if name == "add" else None)
        model.update(zip(ids, rows, strict=True))
        next_id = max([next_id, *(id + 1 for id in ids)])
    assert len(index) == index.ntotal == len(model)
    assert index.ids.tolist() == sorted(model)
    for id, row in model.items():
        assert torch.equal(index.reconstruct(id), row)


def test_many_small_adds_move_the_rows_only_a_few_times() -> None:
    index, storages = FlatIndex(2), set()
    for _ in range(2000):
        index.add(torch.zeros(1, 2))
        storages.add(index.vectors.data_ptr())
    assert index.ntotal == 2000
    assert len(storages) < 30


def test_remove_ignores_unknown_ids_and_counts_repeated_ones_once() -> None:
    index = FlatIndex(8)
    index.add(vectors(5))
    assert index.remove(np.array([3, 3, 77])) == 1
    assert index.remove(3) == 0
    assert index.remove([]) == 0
    assert index.ids.tolist() == [0, 1, 2, 4]


def test_k_beyond_the_index_pads_with_minus_one(metric: str) -> None:
    index = FlatIndex(8, metric)
    index.add(vectors(2), [4, 2])
    scores, ids = index.search(vectors(3, seed=1), 4)
    assert (ids[:, 2:] == -1).all()
    assert (scores[:, 2:] == (torch.inf if metric == "l2" else -torch.inf)).all()
    assert (ids[:, :2] >= 0).all()


@pytest.mark.parametrize("k", [0, 3])
def test_an_empty_index_answers(k: int) -> None:
    index = FlatIndex(8)
    for _ in range(2):
        scores, ids = index.search(vectors(2), k)
        assert scores.shape == ids.shape == (2, k)
        assert (ids == -1).all()
        lims, _, found = index.range_search(vectors(2), -1e9)
        assert lims.tolist() == [0, 0, 0]
        assert len(found) == 0
        index.add(vectors(1))
        index.remove(0)  # empty again, but with a next id of 1


def test_no_query_and_no_dimension_are_answered() -> None:
    index = FlatIndex(8)
    index.add(vectors(3))
    assert index.search(vectors(0), 2)[1].shape == (0, 2)
    assert index.range_search(vectors(0), 0.0)[0].tolist() == [0]
    flat = FlatIndex(0, "l2")
    flat.add(torch.empty(3, 0))
    assert flat.search(torch.empty(1, 0), 2)[1].tolist() == [[0, 1]]


def test_repr_tells_what_it_holds() -> None:
    index = FlatIndex(8, "cosine", dtype=torch.bfloat16)
    index.add(vectors(3))
    assert repr(index) == "FlatIndex(dim=8, metric='cosine', ntotal=3, dtype=bfloat16, device='cpu')"


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda i: FlatIndex(-1), ValueError, "FlatIndex: dim must not be negative, got -1"),
        (lambda i: FlatIndex(8.0), TypeError, "FlatIndex: dim must be an int, got float"),
        (
            lambda i: FlatIndex(8, "dot"),
            ValueError,
            "FlatIndex: metric must be one of ip, cosine, l2, got 'dot'",
        ),
        (
            lambda i: FlatIndex(8, dtype=torch.float64),
            TypeError,
            "FlatIndex: dtype must be float32, bfloat16 or float16, got torch.float64",
        ),
        (
            lambda i: i.add(vectors(2, 7)),
            ValueError,
            r"FlatIndex.add: vectors must be \[n, 8\], got \[2, 7\]",
        ),
        (lambda i: i.add(vectors(1)[0]), ValueError, r"FlatIndex.add: vectors must be \[n, 8\], got \[8\]"),
        (
            lambda i: i.add(torch.ones(2, 8, dtype=torch.int64)),
            TypeError,
            "FlatIndex.add: vectors must be float32, bfloat16 or float16, got int64",
        ),
        (
            lambda i: i.add(np.zeros((2, 8))),
            TypeError,
            "FlatIndex.add: vectors must be float32, bfloat16 or float16, got float64",
        ),
        (lambda i: i.add([[0.0] * 8]), TypeError, "FlatIndex.add: vectors must be .* got list"),
        (lambda i: i.add(vectors(2), ["a", "b"]), TypeError, "FlatIndex.add: ids must be 64-bit integers .*"),
        (lambda i: i.add(vectors(1), [2**70]), TypeError, "FlatIndex.add: ids must be 64-bit integers .*"),
        (
            lambda i: i.add(vectors(2), [1]),
            ValueError,
            "FlatIndex.add: one id per vector, got 1 ids and 2 vectors",
        ),
        (
            lambda i: i.add(vectors(2), [9, 9]),
            ValueError,
            "FlatIndex.add: ids must be unique, got 9 more than once",
        ),
        (lambda i: i.add(vectors(2), [9, 2]), ValueError, "FlatIndex.add: id 2 is already in the index"),
        (lambda i: i.add(vectors(2), [9, -1]), ValueError, "FlatIndex.add: ids must not be negative, got -1"),
        (
            lambda i: i.add(vectors(2), np.array([1.0, 2.0])),
            TypeError,
            "FlatIndex.add: ids must be integers, got torch.float64",
        ),
        (
            lambda i: i.add(vectors(2), torch.ones(2, 1, dtype=torch.int64)),
            ValueError,
            r"FlatIndex.add: ids must be \[n\], got \[2, 1\]",
        ),
        (
            lambda i: i.search(vectors(2, 7), 1),
            ValueError,
            r"FlatIndex.search: queries must be \[n, 8\], got \[2, 7\]",
        ),
        (lambda i: i.search(vectors(2), -1), ValueError, "FlatIndex.search: k must .*-1"),
        (
            lambda i: i.range_search(vectors(2, 7), 1.0),
            ValueError,
            r"FlatIndex.range_search: queries must be \[n, 8\], got \[2, 7\]",
        ),
        (lambda i: i.reconstruct(3), ValueError, "FlatIndex.reconstruct: no vector has id 3"),
        (lambda i: i.reconstruct(-1), ValueError, "FlatIndex.reconstruct: no vector has id -1"),
    ],
)
def test_bad_input_is_one_sentence_and_changes_nothing(call, error, sentence) -> None:
    index = FlatIndex(8)
    index.add(vectors(3))
    with pytest.raises(error, match=f"^{sentence}$"):
        call(index)
    assert index.ids.tolist() == [0, 1, 2]
    assert torch.equal(index.vectors, vectors(3))


def test_ids_at_the_end_of_int64() -> None:
    index = FlatIndex(8)
    index.add(vectors(1), ids=[2**63 - 1])
    with pytest.raises(ValueError, match=r"FlatIndex\.add: no default ids are left beyond 9223372036854775807"):
        index.add(vectors(1))
    with pytest.raises(ValueError, match=r"FlatIndex\.add: ids must be below 2\^63, got 18446744073709551615"):
        index.add(vectors(1), ids=np.array([2**64 - 1], dtype=np.uint64))
    assert index.ntotal == 1


@pytest.mark.parametrize(("id", "error"), [(2**70, ValueError), (-1, ValueError), ("a", TypeError)])
def test_reconstruct_names_an_id_that_cannot_be(id: object, error: type[Exception]) -> None:
    index = FlatIndex(8)
    index.add(vectors(3))
    with pytest.raises(error, match=r"FlatIndex\.reconstruct: (no vector has id|id must be an integer, got str)"):
        index.reconstruct(id)  # type: ignore[arg-type]


@pytest.mark.parametrize("place", [{}, {"storage": "planes"}, {"storage": "host"}, {"devices": ["cpu", "cpu"]}])
def test_reconstruct_batch_copies_the_vectors_of_any_ids(place: dict[str, Any]) -> None:
    index = FlatIndex(8, **place)
    index.add(vectors(4), ids=[7, 3, 9, 5])
    copied = index.reconstruct_batch(torch.tensor([5, 7, 5]))
    assert torch.equal(copied, vectors(4)[[3, 0, 3]])
    copied.zero_()
    assert torch.equal(index.reconstruct(5), vectors(4)[3])
    assert index.reconstruct_batch([]).shape == (0, 8)
    with pytest.raises(ValueError, match=r"FlatIndex\.reconstruct_batch: no vector has id 4"):
        index.reconstruct_batch([3, 4])


def test_numpy_integers_are_integers() -> None:
    index = FlatIndex(np.int64(8))  # type: ignore[arg-type]
    index.add(vectors(4))
    assert index.remove(np.int64(3)) == 1  # type: ignore[arg-type]
    assert torch.equal(index.reconstruct(np.int64(2)), vectors(4)[2])  # type: ignore[arg-type]


def test_float16_refuses_what_it_would_turn_into_infinity() -> None:
    index = FlatIndex(2, dtype=torch.float16)
    with pytest.raises(ValueError, match=r"FlatIndex\.add: float16 holds elements up to 65504, got a larger one"):
        index.add(torch.tensor([[1.0, 1e6]]))
    index.add(torch.tensor([[1.0, float("inf")]]))
    assert index.ntotal == 1


@pytest.mark.parametrize("device", ["cuda:99", "no such device"])
def test_an_unusable_device_is_named(device: str) -> None:
    with pytest.raises(ValueError, match=f"FlatIndex: device must be one that torch can use here, got '{device}'"):
        FlatIndex(8, device=device)
