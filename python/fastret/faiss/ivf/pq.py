"""Inverted files of product-quantized vectors: FAISS's IndexIVFPQ."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from ..._C import ListTerms, ProductCodeSearcher, ProductColumns, Refinement
from ...ops.product_code_searcher import list_terms, product_code_searcher, product_columns
from ...ops.product_codes import CodeLists, range_search_product_codes, search_product_codes
from ..codes.product_quantizer import ProductQuantizer
from ..flat import IndexFlat, is_plain_flat
from ..held_searcher import HeldSearcher
from ..index import Index
from ..metrics import METRIC_INNER_PRODUCT, METRIC_L2, metric_name
from ..vectors import AlignedTableFloat32, VectorField
from .index import IndexIVF, Visit
from .inverted_lists import Arena, ArrayInvertedLists


class IndexIVFProductCodes(IndexIVF):
    """The base of inverted files of product-quantized vectors. FAISS does not have it.

    With by_residual, what is quantized is the difference from the centroid of the list. Of squared distances, the
    part that does not depend on the query is kept for each vector that a search has visited, 4 bytes, where FAISS
    keeps tables for each list: use_precomputed_table tells what FAISS would do.
    """

    pq: ProductQuantizer = ProductQuantizer()
    use_precomputed_table: int = 0
    precomputed_table = VectorField("_precomputed_table", AlignedTableFloat32)
    _precomputed_table: Tensor
    _held_columns: HeldSearcher
    _held_terms: HeldSearcher

    def __init__(
        self, quantizer: Index | None, d: int, nlist: int, pq: ProductQuantizer, metric: int, own_invlists: bool
    ) -> None:
        super().__init__(quantizer, d, nlist, pq.code_size, metric, own_invlists)
        self.pq = pq
        self.is_trained = False
        self._precomputed_table = torch.empty(0)
        self._held_columns, self._held_terms = HeldSearcher(), HeldSearcher()

    def precompute_table(self) -> None:
        """Forget what was made of centroids, which may have changed."""
        self._forget_held()
        self._held_columns.forget()
        if self.use_precomputed_table == 0 and self.by_residual and self._coarse().metric_type == METRIC_L2:
            self.use_precomputed_table = 1

    def _forget_held(self) -> None:
        super()._forget_held()
        self._held_terms.forget()

    def _training_rows(self) -> int | None:
        return int(self.pq.cp.max_points_per_centroid) * self.pq.ksub

    def _train_encoder(self, rows: Tensor) -> None:
        self.pq._train(rows)
        self.precompute_table()

    def _encode_rows(self, rows: Tensor, list_nos: Tensor) -> Tensor:
        return self.pq._encode(rows - self._centroids_of(list_nos) if self.by_residual else rows)

    def _decode_rows(self, codes: Tensor, list_nos: Tensor) -> Tensor:
        rows = self.pq._decode(codes)
        return rows + self._centroids_of(list_nos) if self.by_residual else rows

    def _scan(self, rows: Tensor, visit: Visit, k: int) -> tuple[Tensor, Tensor]:
        lists = self._code_lists(visit)
        parts = [
            search_product_codes(
                self._tables(rows[block]),
                lists,
                visit.probes[block],
                self.pq.nbits,
                k,
                largest=self._largest,
                base=self._base(rows[block], visit, block),
                allowed=visit.allowed,
                max_rows=visit.max_rows,
            )
            for block in self.pq._query_blocks(len(rows))
        ]
        if len(parts) == 1:
            return parts[0]
        scores, positions = zip(*parts, strict=True)
        return torch.cat(scores), torch.cat(positions)

    def _searcher(self, coarse: IndexFlat, lists: ArrayInvertedLists) -> ProductCodeSearcher | None:
        arena, centroids = lists._arena(), self.pq._centroids
        settings, refinement = (self.nlist, self.metric_type, coarse.metric_type, self.by_residual), self._refinement()

        def make() -> ProductCodeSearcher | None:
            metric, coarse_metric = metric_name(self.metric_type), metric_name(coarse.metric_type)
            if self.metric_type not in (METRIC_INNER_PRODUCT, METRIC_L2) or metric is None or coarse_metric is None:
                return None
            if coarse.ntotal != self.nlist or (self.by_residual and metric != coarse_metric):
                return None
            if refinement is not None and self._largest:
                return None
            terms = self._terms(arena) if self._has_terms else None
            return product_code_searcher(
                coarse.vectors, coarse_metric, self._columns(), *arena, metric, self.by_residual, terms, refinement
            )

        sources = (coarse._version, *settings, refinement, centroids, *arena)
        return self._held_searcher.of(sources, make, (centroids._version, arena.codes._version))

    def _refinement(self) -> Refinement | None:
        """What ranks anew."""
        return None

    def _scan_range(self, rows: Tensor, visit: Visit, radius: float) -> tuple[Tensor, Tensor, Tensor]:
        lists = self._code_lists(visit)
        counts, scores, positions = [torch.zeros(1, dtype=torch.int64)], [], []
        for block in self.pq._query_blocks(len(rows)):
            lims, found, places = range_search_product_codes(
                self._tables(rows[block]),
                lists,
                visit.probes[block],
                self.pq.nbits,
                radius,
                largest=self._largest,
                base=self._base(rows[block], visit, block),
                allowed=visit.allowed,
            )
            counts.append(lims.diff())
            scores.append(found)
            positions.append(places)
        return torch.cat(counts).cumsum(0), torch.cat(scores), torch.cat(positions)

    # The squared distance of x to y_C + y_R, centroid and residual, is |x - y_C|^2 + (|y_R|^2 + 2 y_C.y_R) - 2 x.y_R:
    # the base of a list, the term of a row and a table of the query.

    @property
    def _largest(self) -> bool:
        return self.metric_type == METRIC_INNER_PRODUCT

    @property
    def _has_terms(self) -> bool:
        return self.by_residual and self.metric_type == METRIC_L2

    def _code_lists(self, visit: Visit) -> CodeLists:
        if self.metric_type not in (METRIC_INNER_PRODUCT, METRIC_L2):
            raise RuntimeError(
                f"{self._named('search')}: the metric must be METRIC_INNER_PRODUCT or METRIC_L2, got {self.metric_type}"
            )
        if not self._has_terms:
            return CodeLists(*visit.arena)
        terms = self._terms(visit.arena)
        missing = terms.missing(visit.probes.numpy())
        if len(missing):
            terms.make(missing, self._centroids_of(torch.from_numpy(missing)).numpy())
        return CodeLists(*visit.arena, torch.from_numpy(terms.values))

    def _terms(self, arena: Arena) -> ListTerms:
        """Those of list_terms, for the lists that were visited since the arena changed."""
        coarse, columns = self._coarse(), self._columns()
        centroids = coarse._version if is_plain_flat(coarse) else coarse
        make = partial(list_terms, columns, *arena)
        return self._held_terms.of((centroids, columns, *arena), make, (arena.codes._version,))

    def _columns(self) -> ProductColumns:
        centroids = self.pq._centroids
        make = partial(product_columns, self.pq._trained_centroids)
        return self._held_columns.of((centroids,), make, (centroids._version,))

    def _tables(self, rows: Tensor) -> Tensor:
        tables = self.pq._tables(rows, squared_l2=not (self._largest or self.by_residual))
        return tables.mul_(-2) if self._has_terms else tables

    def _base(self, rows: Tensor, visit: Visit, block: slice) -> Tensor | None:
        if not self.by_residual:
            return None
        if self._coarse().metric_type == self.metric_type:
            return visit.coarse_scores[block]
        probes = visit.probes[block]
        centroids = self._centroids_of(probes.reshape(-1)).reshape(*probes.shape, self.d)
        if self._largest:
            return (centroids * rows[:, None]).sum(-1)
        return (centroids - rows[:, None]).square().sum(-1)


class IndexIVFPQ(IndexIVFProductCodes):
    """An inverted file of codes of M numbers of nbits bits: faiss.IndexIVFPQ(quantizer, d, nlist, M, nbits, metric).

    polysemous_ht and scan_table_threshold trade accuracy or memory for speed in FAISS and change nothing here.
    """

    ScannerMode_Precomputed, ScannerMode_OnTheFly = range(2)

    do_polysemous_training: bool = False
    polysemous_training: object = None
    polysemous_ht: int = 0
    scan_table_threshold: int = 0

    def __init__(
        self,
        quantizer: Index | None = None,
        d: int = 0,
        nlist: int = 0,
        M: int = 1,
        nbits: int = 0,
        metric: int = METRIC_L2,
        own_invlists: bool = True,
    ) -> None:
        super().__init__(quantizer, d, nlist, ProductQuantizer(d, M, nbits), metric, own_invlists)
