"""Inverted files of whole vectors and of scalar-quantized ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..._C import ListSearcher
from ...ops.list_searcher import list_searcher
from ...ops.search_lists import InvertedRows, range_search_lists, search_lists
from ..arrays import within_float32
from ..codes.index_scalar_quantizer import CODECS
from ..codes.scalar_quantizer import ScalarQuantizer
from ..extra_metrics import extra_range_search, extra_search
from ..flat import IndexFlat
from ..index import Index
from ..metrics import METRIC_L2, metric_name
from .index import IndexIVF, Visit
from .inverted_lists import Arena, ArrayInvertedLists


class IndexIVFRows(IndexIVF):
    """The base of inverted files whose codes stand for rows, which searches score exactly. FAISS does not have it."""

    def _inverted_rows(self, arena: Arena) -> InvertedRows:
        """The lists as the native search takes them."""
        raise RuntimeError(f"{type(self).__name__}: this kind of index stores no rows")

    def _scan(self, rows: Tensor, visit: Visit, k: int) -> tuple[Tensor, Tensor]:
        metric = metric_name(self.metric_type)
        if metric is not None:
            lists = self._inverted_rows(visit.arena)
            found = search_lists(rows, lists, visit.probes, k, metric, allowed=visit.allowed, max_rows=visit.max_rows)
            return within_float32(*found, metric)
        scores, places = [torch.empty(0, k)], [torch.empty(0, k, dtype=torch.int64)]
        for row, vectors, positions in self._visited(rows, visit):
            best, columns = extra_search(row, vectors, k, self.metric_type, self.metric_arg)
            scores.append(best)
            places.append(F.pad(positions, (0, 1), value=-1)[columns])
        return torch.cat(scores), torch.cat(places)

    def _searcher(self, coarse: IndexFlat, lists: ArrayInvertedLists) -> ListSearcher | None:
        arena = lists._arena()
        sources = (coarse._version, self.nlist, self.metric_type, coarse.metric_type, *arena, *self._decoder())

        def make() -> ListSearcher | None:
            metric, coarse_metric = metric_name(self.metric_type), metric_name(coarse.metric_type)
            if metric is None or coarse_metric is None or coarse.ntotal != self.nlist:
                return None
            return list_searcher(coarse.vectors, coarse_metric, self._inverted_rows(arena), metric)

        return self._held_searcher.of(sources, make)

    def _decoder(self) -> tuple[Any, ...]:
        """What codes are decoded by."""
        return ()

    def _scan_range(self, rows: Tensor, visit: Visit, radius: float) -> tuple[Tensor, Tensor, Tensor]:
        metric = metric_name(self.metric_type)
        if metric is not None:
            lists = self._inverted_rows(visit.arena)
            return range_search_lists(rows, lists, visit.probes, radius, metric, allowed=visit.allowed)
        counts, scores, places = [0], [torch.empty(0)], [torch.empty(0, dtype=torch.int64)]
        for row, vectors, positions in self._visited(rows, visit):
            _, found, columns = extra_range_search(row, vectors, radius, self.metric_type, self.metric_arg)
            counts.append(len(found))
            scores.append(found)
            places.append(positions[columns])
        return torch.tensor(counts).cumsum(0), torch.cat(scores), torch.cat(places)

    def _visited(self, rows: Tensor, visit: Visit) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Each query [1, d] with the vectors [n, d] that it may find, and their positions, by id."""
        for row, probe in zip(torch.split(rows, 1), visit.probes, strict=True):
            positions = visit.arena.positions(probe[probe >= 0])[: visit.max_rows or None]
            if visit.allowed is not None:
                positions = positions[visit.allowed[positions]]
            positions = positions[visit.arena.ids[positions].argsort(stable=True)]
            vectors = self._decode_rows(visit.arena.codes[positions], visit.arena.lists_of(positions))
            yield row, vectors, positions


class IndexIVFFlat(IndexIVFRows):
    """An inverted file of float32 vectors: faiss.IndexIVFFlat(quantizer, d, nlist, metric)."""

    by_residual: bool = False

    def __init__(
        self,
        quantizer: Index | None = None,
        d: int = 0,
        nlist: int = 0,
        metric: int = METRIC_L2,
        own_invlists: bool = True,
    ) -> None:
        super().__init__(quantizer, d, nlist, 4 * d, metric, own_invlists)

    def _encode_rows(self, rows: Tensor, list_nos: Tensor) -> Tensor:
        return rows.reshape(-1).view(torch.uint8).reshape(len(rows), self.code_size)

    def _decode_rows(self, codes: Tensor, list_nos: Tensor) -> Tensor:
        return codes.contiguous().view(torch.float32).reshape(len(codes), self.d)

    def _inverted_rows(self, arena: Arena) -> InvertedRows:
        return InvertedRows(*arena)


class IndexIVFScalarQuantizer(IndexIVFRows):
    """An inverted file of scalar-quantized vectors: faiss.IndexIVFScalarQuantizer(quantizer, d, nlist, qtype, metric).

    With by_residual, what is quantized is the difference from the centroid of the list.
    """

    sq: ScalarQuantizer = ScalarQuantizer()

    def __init__(
        self,
        quantizer: Index | None = None,
        d: int = 0,
        nlist: int = 0,
        qtype: int = ScalarQuantizer.QT_8bit,
        metric: int = METRIC_L2,
        by_residual: bool = True,
        own_invlists: bool = True,
    ) -> None:
        sq = ScalarQuantizer(d, qtype)
        super().__init__(quantizer, d, nlist, sq.code_size, metric, own_invlists)
        self.sq, self.by_residual = sq, bool(by_residual)
        self.is_trained = False

    def _training_rows(self) -> int | None:
        return 100000

    def _train_encoder(self, rows: Tensor) -> None:
        self.sq._train(rows)

    def _encode_rows(self, rows: Tensor, list_nos: Tensor) -> Tensor:
        return self.sq._encode(rows - self._centroids_of(list_nos) if self.by_residual else rows)

    def _decode_rows(self, codes: Tensor, list_nos: Tensor) -> Tensor:
        rows = self.sq._decode(codes)
        return rows + self._centroids_of(list_nos) if self.by_residual else rows

    def _decoder(self) -> tuple[Any, ...]:
        return self.sq.qtype, self.sq._trained, self.by_residual

    def _inverted_rows(self, arena: Arena) -> InvertedRows:
        ranges = self.sq._ranges if self.sq._has_ranges else None
        centroids = self._all_centroids() if self.by_residual else None
        return InvertedRows(*arena, CODECS[self.sq.qtype], ranges, centroids)
