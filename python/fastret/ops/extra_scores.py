"""extra_scores: every query with every key by a metric beyond inner product and L2."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import numpy as np
import torch
from torch import Tensor

from .arrays import Array, Elements, check_pair, like, to_tensor

ExtraMetric: TypeAlias = Literal["l1", "linf", "canberra", "bray_curtis", "jaccard", "nan_euclidean", "gower"]
EXTRA_METRICS: tuple[str, ...] = get_args(ExtraMetric)  # in the order of the kernels

_FLOAT32 = Elements("float32", (torch.float32,), (np.float32,))


def extra_scores(queries: Array, keys: Array, metric: ExtraMetric) -> Array:
    """The score of every query with every key.

    Equivalent to `extra_scores_reference.extra_scores(queries, keys, metric)`, which has the formulas: for "l1"
    `(queries.double()[:, None] - keys.double()).abs().sum(-1).float()`. Sums run in float64 over the dimensions in
    their order, so that a score's bits depend on its pair alone. NaN where a metric does not apply.

    Args:
        queries: [Q, D] float32, a torch tensor or numpy array.
        keys: [N, D] float32.
        metric: "jaccard" is a similarity, the others are distances.

    Returns:
        scores [Q, N] float32.

    Raises:
        TypeError: not dense float32.
        ValueError: unequal D, wrong shapes, an unknown metric, tensors that are not in CPU memory.
    """
    q, x = (to_tensor("extra_scores", name, array, _FLOAT32) for name, array in (("queries", queries), ("keys", keys)))
    check_pair("extra_scores", q, x, (2,))
    if metric not in EXTRA_METRICS:
        raise ValueError(f"extra_scores: metric must be one of {', '.join(EXTRA_METRICS)}, got {metric!r}")
    if q.device.type not in ("cpu", "meta"):
        raise ValueError(f"extra_scores: queries and keys must be in CPU memory, got {q.device}")
    return like(torch.ops.fastret.extra_scores(q, x, EXTRA_METRICS.index(metric)), queries)


@torch.library.register_fake("fastret::extra_scores")
def _(queries: Tensor, keys: Tensor, metric: int) -> Tensor:
    torch._check(queries.dim() == 2 and keys.dim() == 2)
    torch._check(queries.shape[1] == keys.shape[1])
    return queries.new_empty((queries.shape[0], keys.shape[0]))
