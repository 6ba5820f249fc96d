"""Every kind of selector beside those of faiss-cpu: alone, in searches, and in remove_ids."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import fastret.faiss as ours

theirs = pytest.importorskip("faiss")

BITMAP = np.random.default_rng(0).integers(0, 256, 9).astype(np.uint8)
IDS = np.array([3, 17, 3, 60, 200, -1])
# faiss-cpu searches an array's elements one by one: twice what is in it twice, and beyond the vectors.
ARRAY = np.array([60, 3, 17, 5])


def two(name: str) -> Callable[[ModuleType], Any]:
    def make(faiss: ModuleType) -> Any:
        pair = faiss.IDSelectorRange(5, 40), faiss.IDSelectorBatch(IDS)
        selector = getattr(faiss, name)(*pair)
        if faiss is theirs:
            selector.kept = pair
        return selector

    return make


def inverse(faiss: ModuleType) -> Any:
    inner = faiss.IDSelectorBatch(IDS)
    selector = faiss.IDSelectorNot(inner)
    if faiss is theirs:
        selector.kept = inner
    return selector


def translated(faiss: ModuleType) -> Any:
    id_map, inner = faiss.Int64Vector(), faiss.IDSelectorRange(10, 30)
    faiss.copy_array_to_vector(np.arange(80) * 7 % 80, id_map)
    selector = faiss.IDSelectorTranslated(id_map, inner)
    if faiss is theirs:
        selector.kept = id_map, inner
    return selector


KINDS: dict[str, Callable[[ModuleType], Any]] = {
    "all": lambda faiss: faiss.IDSelectorAll(),
    "range": lambda faiss: faiss.IDSelectorRange(10, 30),
    "sorted range": lambda faiss: faiss.IDSelectorRange(10, 30, True),
    # faiss-cpu crashes where it searches an empty range.
    "empty range": lambda faiss: ours.IDSelectorRange(30, 10) if faiss is ours else faiss.IDSelectorBatch(IDS[:0]),
    "batch": lambda faiss: faiss.IDSelectorBatch(IDS),
    "batch by pointer": lambda faiss: faiss.IDSelectorBatch(4, faiss.swig_ptr(IDS)),
    "empty batch": lambda faiss: faiss.IDSelectorBatch(np.empty(0, np.int64)),
    "array": lambda faiss: faiss.IDSelectorArray(ARRAY),
    "array by pointer": lambda faiss: faiss.IDSelectorArray(3, faiss.swig_ptr(ARRAY)),
    "bitmap": lambda faiss: faiss.IDSelectorBitmap(BITMAP),
    "bitmap by pointer": lambda faiss: faiss.IDSelectorBitmap(5, faiss.swig_ptr(BITMAP)),
    "not": inverse,
    "and": two("IDSelectorAnd"),
    "or": two("IDSelectorOr"),
    "xor": two("IDSelectorXOr"),
    "translated": translated,
    "callback": lambda faiss: faiss.PyCallbackIDSelector(lambda id: id % 3 == 0),
}
SELECTORS = pytest.mark.parametrize("kind", KINDS)


@SELECTORS
def test_members_are_the_same(kind: str) -> None:
    selector, reference = KINDS[kind](ours), KINDS[kind](theirs)
    for id in range(80):
        assert selector.is_member(id) == reference.is_member(id), id


@SELECTORS
@pytest.mark.parametrize("flat", ["IndexFlatL2", "IndexFlatIP"])
def test_searches_are_restricted(kind: str, flat: str, generator: np.random.Generator) -> None:
    vectors, queries = (generator.standard_normal((n, 5), dtype=np.float32) for n in (80, 4))
    answers = []
    for faiss in (ours, theirs):
        index = getattr(faiss, flat)(5)
        index.add(vectors)
        params = faiss.SearchParameters(sel=KINDS[kind](faiss))
        answers.append([*index.search(queries, 30, params=params), *index.range_search(queries, 2.0, params=params)])
    for answer, reference in zip(*answers, strict=True):
        np.testing.assert_allclose(answer, reference, rtol=1e-5, atol=1e-5)


@SELECTORS
def test_ids_are_removed(kind: str, generator: np.random.Generator) -> None:
    vectors = generator.standard_normal((80, 5), dtype=np.float32)
    index, reference = ours.IndexFlatL2(5), theirs.IndexFlatL2(5)
    index.add(vectors)
    reference.add(vectors)
    assert index.remove_ids(KINDS[kind](ours)) == reference.remove_ids(KINDS[kind](theirs))
    np.testing.assert_array_equal(index.reconstruct_n(), reference.reconstruct_n())


@pytest.mark.parametrize("faiss", [ours, theirs], ids=["ours", "theirs"])
def test_selectors_tell_their_fields_and_refuse_others(faiss: ModuleType) -> None:
    selector = faiss.IDSelectorRange(10, 30)
    assert (selector.imin, selector.imax, selector.assume_sorted) == (10, 30, False)
    selector.imax = 12
    assert not selector.is_member(12)
    assert faiss.IDSelectorArray(IDS).n == 6
    with pytest.raises(AssertionError):
        faiss.SearchParameters(no_such_parameter=1)
    with pytest.raises(TypeError):
        faiss.IDSelectorNot(5)


def test_a_selector_of_one_s_own_needs_is_member_alone() -> None:
    class Even(ours.IDSelector):
        def is_member(self, id: int) -> bool:
            return id % 2 == 0

    index = ours.IndexFlatL2(1)
    index.add(np.arange(10.0)[:, None])
    found = index.search(np.zeros((1, 1)), 10, params=ours.SearchParameters(sel=Even()))[1]
    np.testing.assert_array_equal(found, [[0, 2, 4, 6, 8, -1, -1, -1, -1, -1]])


@pytest.mark.parametrize("faiss", [ours, theirs], ids=["ours", "theirs"])
@pytest.mark.parametrize("name", ["IDSelectorAnd", "IDSelectorOr", "IDSelectorXOr"])
def test_a_selector_of_two_is_no_inverse(faiss: ModuleType, name: str) -> None:
    assert not isinstance(two(name)(faiss), faiss.IDSelectorNot)


@pytest.mark.parametrize("faiss", [ours, theirs], ids=["ours", "theirs"])
def test_a_subclass_of_one_s_own_has_attributes_of_its_own(faiss: ModuleType) -> None:
    class Inside(faiss.IDSelectorRange):  # type: ignore[misc, name-defined]
        def __init__(self, first: int, last: int) -> None:
            super().__init__(first, last)
            self.last = last

    assert Inside(3, 5).last == 5
