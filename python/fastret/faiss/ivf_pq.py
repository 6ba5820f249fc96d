"""Inverted files of product-quantized vectors: FAISS's IndexIVFPQ."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..ops.product_codes import CodeLists, product_sums, range_search_product_codes, search_product_codes
from ..ops.search_nearest_lists import FoundNearest, Nearest, search_nearest_product_codes
from .index import Index
from .inverted_lists import Arena
from .ivf import IndexIVF, Visit
from .metrics import METRIC_INNER_PRODUCT, METRIC_L2, metric_name
from .product_quantizer import TABLE_VALUES, ProductQuantizer
from .vectors import AlignedTableFloat32, VectorField


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
    _terms: _ListTerms

    def __init__(
        self, quantizer: Index | None, d: int, nlist: int, pq: ProductQuantizer, metric: int, own_invlists: bool
    ) -> None:
        super().__init__(quantizer, d, nlist, pq.code_size, metric, own_invlists)
        self.pq = pq
        self.is_trained = False
        self._precomputed_table = torch.empty(0)
        self._terms = _ListTerms()

    def precompute_table(self) -> None:
        """Forget what was kept of lists, whose centroids may have changed."""
        self._terms = _ListTerms()
        if self.use_precomputed_table == 0 and self.by_residual and self._coarse().metric_type == METRIC_L2:
            self.use_precomputed_table = 1

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

    def _scan_nearest(self, rows: Tensor, nearest: Nearest, arena: Arena, k: int) -> FoundNearest | None:
        if self.metric_type not in (METRIC_INNER_PRODUCT, METRIC_L2):
            return None
        if self.by_residual and nearest.metric != metric_name(self.metric_type):
            return None
        terms = self._terms.of_all(arena, self) if self._has_terms else None
        if terms is None and self._has_terms:
            return None
        pq = self.pq
        return search_nearest_product_codes(
            rows,
            nearest,
            pq._trained_centroids,
            CodeLists(*arena, terms),
            pq.nbits,
            k,
            largest=self._largest,
            residual=self.by_residual,
            max_rows=self.max_codes,
        )

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
        return CodeLists(*visit.arena, self._terms.of(visit, self) if self._has_terms else None)

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


class _ListTerms:
    """|y_R|^2 + 2 y_C.y_R of the rows of an arena, for the lists that were visited since it changed."""

    def __init__(self) -> None:
        self._terms = torch.empty(0)  # [capacity]
        self._known = np.ones(1, bool)  # [nlist + 1]; the last stands for probe -1
        self._all_known, self._visits = False, 0
        self._codes: Tensor | None = None
        self._centroids: Tensor | None = None
        self._versions = (0, 0)

    def of(self, visit: Visit, index: IndexIVFProductCodes) -> Tensor:
        """[capacity] float32, right for the rows of the lists that are visited."""
        self._refresh(visit.arena, index)
        probes = visit.probes.numpy()
        self._visits += probes.size
        # After so many visits all lists cost no more than these did, and searches of few queries can count on them.
        everything = self._visits >= len(self._known) and not self._all_known
        if everything or not self._known[probes].all():
            new = np.flatnonzero(~self._known) if everything else np.unique(probes[~self._known[probes]])
            norms = index.pq._trained_centroids.square().sum(-1)
            for part in torch.split(torch.from_numpy(new), max(1, TABLE_VALUES // norms.numel())):
                self._compute(visit.arena, part, index, norms)
            self._known[new] = True
            self._all_known = bool(self._known.all())
        return self._terms

    def of_all(self, arena: Arena, index: IndexIVFProductCodes) -> Tensor | None:
        """[capacity] float32, if every list was visited."""
        self._refresh(arena, index)
        return self._terms if self._all_known else None

    def _refresh(self, arena: Arena, index: IndexIVFProductCodes) -> None:
        codes, centroids = arena.codes, index.pq._centroids
        # Tensors count the changes in place.
        versions = codes._version, centroids._version
        if self._codes is not codes or self._centroids is not centroids or self._versions != versions:
            self._codes, self._centroids, self._versions = codes, centroids, versions
            self._known = np.arange(len(arena.sizes) + 1) == len(arena.sizes)
            self._terms, self._all_known, self._visits = torch.zeros(len(codes)), False, 0

    def _compute(self, arena: Arena, list_nos: Tensor, index: IndexIVFProductCodes, norms: Tensor) -> None:
        tables = index.pq._tables(index._centroids_of(list_nos), squared_l2=False).mul_(2).add_(norms)
        lists = CodeLists(arena.codes, None, arena.starts[list_nos], arena.sizes[list_nos])
        self._terms[arena.positions(list_nos)] = product_sums(tables, lists, index.pq.nbits)
