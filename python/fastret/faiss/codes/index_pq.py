"""IndexPQ: a search of product-quantized vectors, all of them."""

from __future__ import annotations

import torch
from torch import Tensor

from ...ops import select_k
from ...ops.product_codes import CodeLists, range_search_product_codes, search_product_codes
from ..flat_codes import IndexOfCodes
from ..metrics import METRIC_INNER_PRODUCT, METRIC_L2
from ..search_parameters import SearchParameters, SearchParametersPQ
from .product_quantizer import ProductQuantizer

_BITS_SET = torch.tensor([bin(byte).count("1") for byte in range(256)], dtype=torch.uint8)


class IndexOfProductCodes(IndexOfCodes):
    """Searches by looking up what each number of a code adds to the score. Kinds add their constructors."""

    pq: ProductQuantizer = ProductQuantizer()
    is_trained: bool = False

    def _train(self, rows: Tensor) -> None:
        self.pq._train(rows)
        self.is_trained = True

    def _code_size(self) -> int:
        return self.pq.code_size

    def _encode(self, rows: Tensor) -> Tensor:
        return self.pq._encode(rows)

    def _decode(self, codes: Tensor) -> Tensor:
        return self.pq._decode(codes)

    def _search(self, rows: Tensor, k: int, params: SearchParameters | None) -> tuple[Tensor, Tensor]:
        blocks = [rows[block] for block in self.pq._query_blocks(len(rows))]
        return _joined([self._best(self._tables(block), k, params, self._largest) for block in blocks])

    def _best(self, tables: Tensor, k: int, params: SearchParameters | None, largest: bool) -> tuple[Tensor, Tensor]:
        return search_product_codes(
            tables,
            CodeLists.of_all(self._codes),
            torch.zeros(len(tables), 1, dtype=torch.int64),
            self.pq.nbits,
            k,
            largest=largest,
            allowed=self._allowed(params),
        )

    def _range_search(
        self, rows: Tensor, radius: float, params: SearchParameters | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        counts, scores, ids = [], [], []
        for block in self.pq._query_blocks(len(rows)):
            tables = self._tables(rows[block])
            lims, found, positions = range_search_product_codes(
                tables,
                CodeLists.of_all(self._codes),
                torch.zeros(len(tables), 1, dtype=torch.int64),
                self.pq.nbits,
                radius,
                largest=self._largest,
                allowed=self._allowed(params),
            )
            counts.append(lims.diff())
            scores.append(found)
            ids.append(positions)
        lims = torch.cat([torch.zeros(1, dtype=torch.int64), torch.cat(counts).cumsum(0)])
        return lims, torch.cat(scores), torch.cat(ids)

    @property
    def _largest(self) -> bool:
        return self.metric_type == METRIC_INNER_PRODUCT

    def _tables(self, rows: Tensor) -> Tensor:
        if self.metric_type not in (METRIC_INNER_PRODUCT, METRIC_L2):
            raise RuntimeError(
                f"{self._named('search')}: the metric must be METRIC_INNER_PRODUCT or METRIC_L2, got {self.metric_type}"
            )
        return self.pq._tables(rows, squared_l2=not self._largest)

    def _allowed(self, params: SearchParameters | None) -> Tensor | None:
        return None if params is None or params.sel is None else params.sel.members(torch.arange(self.ntotal))


class IndexPQ(IndexOfProductCodes):
    """Vectors as codes of M numbers of nbits bits: faiss.IndexPQ(d, M, nbits, metric).

    Of the ways to search, `search_type`, ST_PQ compares queries with what codes stand for, ST_SDC what their codes
    stand for, and ST_HE and ST_generalized_HE count the bits, or bytes, in which their codes differ. The polysemous
    types only leave out what Hamming distances exclude, to be faster: here they are ST_PQ, and training keeps the
    centroids in the order of k-means whatever do_polysemous_training says.
    """

    ST_PQ, ST_HE, ST_generalized_HE, ST_SDC, ST_polysemous, ST_polysemous_generalize = range(6)

    search_type: int = ST_PQ
    encode_signs: bool = False
    do_polysemous_training: bool = False
    polysemous_ht: int = 1

    def __init__(self, d: int = 0, M: int = 1, nbits: int = 0, metric: int = METRIC_L2) -> None:
        self.pq = ProductQuantizer(d, M, nbits)
        self.polysemous_ht = self.pq.nbits * self.pq.M + 1
        super().__init__(d, metric)

    def _search(self, rows: Tensor, k: int, params: SearchParameters | None) -> tuple[Tensor, Tensor]:
        search_type = params.search_type if isinstance(params, SearchParametersPQ) else self.search_type
        if search_type in (self.ST_PQ, self.ST_polysemous, self.ST_polysemous_generalize):
            return super()._search(rows, k, params)
        if search_type == self.ST_SDC:
            blocks = [self._decode(self._encode(rows[block])) for block in self.pq._query_blocks(len(rows))]
            return _joined([self._best(self.pq._tables(b, squared_l2=True), k, params, False) for b in blocks])
        if search_type in (self.ST_HE, self.ST_generalized_HE):
            return self._search_by_bits(rows, k, params, search_type == self.ST_HE)
        raise RuntimeError(f"{self._named('search')}: search_type must be ST_PQ ... (0 to 5), got {search_type}")

    def _search_by_bits(
        self, rows: Tensor, k: int, params: SearchParameters | None, single_bits: bool
    ) -> tuple[Tensor, Tensor]:
        allowed = self._allowed(params)
        best = [(torch.empty(0, k), torch.empty(0, k, dtype=torch.int64))]
        for code in self._query_codes(rows):
            differing = self._codes ^ code
            distances = (_BITS_SET[differing.int()] if single_bits else differing != 0).sum(1).float()
            if allowed is not None:
                distances[~allowed] = torch.nan
            best.append(select_k(distances[None], k, largest=False))
        return _joined(best)

    def _query_codes(self, rows: Tensor) -> Tensor:
        if not self.encode_signs:
            return self._encode(rows)
        if self.d != self.pq.nbits * self.pq.M:
            raise RuntimeError(f"{self._named('search')}: signs make codes where d is M * nbits, got d = {self.d}")
        bits = torch.nn.functional.pad(rows > 0, (0, -self.d % 8)).reshape(len(rows), -1, 8)
        return (bits << torch.arange(8)).sum(-1).to(torch.uint8)


def _joined(parts: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    scores, ids = zip(*parts, strict=True)
    return torch.cat(scores), torch.cat(ids)
