"""search: the k best keys of each query, exactly."""

from __future__ import annotations

import torch
from torch import Tensor

from .arrays import Array, Metric, check_k, check_pair, like, metric_index, to_tensor


def search(queries: Array, keys: Array, k: int, metric: Metric = "ip") -> tuple[Array, Array]:
    """The k best keys of each query, best first.

    Equivalent to `torch.topk(queries.double() @ keys.double().T, k)` rounded to float32, without the [Q, N] matrix.

    Args:
        queries: [Q, D] float32, bfloat16 or float16; a torch tensor, numpy array or CuPy array.
        keys: [N, D], on the device of the queries; its dtype may differ.
        k: neighbours per query, from 0 to any number.
        metric: "ip" (inner product), "cosine" (0 with a zero vector) or "l2" (squared Euclidean distance).

    Returns:
        scores [Q, K] float32 and ids [Q, K] int64, of the kind that `queries` is. Scores are canonical: summed in
        float64 in a fixed order and rounded once, so that ids and score bits do not depend on the instruction set,
        device, threads or batch size. Of equal scores the smaller id comes first. Keys whose score is NaN are no
        neighbours. Where fewer than k remain: id -1 and score -inf ("l2": +inf). Not differentiable: for gradients,
        score the keys found with `cosine_scores`.

    Raises:
        TypeError: not a dense floating-point array, k not an integer.
        ValueError: unequal D or devices, not 2-D, negative k, unknown metric.
    """
    q, x = to_tensor("search", "queries", queries), to_tensor("search", "keys", keys)
    check_pair("search", q, x, axes=(2,))
    # Detached, so that no one waits for a gradient that does not come.
    q, x = q.detach(), x.detach()
    scores, ids = torch.ops.fastret.search(q, x, check_k("search", k), metric_index("search", metric))
    return like(scores, queries), like(ids, queries)


@torch.library.register_fake("fastret::search")
def _(queries: Tensor, keys: Tensor, k: int, metric: int) -> tuple[Tensor, Tensor]:
    torch._check(queries.dim() == 2 and keys.dim() == 2)
    torch._check(queries.shape[1] == keys.shape[1])
    shape = (queries.shape[0], k)
    return queries.new_empty(shape, dtype=torch.float32), queries.new_empty(shape, dtype=torch.int64)
