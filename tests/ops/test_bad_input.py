"""Bad input is answered by one sentence (op, rule, what arrived) before any work."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import fastret

Q, X = torch.zeros(8, 4), torch.zeros(100, 4)


class OnlyCudaArrayInterface:
    """Half of a CuPy array: its memory is described, but cannot be exchanged."""

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {"shape": (8, 4), "typestr": "<f4", "data": (0, True), "version": 3}


def search(queries: Any = Q, keys: Any = X, k: Any = 3, metric: Any = "ip") -> Any:
    return fastret.search(queries, keys, k, metric)


def cosine_scores(queries: Any = Q, keys: Any = X, metric: Any = "cosine", **options: Any) -> Any:
    return fastret.cosine_scores(queries, keys, metric, **options)


def select_k(values: Any = X, k: Any = 3) -> Any:
    return fastret.select_k(values, k)


SHAPES = [
    (search, (Q, torch.zeros(100, 7)), "search: queries and keys must share D, got [8, 4] and [100, 7]"),
    (search, (Q[0], X), "search: queries and keys must both be 2-D, got [4] and [100, 4]"),
    (search, (Q, X[0]), "search: queries and keys must both be 2-D, got [8, 4] and [4]"),
    (search, (Q[None], X[None]), "search: queries and keys must both be 2-D, got [1, 8, 4] and [1, 100, 4]"),
    (
        cosine_scores,
        (Q[None, None], X[None, None]),
        "cosine_scores: queries and keys must both be 2-D or 3-D, got [1, 1, 8, 4] and [1, 1, 100, 4]",
    ),
    (cosine_scores, (Q[0], X[0]), "cosine_scores: queries and keys must both be 2-D or 3-D, got [4] and [4]"),
    (
        cosine_scores,
        (Q[None], X),
        "cosine_scores: queries and keys must both be 2-D or 3-D, got [1, 8, 4] and [100, 4]",
    ),
    (
        cosine_scores,
        (torch.zeros(2, 8, 4), torch.zeros(3, 100, 4)),
        "cosine_scores: queries and keys must share B, got [2, 8, 4] and [3, 100, 4]",
    ),
    (
        cosine_scores,
        (Q, torch.zeros(100, 7)),
        "cosine_scores: queries and keys must share D, got [8, 4] and [100, 7]",
    ),
    (select_k, (Q[0],), "select_k: values must be 2-D, got [4]"),
    (select_k, (Q[None, None],), "select_k: values must be 2-D, got [1, 1, 8, 4]"),
    (search, (Q, X.to("meta")), "search: queries and keys must be on one device, got cpu and meta"),
    (search, (Q, X, -1), "search: k must not be negative, got -1"),
    (select_k, (X, -2), "select_k: k must not be negative, got -2"),
    (search, (Q, X, 3, "dot"), 'search: metric must be "ip", "cosine" or "l2", got \'dot\''),
    (search, (Q, X, 3, 2), 'search: metric must be "ip", "cosine" or "l2", got 2'),
    (cosine_scores, (Q, X, 1), 'cosine_scores: metric must be "ip", "cosine" or "l2", got 1'),
]


@pytest.mark.parametrize(("op", "arguments", "sentence"), SHAPES)
def test_shapes_devices_and_values(op: Callable[..., Any], arguments: tuple[Any, ...], sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        op(*arguments)


FLOATS = "float32, bfloat16 or float16"
KINDS = "a torch tensor, a numpy array or a CuPy array"
NOT_DENSE_FLOATS = [
    (X.int(), f"must be {FLOATS}, got int32"),
    (X.bool(), f"must be {FLOATS}, got bool"),
    (X.double(), f"must be {FLOATS}, got float64"),
    (X.to(torch.complex64), f"must be {FLOATS}, got complex64"),
    (X.to(torch.float8_e4m3fn), f"must be {FLOATS}, got float8_e4m3fn"),
    (X.numpy().astype(np.int64), f"must be {FLOATS}, got int64"),
    (X.numpy().astype(np.float64), f"must be {FLOATS}, got float64"),
    (X.numpy().astype(complex), f"must be {FLOATS}, got complex128"),
    (X.numpy().astype(object), f"must be {FLOATS}, got object"),
    (np.full((100, 4), "a"), f"must be {FLOATS}, got <U1"),
    (X.to_sparse(), "must be dense, got layout torch.sparse_coo"),
    (X.tolist(), f"must be {KINDS}, got list"),
    (None, f"must be {KINDS}, got NoneType"),
    (OnlyCudaArrayInterface(), f"must be {KINDS}, got OnlyCudaArrayInterface"),
]


@pytest.mark.parametrize(("array", "rule"), NOT_DENSE_FLOATS)
def test_anything_but_dense_arrays_of_floats(array: Any, rule: str) -> None:
    calls = {
        f"search: keys {rule}": lambda: search(keys=array),
        f"search: queries {rule}": lambda: search(queries=array),
        f"cosine_scores: keys {rule}": lambda: cosine_scores(keys=array),
        f"select_k: values {rule}": lambda: select_k(array),
    }
    for sentence, call in calls.items():
        with pytest.raises(TypeError, match=f"^{re.escape(sentence)}$"):
            call()


@pytest.mark.parametrize(("k", "kind"), [(2.0, "float"), ("3", "str"), (None, "NoneType"), (True, "bool")])
def test_k_that_is_no_integer(k: Any, kind: str) -> None:
    for op, call in (("search", lambda: search(k=k)), ("select_k", lambda: select_k(k=k))):
        with pytest.raises(TypeError, match=f"^{op}: k must be an integer, got {kind}$"):
            call()


def test_integers_of_numpy_are_integers() -> None:
    assert search(k=np.int64(3))[1].shape == (8, 3)


@pytest.mark.parametrize("out_dtype", [torch.float64, torch.int32])
def test_out_dtype_must_be_a_float_of_at_most_32_bits(out_dtype: torch.dtype) -> None:
    sentence = f"cosine_scores: out_dtype must be float32, bfloat16 or float16, got {out_dtype}"
    with pytest.raises(TypeError, match=f"^{re.escape(sentence)}$"):
        cosine_scores(out_dtype=out_dtype)


# int8 panels of X
PANELS, FACTS, FRAME = torch.zeros(4, 1, 32, dtype=torch.int32), torch.zeros(4, 5, 32), torch.zeros(2, 4)
DIRECT = [
    (lambda ops: ops.search(Q, X[:, :3], 3, 0), "search: queries and keys must share D, got [8, 4] and [100, 3]"),
    (lambda ops: ops.search(Q[0], X, 3, 0), "search: queries and keys must have 2 axes, got [4] and [100, 4]"),
    (lambda ops: ops.search(Q, X, -3, 0), "search: k must not be negative, got -3"),
    (lambda ops: ops.search(Q, X, 3, 3), "search: metric must be 0 (ip), 1 (cosine) or 2 (l2), got 3"),
    (lambda ops: ops.search(Q.int(), X, 3, 0), "search: dtype must be float32, bfloat16 or float16"),
    (
        lambda ops: ops.search(Q, X, 3, 0, torch.ones(99, dtype=torch.bool)),
        "search: allowed must be [100] bool, contiguous, got [99]",
    ),
    (
        lambda ops: ops.search(Q, X, 3, 0, None, torch.ones(8, 2)),
        "search: excluded must be [8, E] int64, contiguous, got [8, 2]",
    ),
    (
        lambda ops: ops.explained_search(Q, X, 3, 0, 7),
        "search: first_pass must be 0 (float32), 1 (int16) or 2 (int8), got 7",
    ),
    (
        lambda ops: ops.explained_search(Q, X, 3, 0, 2, PANELS),
        "search: panels, facts and frame belong together",
    ),
    (
        lambda ops: ops.explained_search(Q, X, 3, 0, 1, PANELS, FACTS, FRAME),
        "search: panels must be [4, 2, 32] int32, contiguous, got [4, 1, 32]",
    ),
    (
        lambda ops: ops.range_search(Q, X, 0.0, 0, 2, PANELS, FACTS[:3], FRAME),
        "range_search: facts must be [4, 5, 32] float32, contiguous, got [3, 5, 32]",
    ),
    (
        lambda ops: ops.pack_keys_(X, 0, 2, FRAME[:, :3], 0, PANELS, FACTS),
        "pack_keys: frame must be [2, 4] float32, contiguous, got [2, 3]",
    ),
    (lambda ops: ops.pack_keys_(X, 0, 2, FRAME, 5, PANELS, FACTS), "pack_keys: first_panel must be 0 to 4, got 5"),
    (lambda ops: ops.key_frame(X[0], 0), "key_frame: keys must have 2 axes, got [4]"),
    (lambda ops: ops.select_k(X[0], 3, True), "select_k: values must have 2 axes, got [4]"),
    (lambda ops: ops.select_k(X, -3, True), "select_k: k must not be negative, got -3"),
    (lambda ops: ops.select_k(X.int(), 3, True), "select_k: dtype must be float32, bfloat16 or float16"),
    (
        lambda ops: ops.cosine_scores(Q[None], X[None].expand(2, 100, 4), 0),
        "cosine_scores: queries and keys must share B, got [1, 8, 4] and [2, 100, 4]",
    ),
    (
        lambda ops: ops.cosine_scores(Q[None], X[None], 0, torch.float64),
        "cosine_scores: dtype must be float32, bfloat16 or float16",
    ),
]


@pytest.mark.parametrize(("call", "sentence"), DIRECT)
def test_direct_calls_of_the_torch_ops_are_checked_too(call: Callable[[Any], Any], sentence: str) -> None:
    with pytest.raises(RuntimeError, match=re.escape(sentence)):
        call(torch.ops.fastret)


@pytest.mark.parametrize("op", ["search", "range_search", "explain_search"])
def test_an_index_has_searches_of_its_own(op: str) -> None:
    sentence = f"{op}: keys must be an array or packed keys, got FlatIndex: call index.{op}"
    with pytest.raises(TypeError, match=f"^{sentence}$"):
        getattr(fastret, op)(Q, fastret.FlatIndex(4), 3)
