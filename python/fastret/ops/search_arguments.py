"""The checked arguments that search and the ops like it share, as the native ops take them."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor

from .arrays import Array, Metric, check_pair, metric_index, to_tensor
from .filters import allowed_mask, excluded_ids
from .first_pass import FIRST_PASSES, FirstPass, first_pass_number
from .packing import PackedKeys, Packing
from .planes import SplitPlanes


class SearchArguments(NamedTuple):
    queries: Tensor  # [Q, D]
    keys: Tensor | SplitPlanes  # [N, D]
    metric: int
    first_pass: int
    packing: Packing | None
    allowed: Tensor | None  # [N] bool
    excluded: Tensor | None  # [Q, E] int64

    @property
    def packed(self) -> tuple[Any, ...]:
        """What follows k or the threshold in the native ops' schemas, but for the filters."""
        return (self.metric, self.first_pass, *(self.packing.arguments if self.packing else ()))

    @property
    def on_device(self) -> bool:
        """Whether the kernels are those of CUDA devices, which split planes have on the CPU too."""
        return self.queries.is_cuda or isinstance(self.keys, SplitPlanes)

    @property
    def key_rows(self) -> Tensor:
        """The keys as one tensor; of split planes a copy."""
        return self.keys.joined() if isinstance(self.keys, SplitPlanes) else self.keys

    @property
    def filters(self) -> dict[str, Tensor | None]:
        return {"allowed": self.allowed, "excluded": self.excluded}


def search_arguments(
    op: str,
    queries: Array,
    keys: Array | PackedKeys,
    metric: Metric | None,
    first_pass: FirstPass,
    allowed: Array | None,
    excluded: Array | None,
) -> SearchArguments:
    """Check everything but what only one of the ops takes. Raises TypeError or ValueError, one sentence."""
    packed = keys if isinstance(keys, PackedKeys) else None
    if not isinstance(keys, Tensor) and hasattr(keys, op):  # an index
        raise TypeError(f"{op}: keys must be an array or packed keys, got {type(keys).__name__}: call index.{op}")
    # Detached, so that no one waits for a gradient that does not come.
    q = to_tensor(op, "queries", queries).detach()
    x = to_tensor(op, "keys", keys).detach() if packed is None else packed.source
    # Of planes something of the shape and device of the rows.
    rows = x.high.narrow(0, 0, x.ntotal).narrow(1, 0, x.dim) if isinstance(x, SplitPlanes) else x
    check_pair(op, q, rows, axes=(2,))
    if metric is None:
        metric = "ip" if packed is None else packed.metric
    metric_number = metric_index(op, metric)
    if packed is not None and metric != packed.metric:
        raise ValueError(f"{op}: the keys were packed for metric {packed.metric!r}, got {metric!r}")
    number = first_pass_number(op, first_pass)
    filters = allowed_mask(op, allowed, rows), excluded_ids(op, excluded, q)
    if isinstance(x, SplitPlanes):
        return SearchArguments(q, x, metric_number, -1, None, *filters)
    if packed is not None and first_pass in ("auto", packed.first_pass):
        number = FIRST_PASSES.index(packed.first_pass)
        return SearchArguments(q, x, metric_number, number, packed.packing, *filters)
    return SearchArguments(q, x, metric_number, number, None, *filters)
