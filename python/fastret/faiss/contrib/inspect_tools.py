"""What is inside FAISS's objects, as numpy arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..coverage import why_missing
from ..pointers import rev_swig_ptr
from ..transforms.linear import LinearTransform
from ..vectors import copy_array_to_vector, vector_to_array

Array = NDArray[Any]


def get_invlist(invlists: Any, l: int) -> tuple[Array, Array]:  # noqa: E741
    """The ids [n] int64 and codes [n, code_size] uint8 of an inverted list: copies."""
    size, code_size = invlists.list_size(l), invlists.code_size
    ids = rev_swig_ptr(invlists.get_ids(l), size) if size else np.empty(0, np.int64)
    codes = rev_swig_ptr(invlists.get_codes(l), size * code_size) if size else np.empty(0, np.uint8)
    return ids.copy(), codes.reshape(size, code_size).copy()


def get_invlist_sizes(invlists: Any) -> Array:
    """How many vectors are in each inverted list: [nlist] int64."""
    return np.array([invlists.list_size(i) for i in range(invlists.nlist)], dtype=np.int64)


def print_object_fields(obj: Any) -> None:
    """Print the fields of an object and their values."""
    for name in dir(obj):
        if not name.startswith("_") and name not in ("this", "thisown") and not callable(getattr(obj, name)):
            print(f"{name} = {getattr(obj, name)}")


def get_pq_centroids(pq: Any) -> Array:
    """The centroids of a ProductQuantizer: [M, ksub, dsub] float32."""
    return vector_to_array(pq.centroids).reshape(pq.M, pq.ksub, pq.dsub)


def get_LinearTransform_matrix(pca: Any) -> tuple[Array, Array]:
    """The matrix A [d_out, d_in] and the bias b [d_out] (or [0]: none) of a linear transform."""
    return vector_to_array(pca.A).reshape(pca.d_out, pca.d_in), vector_to_array(pca.b)


def make_LinearTransform_matrix(A: Array, b: Array | None = None) -> LinearTransform:
    """The transform x -> A x + b of a matrix [d_out, d_in] and a bias [d_out]."""
    d_out, d_in = A.shape
    if b is not None and b.shape != (d_out,):
        raise AssertionError(f"make_LinearTransform_matrix: b must be [{d_out}], got {list(b.shape)}")
    transform = LinearTransform(d_in, d_out, b is not None)
    copy_array_to_vector(A.ravel(), transform.A)
    if b is not None:
        copy_array_to_vector(b, transform.b)
    transform.is_trained = True
    transform.set_is_orthonormal()
    return transform


def get_flat_data(index: Any) -> Array:
    """A copy of the vectors of a flat index: [ntotal, d] float32."""
    vectors: Array = index.reconstruct_n(0, index.ntotal)
    return vectors


def get_flat_codes(index_flat: Any) -> Array:
    """A copy of the codes of a flat index or one of codes: [ntotal, code_size] uint8."""
    return vector_to_array(index_flat.codes).reshape(index_flat.ntotal, index_flat.code_size)


_OF = {"get_additive_quantizer_codebooks": "AdditiveQuantizer", "get_NSG_neighbors": "NSG"}


if not TYPE_CHECKING:  # to a type checker, names that are not here are errors

    def __getattr__(name: str) -> NoReturn:
        if name in _OF:
            raise AttributeError(f"inspect_tools: there is no {name} here: {why_missing(_OF[name])}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
