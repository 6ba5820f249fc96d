"""The codes of flat indexes, as vectors and behind pointers, beside those of faiss-cpu."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

import fastret.faiss as ours

theirs = pytest.importorskip("faiss")

BOTH = pytest.mark.parametrize("faiss", [ours, theirs], ids=["ours", "theirs"])


@BOTH
@pytest.mark.parametrize("name", ["IndexFlatIP", "IndexFlatL2"])
def test_vectors_are_read_and_replaced(faiss: ModuleType, name: str) -> None:
    index, vectors = getattr(faiss, name)(4), np.arange(20, dtype=np.float32).reshape(5, 4)
    assert index.codes.size() == 0
    index.add(vectors)
    np.testing.assert_array_equal(faiss.vector_to_array(index.codes).view(np.float32), vectors.ravel())
    np.testing.assert_array_equal(faiss.rev_swig_ptr(index.get_xb(), 20), vectors.ravel())
    assert index.codes.size() == 80
    faiss.copy_array_to_vector((vectors[:3] + 7).ravel().view(np.uint8), index.codes)
    index.ntotal = 3
    np.testing.assert_array_equal(index.reconstruct_n(), vectors[:3] + 7)
    assert index.search(vectors[:1] + 7, 1)[1].shape == (1, 1)
    with pytest.raises(TypeError):
        index.codes = [1]


def test_what_cannot_be_done_with_them() -> None:
    index = ours.IndexFlatL2(4)
    index.add(np.zeros((2, 4)))
    with pytest.raises(ValueError, match="read-only"):
        ours.rev_swig_ptr(index.get_xb(), 8)[0] = 1
    with pytest.raises(RuntimeError, match="5 numbers are no vectors of 4"):
        ours.copy_array_to_vector(np.zeros(20, np.uint8), index.codes)
    with pytest.raises(RuntimeError, match="cannot be set to 7"):
        index.ntotal = 7
    assert index.ntotal == 2


@BOTH
def test_range_search_results(faiss: ModuleType) -> None:
    result = faiss.RangeSearchResult(3)
    assert (result.nq, result.distances, result.buffer_size) == (3, None, 262144)
    faiss.rev_swig_ptr(result.lims, 4)[:] = [0, 2, 2, 5]
    result.do_allocation()
    assert faiss.rev_swig_ptr(result.distances, 5).dtype == np.float32
    assert faiss.rev_swig_ptr(result.labels, 5).dtype == np.int64
