"""mine_hard_negatives: the keys that a query should not match but nearly does, exactly."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .arrays import METRICS, Array, Metric, check_k, check_number, like
from .filters import label_pair, positive_ids
from .first_pass import FirstPass
from .packing import PackedKeys
from .search_arguments import search_arguments

_OP = "mine_hard_negatives"


def mine_hard_negatives(
    queries: Array,
    keys: Array | PackedKeys,
    k: int,
    positives: Array | None = None,
    metric: Metric | None = None,
    *,
    query_labels: Array | None = None,
    key_labels: Array | None = None,
    absolute_margin: float | None = None,
    relative_margin: float | None = None,
    min_score: float | None = None,
    max_score: float | None = None,
    range_min: int = 0,
    range_max: int | None = None,
    allowed: Array | None = None,
    excluded: Array | None = None,
    first_pass: FirstPass = "auto",
) -> tuple[Array, Array]:
    """The k hardest negatives of each query: its best non-positives whose scores and ranks are within limits.

    A query's non-positives are ranked as `search` ranks them, rank 0 the hardest. Of ranks range_min to range_max
    those within every limit of the score remain, and of these the first k. Nothing takes the place of what a limit
    removes from the ranks. Equivalent to, for one positive per query and a margin alone:

        scores = cosine_scores(queries, keys, metric)
        positive_scores = scores.gather(1, positives[:, None])
        scores[scores > positive_scores - absolute_margin] = -inf
        scores.scatter(1, positives[:, None], -inf).topk(k)

    Args:
        queries: [Q, D] float32, bfloat16 or float16; a torch tensor, numpy array or CuPy array.
        keys: [N, D], on the device of the queries; its dtype may differ. Or what `pack` made of them; on a CUDA device
            that is joined to [N, D] again.
        k: negatives per query, from 0 to any number.
        positives: [Q] or [Q, P] integers: ids that are no negatives of a query, padded with -1.
        metric: "ip", "cosine" or "l2", as of `search`. Default: that of the packed keys, else "ip".
        query_labels, key_labels: [Q] and [N] integers: keys of the query's own label are no negatives either.
        absolute_margin: negatives score at most positive score - absolute_margin. A negative number lets keys pass
            that are a little better than the positive.
        relative_margin: negatives score at most positive score - relative_margin * |positive score|: the
            positive-aware mining (TopK-PercPos) of NV-Retriever, arXiv 2407.15831, whose 95 % is 0.05 here.
        min_score, max_score: negatives have min_score <= score <= max_score.
        range_min, range_max: negatives have range_min <= rank < range_max. Default: no last rank.
        allowed: [N] bool: the keys that may be found. Default: all.
        excluded: [Q, E] integers: more ids that a query may not find, padded with -1.
        first_pass: as of `search`. Changes no bit.

    For "l2" scores are distances: negatives keep at least positive distance + absolute_margin, and positive distance *
    (1 + relative_margin). min_score and max_score are its least and greatest distance.

    The positive score is that of the least similar positive, as in sentence-transformers' `mine_hard_negatives`, which
    differs in one thing: its ranks count only what the other limits left. NaN is no positive score, and a query without
    any has no margin; nothing is subtracted from an infinite one. Limits are computed in float64 and compared with the
    canonical float32 scores.

    Returns:
        scores [Q, K] float32 and ids [Q, K] int64, hardest first, of the kind that `queries` is, with the bits of
        `search`. Where fewer than k remain: id -1 and score -inf ("l2": +inf). Not differentiable.

    Raises:
        TypeError: not a dense array of the right elements; k, a rank or a limit that is no number.
        ValueError: as of `search`; margins without positives, margins that are not finite, limits that are NaN,
            labels of only one side, range_max below range_min; positives that are no keys (on a CUDA device, where
            looking would wait for it, they are padding).
    """
    a = search_arguments(_OP, queries, keys, metric, first_pass, allowed, excluded)
    rows = a.key_rows
    labels = label_pair(_OP, query_labels, key_labels, a.queries, rows)
    own = positive_ids(_OP, positives, a.queries)
    k, range_min = check_k(_OP, k), check_k(_OP, range_min, "range_min")
    if range_max is not None and check_k(_OP, range_max, "range_max") < range_min:
        raise ValueError(f"{_OP}: range_max must be at least range_min, got {range_max} and {range_min}")
    limits = {
        "absolute_margin": _margin("absolute_margin", absolute_margin, own),
        "relative_margin": _margin("relative_margin", relative_margin, own),
        "min_score": _number("min_score", min_score),
        "max_score": _number("max_score", max_score),
    }
    scores, ids = torch.ops.fastret.mine_hard_negatives(
        a.queries,
        rows,
        k,
        *a.packed,
        **a.filters,
        query_labels=labels[0],
        key_labels=labels[1],
        positives=own,
        **limits,
        range_min=range_min,
        range_max=range_max,
    )
    return like(scores, queries), like(ids, queries)


def _number(name: str, value: float | None) -> float | None:
    number = None if value is None else check_number(_OP, name, value)
    if number is not None and number != number:  # torch.compile cannot trace math.isnan of a dynamic float
        raise ValueError(f"{_OP}: {name} must not be NaN")
    return number


def _margin(name: str, value: float | None, positives: Tensor | None) -> float | None:
    margin = _number(name, value)
    if margin in (torch.inf, -torch.inf):
        raise ValueError(f"{_OP}: {name} must be finite, got {margin}")
    if margin is not None and positives is None:
        raise ValueError(f"{_OP}: margins need positives, got {name}={margin} and none")
    return margin


def _mine(
    queries: Tensor,
    keys: Tensor,
    k: int,
    metric: int,
    *packed: Any,
    excluded: Tensor | None = None,
    positives: Tensor | None = None,
    absolute_margin: float | None = None,
    relative_margin: float | None = None,
    min_score: float | None = None,
    max_score: float | None = None,
    range_min: int = 0,
    range_max: int | None = None,
    **filters: Tensor | None,
) -> tuple[Tensor, Tensor]:
    distances, on_cpu = METRICS[metric] == "l2", queries.device.type == "cpu"
    if positives is not None:
        if on_cpu and bool((positives >= len(keys)).any()):
            raise ValueError(f"{_OP}: positives must be ids below {len(keys)}, got {int(positives.max())}")
        excluded = positives if excluded is None else torch.cat([positives, excluded], 1)

    def ranked(count: int, excluded: Tensor | None, ceilings: Tensor | None = None) -> tuple[Tensor, Tensor]:
        arguments = {"excluded": excluded, **filters, "ceilings": ceilings}
        if on_cpu:
            scores, ids, _, _ = torch.ops.fastret.explained_search(queries, keys, count, metric, *packed, **arguments)
        else:
            scores, ids = torch.ops.fastret.search(queries, keys, count, metric, **arguments)
        return scores, ids

    # Rank values, as kernels/canonical.h calls them: distances negated, so that for every metric more is harder.
    hardest, easiest = (max_score, min_score) if not distances else (_negated(min_score), _negated(max_score))
    ceilings = _ceilings(queries, keys, metric, positives, absolute_margin, relative_margin, hardest)
    if ceilings is None:
        range_max = range_min + k if range_max is None else min(range_max, range_min + k)
    if range_max is not None and (ceilings is None or range_max < len(keys)):
        # The window is cut before the scores are looked at.
        scores, ids = ranked(min(range_max, len(keys)), excluded)
        scores, ids = scores[:, range_min:], ids[:, range_min:]
    else:
        if range_min > 0:
            _, harder = ranked(min(range_min, len(keys)), excluded)
            excluded = harder if excluded is None else torch.cat([excluded, harder], 1)
        scores, ids = ranked(k, excluded, ceilings)
    values = (-scores if distances else scores).double()
    within = ids >= 0
    if ceilings is not None:
        within &= values <= (-ceilings if distances else ceilings)[:, None]
    if easiest is not None:
        within &= values >= easiest
    return _first(scores, ids, within, k, torch.inf if distances else -torch.inf)


def _negated(value: float | None) -> float | None:
    return None if value is None else -value


def _ceilings(
    queries: Tensor,
    keys: Tensor,
    metric: int,
    positives: Tensor | None,
    absolute_margin: float | None,
    relative_margin: float | None,
    hardest: float | None,
) -> Tensor | None:
    """[Q] float32: the scores that no negative may beat, or None where nothing bounds them."""
    distances = METRICS[metric] == "l2"
    limits = []
    if hardest is not None:
        limits.append(torch.full((len(queries),), hardest, dtype=torch.float64, device=queries.device))
    if positives is not None and (absolute_margin is not None or relative_margin is not None):
        scores = torch.ops.fastret.pair_scores(queries, keys, positives, metric)
        values = (-scores if distances else scores).masked_fill(scores.isnan(), torch.inf)
        worst = F.pad(values, (0, 1), value=torch.inf).amin(1).double()
        if absolute_margin is not None:
            limits.append(worst - absolute_margin)
        if relative_margin is not None:  # an infinite score less a part of itself is NaN
            limits.append(torch.where(worst.isinf(), worst, worst - worst.abs() * relative_margin))
    if not limits:
        return None
    limit = torch.stack(limits).amin(0)
    # Rounded down, so that no float32 between the limit and its rounding passes.
    ceiling = limit.float()
    ceiling = torch.where(ceiling > limit, ceiling.nextafter(torch.full_like(ceiling, -torch.inf)), ceiling)
    return -ceiling if distances else ceiling


def _first(scores: Tensor, ids: Tensor, within: Tensor, k: int, padding: float) -> tuple[Tensor, Tensor]:
    """The first k places of each row that are within, in their order, then padding."""
    order = torch.sort((~within).to(torch.uint8), dim=1, stable=True).indices[:, :k]
    missing = (0, k - order.shape[1])
    scores, ids = scores.masked_fill(~within, padding).gather(1, order), ids.masked_fill(~within, -1).gather(1, order)
    return F.pad(scores, missing, value=padding), F.pad(ids, missing, value=-1)


torch.library.impl("fastret::mine_hard_negatives", "default", _mine)


@torch.library.register_fake("fastret::mine_hard_negatives")
def _(queries: Tensor, keys: Tensor, k: int, metric: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
    torch._check(queries.dim() == 2 and keys.dim() == 2)
    torch._check(queries.shape[1] == keys.shape[1])
    shape = (queries.shape[0], k)
    return queries.new_empty(shape, dtype=torch.float32), queries.new_empty(shape, dtype=torch.int64)


@torch.library.register_fake("fastret::pair_scores")
def _(queries: Tensor, keys: Tensor, ids: Tensor, metric: int) -> Tensor:
    torch._check(queries.dim() == 2 and keys.dim() == 2 and ids.dim() == 2)
    torch._check(queries.shape[1] == keys.shape[1] and queries.shape[0] == ids.shape[0])
    return queries.new_empty(ids.shape, dtype=torch.float32)
