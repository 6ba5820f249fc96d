"""What the options of info_nce mean for softmaxes, blocks of scores and who is no candidate."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .blocks import Block, OwnCandidates, Vectors
from .column_lists import lists_of_pairs, positive_pairs, same_ids, transposed
from .contrastive_pass import ContrastivePass
from .softmax import Softmax

PAIRS_AT_ONCE = 4096


@dataclass(frozen=True)
class Options:
    """As of info_nce."""

    false_negative_margin: float | None
    relative: bool
    hardness: float
    margin: float
    label_smoothing: float
    symmetric: bool
    query_query: bool
    key_key: bool


@dataclass(frozen=True)
class Batch:
    """What info_nce compares."""

    queries: Vectors  # [Q, D]
    keys: Vectors  # [N, D]
    hard: Vectors | None  # [Q, M, D]
    choice: Tensor | None  # [Q, M] int64: rows of the keys that are hard negatives
    labels: Tensor  # [Q, P] int64, padded with -1
    query_ids: Tensor | None  # [Q] int64
    key_ids: Tensor | None  # [N] int64


class InfoNCEPass:
    """The softmax of the queries and, where the loss is symmetric, that of the keys."""

    def __init__(self, batch: Batch, options: Options, temperature: Tensor) -> None:
        self.batch, self._options = batch, options
        queries, keys = batch.queries, batch.keys
        pairs = positive_pairs(batch.labels)
        mirrored = transposed(pairs)
        inverse = 1 / temperature.double()
        self.softmax = self._softmax(pairs, queries, keys)
        self.key_softmax = self._softmax(mirrored, keys, queries) if options.symmetric else None
        blocks = [self._queries_with_keys(), *self._hard_negatives(), *self._like_with_like(queries, keys, pairs)]
        self.passes = [ContrastivePass(self.softmax, blocks, inverse, options.margin, self.key_softmax)]
        if self.key_softmax is not None:
            blocks = self._like_with_like(keys, queries, mirrored)
            if blocks:
                self.passes.append(ContrastivePass(self.key_softmax, blocks, inverse, options.margin))

    def stats(self, hardest: tuple[Tensor, Tensor] | None) -> None:
        """Let the softmaxes know all that their losses are made of."""
        self.passes[0].stats(hardest)
        for other in self.passes[1:]:
            other.stats()

    def gradients(self, weights: Tensor, key_weights: Tensor) -> None:
        """After `stats`: add the gradients of the losses times weights [Q] or [], [N] or []."""
        self.passes[0].gradients(weights, key_weights)
        for other in self.passes[1:]:
            other.gradients(key_weights)

    def stats_and_gradients(self, weights: Tensor, key_weights: Tensor, hardest: tuple[Tensor, Tensor] | None) -> None:
        if self.key_softmax is None:
            self.passes[0].stats_and_gradients(weights, hardest)
        else:
            self.stats(hardest)
            self.gradients(weights, key_weights)

    def score_products(self) -> Tensor:
        """The derivative of the weighted losses by 1 / temperature."""
        return torch.stack([one.score_products.sum() for one in self.passes]).sum()

    def _softmax(self, pairs: Tensor, anchors: Vectors, candidates: Vectors) -> Softmax:
        count = anchors.rows.shape[0]
        limits = self._limits(pairs, anchors, candidates)
        return Softmax(count, lists_of_pairs(pairs, count), self._options.label_smoothing, limits)

    def _limits(self, pairs: Tensor, anchors: Vectors, candidates: Vectors) -> Tensor | None:
        """[R] float64: the score above which a candidate may be a positive that nobody knows of."""
        margin = self._options.false_negative_margin
        if margin is None:
            return None
        left, right = (one.rows if one.guide is None else one.guide for one in (anchors, candidates))
        scores = [
            (left[rows].double() * right[columns].double()).sum(1)
            for rows, columns in torch.split(pairs, PAIRS_AT_ONCE, dim=1)
        ]
        least = left.new_full((left.shape[0],), torch.inf, dtype=torch.float64)
        least = least.scatter_reduce(0, pairs[0], torch.cat(scores), "amin")
        return least - margin * (least.abs() if self._options.relative else 1)

    def _queries_with_keys(self) -> Block:
        batch = self.batch
        block = Block(batch.queries, batch.keys, self._options.hardness, self.softmax.positives)
        if batch.query_ids is not None and batch.key_ids is not None:
            block.excluded = same_ids(batch.query_ids, batch.key_ids)
            block.excluded_rows = same_ids(batch.key_ids, batch.query_ids)
        return block

    def _hard_negatives(self) -> list[Block]:
        batch, hardness = self.batch, self._options.hardness
        if batch.hard is not None:
            return [OwnCandidates(batch.queries, batch.hard, hardness)]
        if batch.choice is None:
            return []
        absent = (batch.choice < 0) | (batch.choice[:, :, None] == batch.labels[:, None]).any(2)
        if batch.query_ids is not None and batch.key_ids is not None:
            absent |= batch.key_ids[batch.choice.clamp_min(0)] == batch.query_ids[:, None]
        return [OwnCandidates(batch.queries, batch.keys, hardness, choice=batch.choice, absent=absent)]

    def _like_with_like(self, anchors: Vectors, others: Vectors, pairs: Tensor) -> list[Block]:
        """Scores of the anchors with each other, and of the other sides of their pairs with each other."""
        hardness, blocks = self._options.hardness, list[Block]()
        for own in (anchors, others):
            wanted = self._options.query_query if own is self.batch.queries else self._options.key_key
            if not wanted or not own.rows.shape[0]:
                continue
            ids = self._ids(own)
            if own is anchors:
                blocks.append(Block(own, own, hardness, excluded=same_ids(ids, ids)))
            else:
                partners = pairs.new_full((anchors.rows.shape[0],), -1)
                partners[pairs[0]] = pairs[1]
                partner_ids = ids[partners.clamp_min(0)]
                blocks.append(Block(own, own, hardness, excluded=same_ids(partner_ids, ids), anchor_rows=partners))
        return blocks

    def _ids(self, vectors: Vectors) -> Tensor:
        ids = self.batch.query_ids if vectors is self.batch.queries else self.batch.key_ids
        return torch.arange(vectors.rows.shape[0], device=vectors.rows.device) if ids is None else ids
