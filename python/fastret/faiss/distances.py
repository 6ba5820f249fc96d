"""FAISS's functions on vectors: normalize_L2, knn and pairwise_distances."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from torch import Tensor

from ..ops import cosine_scores, search
from ..ops.arrays import Metric
from .arrays import float32_rows, in_kind_of, padded, within_float32
from .extra_metrics import extra_scores, extra_search, is_extra_metric
from .metrics import METRIC_L2, metric_name


def normalize_L2(x: Any) -> None:
    """Divide each row of x [n, d] by its L2 norm, in place; zero rows stay.

    Raises TypeError for anything but float32, ValueError for anything but a writable C-contiguous 2-D array or
    tensor in CPU memory.
    """
    array = x.detach().numpy() if isinstance(x, Tensor) and x.device.type == "cpu" else x
    if not isinstance(array, np.ndarray):
        raise ValueError(f"normalize_L2: x must be numpy or a tensor in CPU memory, got {type(x).__name__}")
    if array.dtype != np.float32:
        raise TypeError(f"normalize_L2: x is changed in place and must be float32, got {array.dtype}")
    if array.ndim != 2 or not array.flags.c_contiguous or not array.flags.writeable:
        raise ValueError(
            "normalize_L2: x is changed in place and must be [n, d], writable and C-contiguous, "
            f"got shape {list(array.shape)}, strides {list(array.strides)}, writable {array.flags.writeable}"
        )
    # Squares summed in float64 neither overflow nor vanish.
    norms = np.sqrt(np.einsum("nd,nd->n", array, array, dtype=np.float64))[:, None]
    np.divide(array, norms, out=array, where=norms > 0, casting="same_kind")


def knn(xq: Any, xb: Any, k: int, metric: int = METRIC_L2, metric_arg: float = 0.0) -> tuple[Any, Any]:
    """The k best rows of xb [nb, d] for each row of xq [nq, d], without an index: D [nq, k], I [nq, k].

    numpy (cast to float32) or torch in, the kind of xq out; padded and ordered like IndexFlat.search.
    `metric_arg` is the p of METRIC_Lp. Raises RuntimeError for an unknown metric, AssertionError for unequal d.
    """
    queries, keys = _pair("knn", xq, xb)
    k = operator.index(k)
    if k < 0:
        raise ValueError(f"knn: k must not be negative, got {k}")
    if is_extra_metric(metric):
        scores, ids = extra_search(queries, keys, k, metric, metric_arg)
    else:
        name = _name("knn", metric)
        scores, ids = within_float32(*search(queries, keys, k, name), name)
    return in_kind_of(xq, padded(scores, ids, metric)), in_kind_of(xq, ids)


def pairwise_distances(xq: Any, xb: Any, metric: int = METRIC_L2, metric_arg: float = 0.0) -> Any:
    """The score of each row of xq [nq, d] with each row of xb [nb, d]: [nq, nb] float32, as IndexFlat.search tells it.

    Takes, gives and raises what `knn` does.
    """
    queries, keys = _pair("pairwise_distances", xq, xb)
    if is_extra_metric(metric):
        scores = extra_scores(queries, keys, metric, metric_arg)
    else:
        scores = cosine_scores(queries, keys, _name("pairwise_distances", metric))
    return in_kind_of(xq, scores)


def _pair(operation: str, xq: Any, xb: Any) -> tuple[Tensor, Tensor]:
    queries = float32_rows(operation, xq)
    return queries, float32_rows(operation, xb, queries.shape[1])


def _name(operation: str, metric: int) -> Metric:
    name = metric_name(metric)
    if name is None:
        raise RuntimeError(f"{operation}: metric {metric} is not known")
    return name
