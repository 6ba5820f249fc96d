"""IndexIVFPQFastScan: inverted files of 4-bit codes, which FAISS stores in blocks for its fastest scan."""

from __future__ import annotations

import operator

from ..codes.pq_fast_scan import BLOCK_ROWS, FastScan, check_fast_scan
from ..codes.product_quantizer import ProductQuantizer
from ..index import Index
from ..metrics import METRIC_L2
from .inverted_lists import InvertedLists
from .pq import IndexIVFPQ, IndexIVFProductCodes


class IndexIVFFastScan(FastScan, IndexIVFProductCodes):
    """The base of inverted files of 4-bit codes. Lists hold codes row by row, and in blocks only inside files.

    qbs2 is kept and changes nothing.
    """

    qbs2: int = 0


class IndexIVFPQFastScan(IndexIVFFastScan):
    """An inverted file of codes of M numbers of 4 bits, or those of an IndexIVFPQ of 4 bits.

    faiss.IndexIVFPQFastScan(quantizer, d, nlist, M, 4, metric, bbs), faiss.IndexIVFPQFastScan(index_ivfpq, bbs)
    """

    by_residual: bool = False

    def __init__(
        self,
        quantizer: Index | None = None,
        d: int = 0,
        nlist: int = 0,
        M: int = 1,
        nbits: int = 4,
        metric: int = METRIC_L2,
        bbs: int = BLOCK_ROWS,
        own_invlists: bool = True,
    ) -> None:
        if isinstance(quantizer, IndexIVFPQ):
            orig, bbs = quantizer, d or bbs
            check_fast_scan(type(self).__name__, orig.pq.nbits, bbs)
            super().__init__(orig.quantizer, orig.d, orig.nlist, orig.pq, orig.metric_type, True)
            self.by_residual, self.is_trained, self.nprobe = orig.by_residual, orig.is_trained, orig.nprobe
            everything = InvertedLists.SUBSET_TYPE_INVLIST
            self.ntotal = orig._lists().copy_subset_to(self._lists(), everything, 0, orig.nlist)
            self.precompute_table()
        else:
            check_fast_scan(type(self).__name__, nbits, bbs)
            super().__init__(quantizer, d, nlist, ProductQuantizer(d, M, nbits), metric, own_invlists)
        self.bbs = operator.index(bbs)
