"""Inverted files of product-quantized vectors: FAISS's IndexIVFPQ."""

from __future__ import annotations

import torch
from torch import Tensor

from ..ops.product_codes import CodeLists, product_sums, range_search_product_codes, search_product_codes
from .index import Index
from .inverted_lists import Arena
from .ivf import IndexIVF, Visit
from .metrics import METRIC_INNER_PRODUCT, METRIC_L2
from .product_quantizer import ProductQuantizer
from .vectors import AlignedTableFloat32, VectorField

_TABLE_VALUES = 1 << 24  # of tables that are held at a time


class IndexIVFPQ(IndexIVF):
    """An inverted file of codes of M numbers of nbits bits: faiss.IndexIVFPQ(quantizer, d, nlist, M, nbits, metric).

    With by_residual, what is quantized is the difference from the centroid of the list. Of squared distances, the
    part that does not depend on the query is kept for each vector that a search has visited, 4 bytes, where FAISS
    keeps tables for each list: use_precomputed_table tells what FAISS would do. polysemous_ht and
    scan_table_threshold trade accuracy or memory for speed in FAISS and change nothing here.
    """

    ScannerMode_Precomputed, ScannerMode_OnTheFly = range(2)

    pq: ProductQuantizer = ProductQuantizer()
    do_polysemous_training: bool = False
    polysemous_training: object = None
    polysemous_ht: int = 0
    scan_table_threshold: int = 0
    use_precomputed_table: int = 0
    precomputed_table = VectorField("_precomputed_table", AlignedTableFloat32)
    _precomputed_table: Tensor
    _terms: _ListTerms

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
        pq = ProductQuantizer(d, M, nbits)
        super().__init__(quantizer, d, nlist, pq.code_size, metric, own_invlists)
        self.pq = pq
        self.is_trained = False
        self._precomputed_table = torch.empty(0)
        self._terms = _ListTerms(nlist)

    def precompute_table(self) -> None:
        """Forget what was kept of lists, whose centroids may have changed."""
        self._terms = _ListTerms(self.nlist)
        if self.use_precomputed_table == 0 and self._has_terms and self._coarse().metric_type == METRIC_L2:
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


class _ListTerms:
    """|y_R|^2 + 2 y_C.y_R of the rows of an arena, for the lists that were visited since it changed."""

    def __init__(self, nlist: int) -> None:
        self._terms = torch.empty(0)  # [capacity]
        self._known = torch.zeros(nlist, dtype=torch.bool)
        self._made_of: tuple[Tensor, int, Tensor, int] | None = None

    def of(self, visit: Visit, index: IndexIVFPQ) -> Tensor:
        """[capacity] float32, right for the rows of the lists that are visited."""
        codes, centroids = visit.arena.codes, index.pq._trained_centroids
        # Tensors count the changes in place.
        made_of = codes, codes._version, index.pq._centroids, index.pq._centroids._version
        if self._made_of is None or any(a is not b for a, b in zip(self._made_of, made_of, strict=True)):
            self._made_of = made_of
            self._known = torch.zeros(len(visit.arena.sizes), dtype=torch.bool)
            self._terms = torch.zeros(len(codes))
        visited = visit.probes[visit.probes >= 0]
        new = visited[~self._known[visited]].unique()
        if len(new):
            norms = centroids.square().sum(-1)
            for part in new.split(max(1, _TABLE_VALUES // norms.numel())):
                self._compute(visit.arena, part, index, norms)
            self._known[new] = True
        return self._terms

    def _compute(self, arena: Arena, list_nos: Tensor, index: IndexIVFPQ, norms: Tensor) -> None:
        tables = index.pq._tables(index._centroids_of(list_nos), squared_l2=False).mul_(2).add_(norms)
        lists = CodeLists(arena.codes, None, arena.starts[list_nos], arena.sizes[list_nos])
        self._terms[arena.positions(list_nos)] = product_sums(tables, lists, index.pq.nbits)
