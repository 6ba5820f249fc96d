"""FAISS's rotation for product quantizers: OPQMatrix."""

from __future__ import annotations

import operator

import torch
from torch import Tensor

from ..codes.product_quantizer import ProductQuantizer
from .linear import LinearTransform, random_rotation
from .transform import sampled


class OPQMatrix(LinearTransform):
    """The rotation after which M sub-quantizers lose the least, by Ge et al. (2013), Optimized Product Quantization.

    Alternately trains a product quantizer of the rotated vectors, from where it stands, and rotates them towards what
    it decodes. OPQMatrix(d, M, d2) keeps d2 dimensions; -1: all.

    pq: the quantizer that is trained along the way; None: one of 8 bits.
    """

    M: int = 1
    niter: int = 50
    niter_pq: int = 4
    niter_pq_0: int = 40
    max_train_points: int = 256 * 256
    pq: ProductQuantizer | None = None

    def __init__(self, d: int = 0, M: int = 1, d2: int = -1) -> None:
        super().__init__(d, d if d2 == -1 else d2)
        self.M = operator.index(M)

    def _train(self, rows: Tensor) -> None:
        size = max(self.d_in, self.d_out)
        pq = self.pq if self.pq is not None else ProductQuantizer(self.d_out, self.M, 8)
        rows = sampled(rows, self.max_train_points)
        rows = torch.nn.functional.pad(rows - rows.mean(0), (0, size - self.d_in))
        rotation = (
            self._A.view(self.d_out, size) if self._A.numel() else random_rotation(size, size, 1234)[: self.d_out]
        )
        pq.cp.max_points_per_centroid = 1000
        for iteration in range(self.niter):
            pq.cp.niter = self.niter_pq if iteration else self.niter_pq_0
            rotated = rows @ rotation.T
            pq._train(rotated)
            decoded = pq._decode(pq._encode(rotated))
            if self.verbose:
                error = float((decoded - rotated).square().sum(1).mean())
                print(f"OPQMatrix: iteration {iteration + 1} of {self.niter}, squared error {error:.6g}", flush=True)
            u, _, v = torch.linalg.svd(rows.T @ decoded, full_matrices=False)
            rotation = (u @ v).T
            pq.train_type = ProductQuantizer.Train_hot_start
        self._A = rotation[:, : self.d_in].contiguous()
        self.is_trained = self.is_orthonormal = True
