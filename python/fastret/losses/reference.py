"""The definition of info_nce, every option of it: plain torch, differentiable, with all scores at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..ops.contrastive_reference import contrastive_losses

_Block: TypeAlias = "tuple[Tensor, Tensor, Tensor]"  # scores, what they are judged by, presence: [R, C] each


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
    false_negative_mode: str = "absolute",
    guide: tuple[Tensor, ...] | None = None,
    hardness: float = 0.0,
    margin: float = 0.0,
    label_smoothing: float = 0.0,
    symmetric: bool = False,
    query_query: bool = False,
    key_key: bool = False,
    matryoshka: Sequence[int] | Mapping[int, float] | None = None,
    reduction: str = "mean",
) -> Tensor:
    """As `fastret.info_nce`."""
    settings = {name: value for name, value in locals().items() if name not in ("queries", "keys", "matryoshka")}
    if matryoshka is not None:
        weights = matryoshka if isinstance(matryoshka, Mapping) else dict.fromkeys(matryoshka, 1.0)
        total = torch.zeros((), dtype=queries.dtype)
        for dim, weight in weights.items():
            if hard_negatives is not None and hard_negatives.is_floating_point():
                settings["hard_negatives"] = normalize(hard_negatives[..., :dim], dim=-1)
            cut = [normalize(vectors[:, :dim], dim=1) for vectors in (queries, keys)]
            total = total + weight * info_nce(*cut, **settings)
        return total

    columns = (torch.arange(len(queries)) if labels is None else labels).reshape(len(queries), -1)
    positive = (columns[:, :, None] == torch.arange(len(keys))).any(1)  # [Q, N]
    if key_ids is None and query_ids is not None:
        key_ids = torch.cat([query_ids, query_ids.amax() + 1 + torch.arange(len(keys) - len(queries))])
    if query_ids is None:
        key_ids = torch.arange(len(keys)) if key_ids is None else key_ids
        query_ids = key_ids[columns[:, 0]] if settings["key_ids"] is not None else None

    def direction(vectors: list[Tensor], others: list[Tensor], positive: Tensor, own: bool, of_others: bool) -> Tensor:
        """[R] of anchors: vectors and others are those compared and those judged, ids last."""
        (a, judge_a, ids_a), (b, judge_b, ids_b) = vectors, others
        blocks: list[_Block] = [(a @ b.T, judge_a @ judge_b.T, ids_a[:, None] != ids_b)]
        if hard_negatives is not None and a is queries:
            blocks.append(_own_negatives(a, b, judge_a, judge_b, hard_negatives, guide, positive, ids_a, ids_b))
        if own:
            blocks.append((a @ a.T, judge_a @ judge_a.T, ids_a[:, None] != ids_a))
        if of_others:
            p = positive.int().argmax(1)
            blocks.append((b[p] @ b.T, judge_b[p] @ judge_b.T, ids_b[p][:, None] != ids_b))
        scores, judged, present = (torch.cat(parts, 1) for parts in zip(*blocks, strict=True))
        positive = torch.nn.functional.pad(positive, (0, scores.shape[1] - positive.shape[1]))
        if false_negative_margin is not None or guide is not None:
            least = torch.where(positive, judged, torch.inf).amin(1, keepdim=True)
            share = least.abs() if false_negative_mode == "relative" else 1
            present = present & (judged <= least - (false_negative_margin or 0) * share)
        return contrastive_losses(scores, positive, present, temperature, margin, hardness, label_smoothing)

    judges = (queries.detach(), keys.detach()) if guide is None else guide
    no_ids = torch.arange(len(queries)), len(queries) + torch.arange(len(keys))
    ids = no_ids if query_ids is None or key_ids is None else (query_ids, key_ids)
    of_queries, of_keys = ([queries, judges[0], ids[0]], [keys, judges[1], ids[1]])
    losses = direction(of_queries, of_keys, positive, query_query, key_key)
    if reduction == "mean":
        losses = losses.sum() / positive.any(1).sum().clamp_min(1)
    elif reduction == "sum":
        losses = losses.sum()
    if not symmetric:
        return losses
    of_keys_losses = direction(of_keys, of_queries, positive.T, key_key, query_query)
    if reduction == "mean":
        of_keys_losses = of_keys_losses.sum() / positive.any(0).sum().clamp_min(1)
    elif reduction == "sum":
        of_keys_losses = of_keys_losses.sum()
    return (losses + of_keys_losses) / 2


def _own_negatives(
    a: Tensor,
    b: Tensor,
    judge_a: Tensor,
    judge_b: Tensor,
    hard_negatives: Tensor,
    guide: tuple[Tensor, ...] | None,
    positive: Tensor,
    ids_a: Tensor,
    ids_b: Tensor,
) -> _Block:
    """Scores, what they are judged by, and presence of each anchor's own negatives."""
    if hard_negatives.is_floating_point():
        scores = torch.einsum("qd,qmd->qm", a, hard_negatives)
        judged = scores.detach() if guide is None else torch.einsum("qd,qmd->qm", judge_a, guide[2])
        return scores, judged, torch.ones_like(scores, dtype=torch.bool)
    rows = hard_negatives.clamp_min(0)
    present = (hard_negatives >= 0) & ~positive.gather(1, rows) & (ids_a[:, None] != ids_b[rows])
    return (a @ b.T).gather(1, rows), (judge_a @ judge_b.T).gather(1, rows), present
