"""info_nce: the contrastive loss of queries with keys, fused, and what training adds to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..ops.arrays import check_k
from .checks import (
    check_reduction,
    check_same_dim,
    check_vectors,
    common_dtype,
    integers,
    label_columns,
    number,
    rows_of_keys,
    scalar,
)
from .info_nce_op import info_nce_op
from .made_gradients import wanted_gradients

_LOSS = "info_nce"

Guide: TypeAlias = "tuple[Tensor, Tensor] | tuple[Tensor, Tensor, Tensor]"
Reduction: TypeAlias = Literal["mean", "sum", "none"]


class InfoNCEResult(NamedTuple):
    """What info_nce returns with return_topk."""

    loss: Tensor
    scores: Tensor  # [Q, K] float32 of the hardest in-batch negatives, hardest first, padded with -inf
    ids: Tensor  # [Q, K] int64: their rows among the keys, padded with -1


def info_nce(
    queries: Tensor,
    keys: Tensor,
    labels: Tensor | None = None,
    *,
    temperature: Tensor | float,
    hard_negatives: Tensor | None = None,
    query_ids: Tensor | None = None,
    key_ids: Tensor | None = None,
    false_negative_margin: float | None = None,
    false_negative_mode: Literal["absolute", "relative"] = "absolute",
    guide: Guide | None = None,
    hardness: float = 0.0,
    margin: float = 0.0,
    label_smoothing: float = 0.0,
    symmetric: bool = False,
    query_query: bool = False,
    key_key: bool = False,
    matryoshka: Sequence[int] | Mapping[int, float] | None = None,
    return_topk: int = 0,
    reduction: Reduction = "mean",
) -> Tensor | InfoNCEResult:
    """The contrastive loss InfoNCE (arXiv 1807.03748) of queries with keys, never holding their [Q, N] scores.

    Equivalent to, without options:

        F.cross_entropy(queries @ keys.T / temperature, labels)

    The gradients are made in the forward pass, each only if it will be needed. Two runs give the same bits. Matrix
    products are in the dtype of the vectors, or of autocast; all between them, and the loss, in float32 (float64 for
    float64). Vectors are taken as they are: normalise them for cosine similarity.

    Args:
        queries: [Q, D] float32, bfloat16, float16 or float64.
        keys: [N, D].
        labels: [Q] or [Q, P] integers: the rows of the keys that are a query's positives, padded with -1. Default:
            key i of query i. Of several positives the mean counts, each beside all other candidates (SupCon, arXiv
            2004.11362). A query without any has loss 0, and does not count in the mean.
        temperature: above 0; a tensor of one float may be learned.
        hard_negatives: [Q, M, D], of each query; or [Q, M] integers: rows of the keys that its softmax counts once
            more, padded with -1, as `mine_hard_negatives` returns them (a positive among them does not count).
        query_ids, key_ids: [Q] and [N] integers: a key with the id of a query is no negative of it. key_ids alone:
            queries have the id of their positive, of which there is one at most. query_ids alone, without labels:
            keys have the id of their query.
        false_negative_margin: a candidate that scores above the positive's score - false_negative_margin is no
            negative: it may be a positive that nobody knows of. With "relative" what scores above the positive's
            score - false_negative_margin * |score| (NV-Retriever, arXiv 2407.15831). Of several positives the least
            similar one's score counts.
        guide: vectors [Q, G] and [N, G], and [Q, M, G] beside hard_negatives [Q, M, D], of another model, whose
            scores make that limit and are compared with it instead (GISTEmbed, arXiv 2402.16829).
            false_negative_margin is then 0 by default.
        hardness: a negative's logit is raised by hardness * score, through which no gradient flows (LLaVE, arXiv
            2503.04812).
        margin: what a positive's score is lowered by.
        label_smoothing: the share of the target that all candidates get alike, as in F.cross_entropy.
        symmetric: the mean of this loss and that of the keys with the queries, each reduced by itself.
        query_query, key_key: queries also contrast with the other queries, and a query's positive with the other
            keys, in one softmax (GTE, arXiv 2308.03281). With `symmetric` in both.
        matryoshka: dimensions (or these with weights; default 1): the weighted sum of the losses of vectors that are
            cut to so many and then normalised (arXiv 2205.13147).
        return_topk: also tell so many of the highest-scoring in-batch negatives of each query, by the largest of the
            matryoshka dimensions.
        reduction: "mean", "sum", or "none": [Q]; with `symmetric` of queries and keys that are pairs.

    Returns:
        The loss, float32 (float64 for float64) and never negative; with return_topk an InfoNCEResult.

    Raises:
        TypeError: arguments of other types.
        ValueError: arguments that do not fit each other, numbers out of range.
        RuntimeError: differentiated twice.
    """
    check_vectors(_LOSS, "queries", queries)
    check_vectors(_LOSS, "keys", keys)
    check_same_dim(_LOSS, queries, "keys", keys)
    columns = label_columns(_LOSS, labels, queries, keys)
    hard, choice = _hard_negatives(hard_negatives, queries, keys)
    ids = _ids(query_ids, key_ids, columns, labels is None, queries, keys)
    guides = _guides(guide, queries, keys, hard)
    if guide is not None and false_negative_margin is None:
        false_negative_margin = 0.0
    one_each = labels is None or (columns.shape[1] == 1 and not symmetric)
    for name, wanted in (("query_query", query_query and symmetric), ("key_key", key_key)):
        if wanted and not one_each:
            raise ValueError(f"{_LOSS}: {name} needs pairs, got labels {list(columns.shape)}, symmetric={symmetric}")
    check_reduction(_LOSS, reduction)
    if reduction == "none" and symmetric and (labels is not None or len(queries) != len(keys)):
        raise ValueError(f"{_LOSS}: reduction 'none' with symmetric needs as many queries as keys and no labels")
    if false_negative_mode not in ("absolute", "relative"):
        raise ValueError(f"{_LOSS}: false_negative_mode must be 'absolute' or 'relative', got {false_negative_mode!r}")
    topk = check_k(_LOSS, return_topk, "return_topk")
    settings = (
        None if false_negative_margin is None else number(_LOSS, "false_negative_margin", false_negative_margin),
        false_negative_mode == "relative",
        number(_LOSS, "hardness", hardness, least=0),
        number(_LOSS, "margin", margin),
        number(_LOSS, "label_smoothing", label_smoothing, least=0, below=1),
        symmetric,
        query_query,
        key_key,
    )
    tau = scalar(_LOSS, "temperature", temperature, queries, positive=True)
    dtype = common_dtype(queries, keys, *([] if hard is None else [hard]))

    def loss_of(dim: int | None, topk: int) -> tuple[Tensor, Tensor, Tensor]:
        """Of vectors cut to their first dimensions; None: of whole ones as they are."""
        sources = [
            one if one is None or dim is None else normalize(one[..., :dim], dim=-1) for one in (queries, keys, hard)
        ]
        sources = [None if one is None else one.to(dtype) for one in sources]
        wanted = wanted_gradients([*sources, tau], reduction)
        loss, *_, scores, rows = info_nce_op(
            *sources, tau, choice, columns, *ids, *guides, *settings, topk, reduction, wanted
        )
        return loss, scores, rows

    if matryoshka is None:
        loss, scores, rows = loss_of(None, topk)
    else:
        weights = _matryoshka(matryoshka, queries.shape[1])
        found = [loss_of(dim, topk if dim == max(weights) else 0) for dim in weights]
        loss = torch.stack([weight * one[0] for weight, one in zip(weights.values(), found, strict=True)]).sum(0)
        _, scores, rows = found[list(weights).index(max(weights))]
    return InfoNCEResult(loss, scores, rows) if topk else loss


def _hard_negatives(
    hard_negatives: Tensor | None, queries: Tensor, keys: Tensor
) -> tuple[Tensor | None, Tensor | None]:
    """As vectors or as rows of the keys."""
    if hard_negatives is None:
        return None, None
    if not isinstance(hard_negatives, Tensor) or not hard_negatives.is_floating_point():
        rows = integers(_LOSS, "hard_negatives", hard_negatives, (queries.shape[0], None))
        return None, rows_of_keys(_LOSS, "hard_negatives", rows, keys)
    check_vectors(_LOSS, "hard_negatives", hard_negatives, axes=3)
    check_same_dim(_LOSS, queries, "hard_negatives", hard_negatives)
    if len(hard_negatives) != len(queries):
        raise ValueError(f"{_LOSS}: hard_negatives must be [{len(queries)}, M, D], got {list(hard_negatives.shape)}")
    return hard_negatives, None


def _ids(
    query_ids: Tensor | None, key_ids: Tensor | None, columns: Tensor, pairs: bool, queries: Tensor, keys: Tensor
) -> tuple[Tensor | None, Tensor | None]:
    if query_ids is None and key_ids is None:
        return None, None
    if query_ids is not None:
        query_ids = integers(_LOSS, "query_ids", query_ids, (queries.shape[0],))
    if key_ids is not None:
        key_ids = integers(_LOSS, "key_ids", key_ids, (keys.shape[0],))
    if query_ids is not None and key_ids is not None:
        return query_ids, key_ids
    if columns.shape[1] != 1:
        raise ValueError(f"{_LOSS}: with several positives query_ids and key_ids belong together, got one of them")
    if key_ids is not None:  # without a positive there is no loss, whatever the id
        return key_ids[columns[:, 0].clamp_min(0)], key_ids
    assert query_ids is not None
    if not pairs:
        raise ValueError(f"{_LOSS}: with labels query_ids need key_ids, got none")
    # A key that is nobody's positive has an id of its own.
    others = torch.arange(len(keys) - len(queries), device=keys.device)
    return query_ids, torch.cat([query_ids, others + (query_ids.amax() + 1 if len(query_ids) else 0)])


def _guides(
    guide: Guide | None, queries: Tensor, keys: Tensor, hard: Tensor | None
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    if guide is None:
        return None, None, None
    names, beside = ("queries", "keys", "hard negatives"), [queries, keys] + ([] if hard is None else [hard])
    if len(guide) != len(beside):
        raise ValueError(f"{_LOSS}: guide must be vectors of {' and of '.join(names[: len(beside)])}, got {len(guide)}")
    for name, vectors, own in zip(names, guide, beside, strict=False):
        check_vectors(_LOSS, f"guide's {name}", vectors, own.dim())
        check_same_dim(_LOSS, guide[0], f"guide's {name}", vectors)
        if vectors.shape[:-1] != own.shape[:-1]:
            raise ValueError(f"{_LOSS}: guide's {name} must be {[*own.shape[:-1], 'G']}, got {list(vectors.shape)}")
    found = [one.detach() for one in guide]
    return found[0], found[1], found[2] if hard is not None else None


def _matryoshka(matryoshka: Sequence[int] | Mapping[int, float], dim: int) -> dict[int, float]:
    weights = dict(matryoshka) if isinstance(matryoshka, Mapping) else dict.fromkeys(matryoshka, 1.0)
    if not weights or not all(isinstance(one, int) and 0 < one <= dim for one in weights):
        raise ValueError(f"{_LOSS}: matryoshka must be dimensions from 1 to {dim}, got {list(weights)}")
    return weights
