"""sigmoid_loss: SigLIP's loss of all pairs of queries and keys, fused."""

from __future__ import annotations

from torch import Tensor

from .checks import check_reduction, check_same_dim, check_vectors, common_dtype, label_columns, scalar
from .info_nce import Reduction
from .made_gradients import wanted_gradients
from .sigmoid_op import sigmoid_loss_op

_LOSS = "sigmoid_loss"


def sigmoid_loss(
    queries: Tensor,
    keys: Tensor,
    labels: Tensor | None = None,
    *,
    temperature: Tensor | float,
    bias: Tensor | float = 0.0,
    reduction: Reduction = "mean",
) -> Tensor:
    """The pairwise sigmoid loss of SigLIP (arXiv 2303.15343), never holding the [Q, N] scores.

    Equivalent to, where positive is [Q, N] bool:

        z = queries @ keys.T / temperature + bias
        -F.logsigmoid(torch.where(positive, z, -z)).sum(1).mean()

    Gradients, dtypes and reproducibility are as of `info_nce`.

    Args:
        queries: [Q, D] float32, bfloat16, float16 or float64.
        keys: [N, D].
        labels: [Q] or [Q, P] integers: the rows of the keys that are a query's positives, padded with -1; all other
            keys are its negatives. Default: key i of query i.
        temperature: above 0, and
        bias: any number; tensors of one float may be learned.
        reduction: "mean" over the queries, of the sums over their keys; "sum" or "none": [Q].

    Returns:
        The loss, float32 (float64 for float64) and never negative.

    Raises:
        TypeError: arguments of other types.
        ValueError: arguments that do not fit each other, a temperature that is not positive.
        RuntimeError: differentiated twice.
    """
    check_vectors(_LOSS, "queries", queries)
    check_vectors(_LOSS, "keys", keys)
    check_same_dim(_LOSS, queries, "keys", keys)
    check_reduction(_LOSS, reduction)
    columns = label_columns(_LOSS, labels, queries, keys)
    dtype = common_dtype(queries, keys)
    sources = [
        queries.to(dtype),
        keys.to(dtype),
        scalar(_LOSS, "temperature", temperature, queries, positive=True),
        scalar(_LOSS, "bias", bias, queries),
    ]
    loss: Tensor = sigmoid_loss_op(*sources, columns, reduction, wanted_gradients([*sources], reduction))[0]
    return loss
