"""IndexPQFastScan: codes of 4 bits, which FAISS stores in blocks for its fastest scan."""

from __future__ import annotations

import operator

import torch
from torch import Tensor
from torch.nn import functional as F

from ..metrics import METRIC_L2
from ..vectors import AlignedTableUint8, VectorField
from .index_pq import IndexOfProductCodes, IndexPQ
from .product_quantizer import ProductQuantizer

BLOCK_ROWS = 32
# Row j and row j + 16 of a block share byte _ORDER.index(j) of each of its columns.
_ORDER = torch.tensor([0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15])


class FastScan:
    """What indexes of 4-bit codes have in common.

    Scores are exact sums of what the codes stand for, where FAISS rounds each addend to 8 bits; bbs, qbs, skip and
    implem, which choose among its ways to scan, are kept in files and change nothing.
    """

    pq: ProductQuantizer
    bbs: int = BLOCK_ROWS
    qbs: int = 0
    implem: int = 0
    skip: int = 0

    @property
    def M(self) -> int:
        return self.pq.M

    @property
    def M2(self) -> int:
        """M, up to an even number."""
        return self.pq.M + self.pq.M % 2

    @property
    def nbits(self) -> int:
        return self.pq.nbits

    @property
    def ksub(self) -> int:
        return self.pq.ksub


class IndexFastScan(FastScan, IndexOfProductCodes):
    """The base of indexes of 4-bit codes."""

    codes = VectorField("_blocks", AlignedTableUint8, writable=False)  # type: ignore[assignment]

    @property
    def ntotal2(self) -> int:
        """ntotal, up to whole blocks."""
        return -(-self.ntotal // self.bbs) * self.bbs

    @property
    def _blocks(self) -> Tensor:
        return packed_blocks(self._codes, self.bbs)


class IndexPQFastScan(IndexFastScan):
    """Vectors as codes of M numbers of 4 bits: faiss.IndexPQFastScan(d, M, 4, metric, bbs), or of an IndexPQ."""

    def __init__(
        self, d: int | IndexPQ = 0, M: int = 1, nbits: int = 4, metric: int = METRIC_L2, bbs: int = 32
    ) -> None:
        if isinstance(d, IndexPQ):
            # As FAISS calls it: IndexPQFastScan(orig, bbs)
            orig, bbs = d, M if M > 1 else bbs
            check_fast_scan(type(self).__name__, orig.pq.nbits, bbs)
            self.pq, self.bbs = orig.pq, bbs
            super().__init__(orig.d, orig.metric_type)
            self._append(orig._codes)
            self.is_trained = orig.is_trained
            return
        check_fast_scan(type(self).__name__, nbits, bbs)
        self.pq, self.bbs = ProductQuantizer(d, M, nbits), operator.index(bbs)
        super().__init__(d, metric)


def check_fast_scan(name: str, nbits: int, bbs: int) -> None:
    """Raises RuntimeError for what FAISS cannot store in blocks."""
    if nbits != 4:
        raise RuntimeError(f"{name}: nbits must be 4, got {nbits}")
    if bbs <= 0 or bbs % BLOCK_ROWS:
        raise RuntimeError(f"{name}: bbs must be a multiple of {BLOCK_ROWS}, got {bbs}")


def packed_blocks(codes: Tensor, rows_of_block: int) -> Tensor:
    """Codes [n, ceil(M / 2)] uint8 as FAISS stores them: [blocks, ceil(M / 2), rows_of_block] bytes, flat.

    Of 32 rows and two codes of each, 16 bytes hold the first codes and 16 the second ones, the lower halves those of
    rows 0 ... 15, the upper halves those of rows 16 ... 31.
    """
    rows = F.pad(codes, (0, 0, 0, -len(codes) % rows_of_block))
    columns = rows.reshape(-1, rows_of_block // BLOCK_ROWS, BLOCK_ROWS, codes.shape[1]).permute(0, 3, 1, 2)
    halves = torch.stack([columns & 15, columns >> 4], dim=3)  # [blocks, columns, parts, 2, 32]
    return (halves[..., _ORDER] | halves[..., _ORDER + 16] << 4).reshape(-1)


def unpacked_blocks(blocks: Tensor, n: int, code_size: int, rows_of_block: int) -> Tensor:
    """The inverse of packed_blocks."""
    halves = blocks.reshape(-1, code_size, rows_of_block // BLOCK_ROWS, 2, 16)[..., _ORDER.argsort()]
    columns = torch.cat([halves & 15, halves >> 4], dim=-1)
    rows = columns[..., 0, :] | columns[..., 1, :] << 4  # [blocks, columns, parts, 32]
    return rows.permute(0, 2, 3, 1).reshape(-1, code_size)[:n].contiguous()
