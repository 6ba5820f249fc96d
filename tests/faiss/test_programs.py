"""Whole programs, made by hypothesis, give the same answers under faiss-cpu and here, whatever came before."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

import fastret.faiss as ours

theirs = pytest.importorskip("faiss")

D = 6
CENTROIDS = np.random.default_rng(7).standard_normal((4, D), dtype=np.float32)


def vectors(seed: int, n: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, D), dtype=np.float32)


def inverted_file(faiss: ModuleType, kind: str, metric: str, *arguments: Any) -> Any:
    """Around given centroids, so that rounding in training cannot put a vector into another list."""
    quantizer = faiss.IndexFlat(D, getattr(faiss, metric))
    quantizer.add(CENTROIDS)
    index = getattr(faiss, kind)(quantizer, D, len(CENTROIDS), *arguments, getattr(faiss, metric))
    index.train(vectors(99, 300))
    index.nprobe = 3
    return index


MAKERS: dict[str, Callable[[ModuleType], Any]] = {
    "Flat, inner product": lambda faiss: faiss.IndexFlatIP(D),
    "Flat, L2": lambda faiss: faiss.IndexFlatL2(D),
    "Flat, L1": lambda faiss: faiss.IndexFlat(D, faiss.METRIC_L1),
    "IDMap": lambda faiss: faiss.IndexIDMap(faiss.IndexFlatL2(D)),
    "IDMap2": lambda faiss: faiss.IndexIDMap2(faiss.IndexFlatIP(D)),
    "IVFFlat, L2": lambda faiss: inverted_file(faiss, "IndexIVFFlat", "METRIC_L2"),
    "IVFFlat, inner product": lambda faiss: inverted_file(faiss, "IndexIVFFlat", "METRIC_INNER_PRODUCT"),
    "IDMap2 of IVFFlat": lambda faiss: faiss.IndexIDMap2(inverted_file(faiss, "IndexIVFFlat", "METRIC_L2")),
    "SQ8": lambda faiss: trained(faiss.IndexScalarQuantizer(D, faiss.ScalarQuantizer.QT_8bit)),
    "SQfp16": lambda faiss: trained(faiss.IndexScalarQuantizer(D, faiss.ScalarQuantizer.QT_fp16)),
    "IVFSQ8": lambda faiss: inverted_file(faiss, "IndexIVFScalarQuantizer", "METRIC_L2", faiss.ScalarQuantizer.QT_8bit),
    "L2norm": lambda faiss: faiss.IndexPreTransform(faiss.NormalizationTransform(D), faiss.IndexFlatIP(D)),
    "Refine": lambda faiss: faiss.IndexRefineFlat(
        trained(faiss.IndexScalarQuantizer(D, faiss.ScalarQuantizer.QT_4bit))
    ),
}
# What FAISS's kinds cannot do, by the beginning of their names here.
ADDS_UNDER_IDS = ("IDMap", "IVF")
ONLY_UNDER_IDS = ("IDMap",)
NO_REMOVAL = ("L2norm", "Refine", "IDMap2 of IVFFlat")  # of the last FAISS aborts
NO_RANGE_SEARCH = ("L2norm", "Refine")
NO_CLONE = ("L2norm",)
NO_SELECTOR = ("Flat, L1", "L2norm", "Refine")


def trained(index: Any) -> Any:
    index.train(vectors(99, 300))
    return index


class Programs(RuleBasedStateMachine):
    kind: str

    def __init__(self) -> None:
        super().__init__()
        self.ours, self.theirs = (MAKERS[self.kind](module) for module in (ours, theirs))
        self.next_id = 0

    def both(self, call: Callable[[ModuleType, Any], Any]) -> tuple[Any, Any]:
        return call(ours, self.ours), call(theirs, self.theirs)

    def can(self, kinds: tuple[str, ...]) -> bool:
        return self.kind.startswith(kinds)

    @rule(seed=st.integers(0, 1000), n=st.integers(0, 12))
    def add(self, seed: int, n: int) -> None:
        if not self.can(ONLY_UNDER_IDS):
            self.both(lambda faiss, index: index.add(vectors(seed, n)))

    @rule(seed=st.integers(0, 1000), n=st.integers(0, 12))
    def add_with_ids(self, seed: int, n: int) -> None:
        if self.can(ADDS_UNDER_IDS):
            ids = np.random.default_rng(seed).permutation(n) * 7 + self.next_id
            self.next_id += 7 * n
            self.both(lambda faiss, index: index.add_with_ids(vectors(seed, n), ids))

    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        if self.can(NO_REMOVAL):
            return
        first, last = sorted(data.draw(st.tuples(st.integers(0, 60), st.integers(0, 60))))
        if data.draw(st.booleans()):
            removed = self.both(lambda faiss, index: index.remove_ids(faiss.IDSelectorRange(first, last)))
        else:
            removed = self.both(lambda faiss, index: index.remove_ids(np.arange(first, last, 3)))
        assert removed[0] == removed[1]

    @rule(seed=st.integers(0, 1000), n=st.integers(0, 4), k=st.integers(1, 15))
    def search(self, seed: int, n: int, k: int) -> None:
        queries = vectors(seed, n)
        assert_same_neighbours(*self.both(lambda faiss, index: index.search(queries, k)))

    @precondition(lambda self: not self.can(NO_SELECTOR))
    @rule(seed=st.integers(0, 1000), k=st.integers(1, 15), first=st.integers(0, 40), parity=st.booleans())
    def search_a_part(self, seed: int, k: int, first: int, parity: bool) -> None:
        queries = vectors(seed, 2)

        def search(faiss: ModuleType, index: Any) -> Any:
            odd = faiss.IDSelectorBatch(np.arange(1, 300, 2))
            selector = faiss.IDSelectorAnd(faiss.IDSelectorRange(first, 200), faiss.IDSelectorNot(odd))
            kind = faiss.SearchParametersIVF if "IVF" in self.kind else faiss.SearchParameters
            params = kind(sel=selector if parity else odd)
            if "IVF" in self.kind:
                params.nprobe = 2
            return index.search(queries, k, params=params)

        assert_same_neighbours(*self.both(search))

    @precondition(lambda self: not self.can(NO_RANGE_SEARCH))
    @rule(seed=st.integers(0, 1000), n=st.integers(0, 4), radius=st.floats(0.5, 8))
    def range_search(self, seed: int, n: int, radius: float) -> None:
        queries = vectors(seed, n)
        found = self.both(lambda faiss, index: index.range_search(queries, radius))
        for (ids, scores), (reference_ids, reference_scores) in zip(*(by_query(*one) for one in found), strict=True):
            np.testing.assert_array_equal(ids, reference_ids)
            np.testing.assert_allclose(scores, reference_scores, rtol=1e-4, atol=1e-4)

    @rule()
    def swap_files(self) -> None:
        """Each goes on with what the other wrote."""
        with TemporaryDirectory() as folder:
            mine, other = str(Path(folder) / "ours"), str(Path(folder) / "theirs")
            ours.write_index(self.ours, mine)
            theirs.write_index(self.theirs, other)
            self.ours, self.theirs = ours.read_index(other), theirs.read_index(mine)

    @rule()
    def through_bytes(self) -> None:
        self.ours, self.theirs = self.both(lambda faiss, index: faiss.deserialize_index(faiss.serialize_index(index)))

    @precondition(lambda self: not self.can(NO_CLONE))
    @rule()
    def clone(self) -> None:
        self.ours, self.theirs = self.both(lambda faiss, index: faiss.clone_index(index))

    @rule()
    def reset(self) -> None:
        self.both(lambda faiss, index: index.reset())

    @invariant()
    def as_many_vectors(self) -> None:
        assert self.ours.ntotal == self.theirs.ntotal
        assert type(self.ours).__name__ == type(self.theirs).__name__


def assert_same_neighbours(answer: tuple[Any, Any], reference: tuple[Any, Any]) -> None:
    """Scores within rounding, the same padding, and the same ids where scores tell them apart."""
    (scores, ids), (reference_scores, reference_ids) = answer, reference
    np.testing.assert_allclose(scores, reference_scores, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(ids == -1, reference_ids == -1)
    for row in np.argwhere((ids != reference_ids).any(1))[:, 0]:
        for column in np.argwhere(ids[row] != reference_ids[row])[:, 0]:
            close = np.isclose(reference_scores[row], scores[row, column], rtol=1e-4, atol=1e-4)
            assert close.sum() > 1 or column == ids.shape[1] - 1, f"{ids[row]} is not {reference_ids[row]}"


def by_query(lims: np.ndarray, scores: np.ndarray, ids: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """ids and scores of each query, in the order of ids and, as an inverted file may hold an id twice, of scores."""
    parts = [slice(a, b) for a, b in itertools.pairwise(lims.astype(np.int64))]
    orders = [np.lexsort((scores[part], ids[part])) for part in parts]
    return [(ids[part][order], scores[part][order]) for part, order in zip(parts, orders, strict=True)]


@pytest.mark.parametrize("kind", MAKERS)
def test_programs_answer_as_under_faiss(kind: str) -> None:
    machine = type("Machine", (Programs,), {"kind": kind})
    run_state_machine_as_test(machine, settings=settings(max_examples=15, stateful_step_count=20, deadline=None))
