"""The hardest documents of a block of queries that are within every limit."""

from __future__ import annotations

import random
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..index import FlatIndex
from ..ops import cosine_scores
from .options import MiningOptions
from .pairs import Pairs
from .rescoring import Rescorer, rescore
from .sources import Rows

_WIDENING = 4  # how many times more candidates a query gets that found too few
_MOST_CANDIDATES = 1 << 24  # held at once, some 400 MB: a query that finds too few may look at the whole corpus
_MOST_PAIRS = 8192  # of a query and a positive, whose embeddings are held at once


class Mined(NamedTuple):
    """What was found for one query."""

    number: int
    positive_scores: list[float]  # in the order of its positives
    negatives: list[int]  # at most num_negatives documents, hardest first
    negative_scores: list[float]


class Miner:
    """Mines blocks of queries; a block is the same whatever was mined before it."""

    def __init__(
        self,
        pairs: Pairs,
        options: MiningOptions,
        queries: Rows,
        query_positions: Tensor,  # [Q] int64: where among them each query is
        index: FlatIndex,  # the documents, under their numbers
        rescorer: Rescorer | None,
        batch_size: int,
    ) -> None:
        self._pairs, self._options = pairs, options
        self._queries, self._query_positions, self._index = queries, query_positions, index
        self._rescorer, self._batch_size = rescorer, batch_size
        self._own_documents = torch.tensor(pairs.own_documents()) if options.exclude_self else None
        random_or_rescored = options.sampling_strategy == "random" or rescorer is not None
        self._widens = options.range_max is None and not random_or_rescored
        self._range_max = options.last_rank(pairs.max_positives, rescorer is not None)
        # "top" looks no further than what it takes.
        hardest = options.range_min + options.num_negatives
        self._columns = hardest if options.sampling_strategy == "top" else self._range_max

    def mine(self, first: int, last: int) -> list[Mined]:
        """The negatives of the queries first ... last - 1."""
        options, numbers = self._options, torch.arange(first, last)
        queries = self._queries.take(self._query_positions[first:last]).to(self._index.device)
        positive_scores = self._positive_scores(first, queries)
        # Of several positives the least similar one sets the margin, as in sentence-transformers.
        worst = torch.tensor([min(scores) for scores in positive_scores], dtype=torch.float64)
        # As many more as there are positives, which are candidates too until they are known.
        width = self._range_max + self._pairs.max_positives
        scores, ids = self._ranked(numbers, queries, self._ceilings(worst), width)
        return [
            self._chosen(number, own, found_ids, found_scores)
            for number, own, found_ids, found_scores in zip(
                range(first, last),
                positive_scores,
                ids[:, options.range_min :].tolist(),
                scores[:, options.range_min :].tolist(),
                strict=True,
            )
        ]

    def _chosen(self, number: int, positive_scores: list[float], ids: list[int], scores: list[float]) -> Mined:
        wanted = self._options.num_negatives
        count = sum(id_ >= 0 for id_ in ids)  # they stand first
        places = list(range(min(count, wanted)))
        if self._options.sampling_strategy == "random" and count > wanted:
            # A generator per query, so that a run that goes on samples what one that was never stopped does.
            places = sorted(random.Random(f"{self._options.seed} {number}").sample(range(count), wanted))
        return Mined(number, positive_scores, [ids[i] for i in places], [scores[i] for i in places])

    def _ceilings(self, worst: Tensor) -> Tensor:
        """[B] float64: what no negative may score more than, by the score of the worst positive."""
        options = self._options
        ceilings = torch.full_like(worst, torch.inf if options.max_score is None else options.max_score)
        if options.absolute_margin is not None:
            ceilings = ceilings.minimum(worst - options.absolute_margin)
        if options.relative_margin is not None:
            ceilings = ceilings.minimum(worst - worst.abs() * options.relative_margin)
        return ceilings

    def _ranked(self, numbers: Tensor, queries: Tensor, ceilings: Tensor, width: int) -> tuple[Tensor, Tensor]:
        """Scores and documents [B, columns] within the limits, best first, then -inf and -1.

        They are chosen from the `width` best documents of each query, and from more for queries that would get too
        few, where nobody set a last rank.
        """
        width = min(width, self._index.ntotal)
        most = max(1, _MOST_CANDIDATES // max(1, width))
        if len(numbers) > most:
            parts = [
                self._ranked(numbers[i : i + most], queries[i : i + most], ceilings[i : i + most], width)
                for i in range(0, len(numbers), most)
            ]
            return torch.cat([scores for scores, _ in parts]), torch.cat([ids for _, ids in parts])
        scores, ids = self._candidates(numbers, queries, width)
        lowest = scores[:, -1]
        least = -torch.inf if self._options.min_score is None else self._options.min_score
        within = (scores > -torch.inf) & (scores.double() <= ceilings[:, None]) & (scores.double() >= least)
        if not self._options.include_positives:
            within &= ~self._are_positives(numbers, ids)
        scores, order = scores.masked_fill(~within, -torch.inf).sort(dim=1, descending=True, stable=True)
        ids = ids.masked_fill(~within, -1).gather(1, order)
        missing = (0, self._columns - width)  # negative where there are too many
        scores, ids = F.pad(scores, missing, value=-torch.inf), F.pad(ids, missing, value=-1)
        if self._widens and width < self._index.ntotal:
            short = (ids[:, -1] < 0) & (lowest.double() >= least)
            if short.any():
                scores[short], ids[short] = self._ranked(
                    numbers[short], queries[short], ceilings[short], _WIDENING * width
                )
        return scores, ids

    def _candidates(self, numbers: Tensor, queries: Tensor, width: int) -> tuple[Tensor, Tensor]:
        """The `width` best documents of each query, scored by the rescorer where there is one: [B, width] each."""
        itself = None if self._own_documents is None else self._own_documents[numbers][:, None]
        found = self._index.search(queries, width, excluded_ids=itself)
        scores, ids = found[0].cpu(), found[1].cpu()
        if self._rescorer is not None:
            asked = ids >= 0
            if not self._options.include_positives:
                asked &= ~self._are_positives(numbers, ids)
            rows, columns = asked.nonzero(as_tuple=True)
            asked_numbers, asked_ids = numbers[rows].tolist(), ids[rows, columns].tolist()
            scores[rows, columns] = self._rescored(asked_numbers, asked_ids)
        return scores, ids

    def _are_positives(self, numbers: Tensor, ids: Tensor) -> Tensor:
        """[B, W] bool: whether a document is one of the query's own positives."""
        positives = [self._pairs.positives[number] for number in numbers.tolist()]
        rows = torch.arange(len(numbers)).repeat_interleave(torch.tensor([len(own) for own in positives]))
        # One number for each pair of query and document. -1 becomes that of no pair or, harmlessly, of another query.
        n = len(self._pairs.corpus)
        taken = rows * n + torch.tensor(list(chain.from_iterable(positives)))
        return torch.isin(torch.arange(len(numbers))[:, None] * n + ids, taken) & (ids >= 0)

    def _positive_scores(self, first: int, queries: Tensor) -> list[list[float]]:
        """Of each query with each of its positives."""
        positives = self._pairs.positives[first : first + len(queries)]
        counts = [len(own) for own in positives]
        rows = torch.arange(len(queries)).repeat_interleave(torch.tensor(counts))
        documents = torch.tensor(list(chain.from_iterable(positives)))
        if self._rescorer is not None:
            scores = self._rescored((first + rows).tolist(), documents.tolist())
        else:
            parts = zip(torch.split(rows, _MOST_PAIRS), torch.split(documents, _MOST_PAIRS), strict=True)
            scores = torch.cat([self._pair_scores(queries[some], ids) for some, ids in parts])
        return [part.tolist() for part in torch.split(scores, counts)]

    def _pair_scores(self, queries: Tensor, documents: Tensor) -> Tensor:
        """[n] float32 of n queries [n, D] with a document each, the bits that the search gives them."""
        keys = self._index.reconstruct_batch(documents.to(self._index.device))
        scores: Tensor = cosine_scores(queries[:, None], keys[:, None], self._index.metric)
        return scores.flatten().cpu()

    def _rescored(self, numbers: list[int], documents: list[int]) -> Tensor:
        assert self._rescorer is not None
        queries, corpus = self._pairs.queries, self._pairs.corpus
        pairs = [(queries[query], corpus[document]) for query, document in zip(numbers, documents, strict=True)]
        return rescore(self._rescorer, pairs, self._batch_size)
