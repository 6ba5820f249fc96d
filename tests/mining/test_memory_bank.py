from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from torch import Tensor

import fastret
from fastret.mining import MemoryBank


class ListBank:
    """The same as a plain list, oldest first."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.entries: list[tuple[Tensor, int, int]] = []
        self.step = 0

    def add(self, embeddings: Tensor, ids: Tensor) -> None:
        self.step += 1
        self.entries += [(row, id_, self.step) for row, id_ in zip(embeddings, ids.tolist(), strict=True)]
        # What was dropped keeps its place until it is its turn: the list has None there.
        self.entries = self.entries[-self.capacity :]

    def drop_older_than(self, age: int) -> None:
        self.entries = [e if e and e[2] >= self.step - age else None for e in self.entries]  # type: ignore[misc]

    def drop(self, ids: list[int]) -> None:
        self.entries = [e if e and e[1] not in ids else None for e in self.entries]  # type: ignore[misc]

    def held(self) -> tuple[list[list[float]], list[int]]:
        held = [e for e in self.entries if e]
        return [e[0].tolist() for e in held], [e[1] for e in held]


def assert_same(bank: MemoryBank, expected: ListBank) -> None:
    assert (bank.embeddings.tolist(), bank.ids.tolist()) == expected.held()
    assert len(bank) == len(expected.held()[1])


@pytest.mark.parametrize("seed", range(8))
def test_a_bank_is_a_list_that_forgets_its_oldest(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    bank, expected = MemoryBank(11, 3), ListBank(11)
    for _ in range(40):
        n = int(torch.randint(0, 15, (), generator=generator))  # none, several, more than fit
        rows = torch.randn(n, 3, generator=generator)
        ids = torch.randint(0, 20, (n,), generator=generator)
        bank.add(rows, ids)
        expected.add(rows, ids)
        assert_same(bank, expected)
        what = int(torch.randint(0, 4, (), generator=generator))
        if what == 0:
            bank.drop_older_than(2)
            expected.drop_older_than(2)
        elif what == 1:
            bank.drop(torch.tensor([3, 4, 99]))
            expected.drop([3, 4, 99])
        assert_same(bank, expected)


def test_state_goes_on_where_it_was() -> None:
    bank = MemoryBank(5, 2)
    for first in (0, 3):
        bank.add(torch.arange(6.0).view(3, 2) + first, torch.arange(first, first + 3))
    state = bank.state_dict()
    other = MemoryBank(5, 2)
    other.load_state_dict(state)
    for one in (bank, other):
        one.add(torch.full((2, 2), 9.0), torch.tensor([7, 8]))
        one.drop_older_than(1)
    assert bank.ids.tolist() == other.ids.tolist() == [3, 4, 5, 7, 8]
    assert bank.embeddings.equal(other.embeddings) and bank.step == other.step == 3
    assert state["ids"].tolist() == [5, 1, 2, 3, 4]  # copies, which later additions do not change
    with pytest.raises(ValueError, match=re.escape("capacity and dim must be [6, 2], got [5, 2]")):
        MemoryBank(6, 2).load_state_dict(state)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_entries_keep_the_dtype_of_the_bank_and_no_gradient(dtype: torch.dtype) -> None:
    bank = MemoryBank(4, 2, dtype=dtype)
    keys = torch.tensor([[1.0, 1 / 3]], requires_grad=True)
    bank.add(keys, torch.tensor([5]))
    assert bank.embeddings.dtype == dtype and bank.embeddings.equal(keys.detach().to(dtype))
    joined, ids, allowed = bank.joined(keys, torch.tensor([6]))
    assert joined.dtype == torch.float32 and ids.tolist() == [6, 5] and allowed.tolist() == [True, True]
    joined.sum().backward()
    assert keys.grad is not None and keys.grad.tolist() == [[1.0, 1.0]]  # of the batch's row alone


def test_numpy_arrays_are_taken() -> None:
    bank = MemoryBank(4, 2)
    bank.add(np.ones((2, 2), np.float32), np.array([1, 2]))
    assert bank.ids.tolist() == [1, 2]


def test_mining_behind_a_batch_finds_what_mining_in_a_list_finds() -> None:
    generator = torch.Generator().manual_seed(1)
    bank = MemoryBank(20, 4)
    for _ in range(3):
        bank.add(torch.randn(10, 4, generator=generator), torch.randint(0, 12, (10,), generator=generator))
    bank.drop(torch.tensor([2]))
    queries, keys = torch.randn(6, 4, generator=generator), torch.randn(6, 4, generator=generator)
    ids = torch.tensor([0, 1, 2, 3, 4, 5])
    joined, joined_ids, allowed = bank.joined(keys, ids)
    scores, found = fastret.mine_hard_negatives(
        queries, joined, 5, torch.arange(6), "cosine",
        query_labels=ids, key_labels=joined_ids, allowed=allowed, relative_margin=0.05,
    )  # fmt: skip
    rows = torch.cat([keys, bank.embeddings])
    row_ids = [*ids.tolist(), *bank.ids.tolist()]
    for query in range(6):
        all_scores = fastret.cosine_scores(queries[query : query + 1], rows)[0].double()
        limit = all_scores[query] - 0.05 * all_scores[query].abs()
        kept = [s for s, id_ in zip(all_scores.tolist(), row_ids, strict=True) if s <= limit and id_ != ids[query]]
        expected = sorted(kept, reverse=True)[:5]
        assert scores[query][found[query] >= 0].tolist() == expected


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda b: b.add(torch.ones(2, 3), torch.ones(2, dtype=int)), ValueError, "embeddings must be [n, 2]"),
        (lambda b: b.add(torch.ones(2, 2), torch.ones(3, dtype=int)), ValueError, "ids must be [2], one per embedding"),
        (lambda b: b.add(torch.ones(2, 2), torch.ones(2)), TypeError, "ids must be integers, got float32"),
        (lambda b: b.add([[1.0, 2.0]], torch.ones(1, dtype=int)), TypeError, "embeddings must be a torch tensor"),
        (lambda b: b.joined(torch.ones(2, 2).double(), torch.ones(2, dtype=int)), TypeError, "joined: embeddings"),
        (lambda b: b.drop([3]), TypeError, "MemoryBank.drop: ids must be a torch tensor"),
        (lambda b: b.drop_older_than(-1), ValueError, "age must be an int of at least 0, got -1"),
        (lambda _: MemoryBank(0, 2), ValueError, "capacity must be at least 1, got 0"),
        (lambda _: MemoryBank(2.0, 2), TypeError, "capacity must be an int, got float"),
        (lambda _: MemoryBank(2, 2, dtype=torch.float64), TypeError, "dtype must be float32"),
    ],
)
def test_bad_input_is_one_sentence_and_changes_nothing(call, error: type[Exception], sentence: str) -> None:
    bank = MemoryBank(4, 2)
    bank.add(torch.ones(1, 2), torch.tensor([3]))
    with pytest.raises(error, match=re.escape(sentence)):
        call(bank)
    assert bank.ids.tolist() == [3] and bank.step == 1
