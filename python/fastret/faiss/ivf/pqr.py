"""IndexIVFPQR: inverted files of product codes whose best are ranked anew by a second product quantizer."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..._C import Refinement
from ...ops.cosine_scores import cosine_scores
from ...ops.product_code_searcher import product_columns, refinement
from ..codes.product_quantizer import ProductQuantizer
from ..held_searcher import HeldSearcher
from ..index import Index
from ..metrics import METRIC_L2
from ..ranking import ranked
from ..search_parameters import SearchParametersIVF
from ..selectors import IDSelector
from ..vectors import UInt8Vector, VectorField
from .pq import IndexIVFPQ

_MOST_POINTS = 1000  # per centroid of the second quantizer, in training


class IndexIVFPQR(IndexIVFPQ):
    """IndexIVFPQ by L2 with codes of what it leaves, M_refine numbers of nbits_refine bits.

    faiss.IndexIVFPQR(quantizer, d, nlist, M, nbits, M_refine, nbits_refine). A search takes k * k_factor vectors of
    the inverted file and ranks them by both codes. Ids must be 0, 1, 2, ..., and vectors cannot be removed.
    """

    refine_pq: ProductQuantizer = ProductQuantizer()
    refine_codes = VectorField("_refine_codes", UInt8Vector)
    k_factor: float = 4.0
    _refine_codes: Tensor  # [ntotal, refine_pq.code_size] uint8, by id
    _held_refinement: HeldSearcher

    def __init__(
        self,
        quantizer: Index | None = None,
        d: int = 0,
        nlist: int = 0,
        M: int = 1,
        nbits: int = 0,
        M_refine: int = 1,
        nbits_refine: int = 0,
        own_invlists: bool = True,
    ) -> None:
        super().__init__(quantizer, d, nlist, M, nbits, METRIC_L2, own_invlists)
        self.refine_pq = ProductQuantizer(d, M_refine, nbits_refine)
        self.refine_pq.cp.max_points_per_centroid = _MOST_POINTS
        self._refine_codes = torch.empty(0, dtype=torch.uint8)
        self._held_refinement = HeldSearcher()

    @property
    def _codes_by_id(self) -> Tensor:
        return self._refine_codes.view(-1, self.refine_pq.code_size)

    def _training_rows(self) -> int | None:
        return max(int(pq.cp.max_points_per_centroid) * pq.ksub for pq in (self.pq, self.refine_pq))

    def _train_encoder(self, rows: Tensor) -> None:
        super()._train_encoder(rows)
        self.refine_pq._train(rows - self.pq._decode(self.pq._encode(rows)))

    def _add_core(self, rows: Tensor, given: Tensor | None, list_nos: Tensor) -> None:
        super()._add_core(rows, given, list_nos)
        left = rows - self._decode_rows(self._encode_rows(rows, list_nos), list_nos)
        left[list_nos < 0] = 0
        self._refine_codes = torch.cat([self._codes_by_id, self.refine_pq._encode(left)])

    def _refinement(self) -> Refinement | None:
        pq = self.refine_pq
        sources = pq._centroids, self._refine_codes, self.k_factor

        def make() -> Refinement:
            return refinement(product_columns(pq._trained_centroids), self._codes_by_id, self.k_factor)

        return self._held_refinement.of(sources, make, (pq._centroids._version,))

    def _find_in(
        self,
        rows: Tensor,
        k: int,
        probes: Tensor,
        coarse_scores: Tensor,
        how: SearchParametersIVF | None,
        pairs: bool = False,
    ) -> tuple[Tensor, Tensor]:
        parts = []
        for block in self.pq._query_blocks(len(rows)):
            _, places = super()._find_in(
                rows[block], int(k * self.k_factor), probes[block], coarse_scores[block], how, pairs=True
            )
            parts.append(self._ranked(rows[block], k, places, pairs))
        scores, labels = zip(*parts, strict=True)
        return torch.cat(scores), torch.cat(labels)

    def _ranked(self, rows: Tensor, k: int, places: Tensor, pairs: bool) -> tuple[Tensor, Tensor]:
        """The k best of places [Q, C], of equal scores the smaller id first."""
        ids, found = places.clone(), places >= 0
        _, ids[found] = self._rows_at(places[found])
        ids, order = ids.sort(1)
        places, found = places.gather(1, order), found.gather(1, order)
        vectors = torch.zeros(*places.shape, self.d)
        vectors[found] = self._vectors_at(places[found])
        scores = torch.as_tensor(cosine_scores(rows[:, None], vectors, "l2"))[:, 0]
        columns = torch.arange(places.shape[1]).expand(places.shape)
        best, chosen = ranked(scores, columns, k, similarity=False, found=found)
        return best, F.pad(places if pairs else ids, (1, 0), value=-1).gather(1, chosen + 1)

    def _decode_entries(self, codes: Tensor, ids: Tensor, list_nos: Tensor) -> Tensor:
        if len(ids) and not (int(ids.min()) >= 0 and int(ids.max()) < len(self._codes_by_id)):
            self._refuse("search", f"ids must be 0, 1, 2, ... below {len(self._codes_by_id)}, got {int(ids.max())}")
        return self._decode_rows(codes, list_nos) + self.refine_pq._decode(self._codes_by_id[ids])

    def _remove(self, selector: IDSelector) -> int:
        self._refuse("remove_ids", "the codes of the second quantizer are kept by id")

    def _reset(self) -> None:
        super()._reset()
        self._refine_codes = torch.empty(0, dtype=torch.uint8)

    def _merge_from(self, other: Index, add_id: int) -> None:
        super()._merge_from(other, add_id)
        assert isinstance(other, IndexIVFPQR)
        self._refine_codes = torch.cat([self._codes_by_id, other._codes_by_id])
        other._refine_codes = torch.empty(0, dtype=torch.uint8)
