"""FAISS's ProductQuantizer: vectors as the numbers of the nearest centroids of their sub-vectors."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...ops.product_codes import code_size, decode_product_codes, encode_product_codes, product_tables
from ..arrays import code_rows, float32_rows, in_kind_of
from ..clustering.clustering import Clustering, ClusteringParameters
from ..flat import IndexFlatL2
from ..index import Index
from ..pointers import Pointer, rev_swig_ptr
from ..struct import FaissObject
from ..vectors import Float32Vector, VectorField

_MOST_BITS = 16
TABLE_VALUES = 1 << 24  # of tables that are held at a time


class ProductQuantizer(FaissObject):
    """Codes of vectors of d: M numbers of nbits bits each, packed: faiss.ProductQuantizer(d, M, nbits).

    Trained by k-means in each sub-space, with the seeds of FAISS: its centroids, up to rounding. nbits is 16 at most.
    """

    Train_default, Train_hot_start, Train_shared, Train_hypercube, Train_hypercube_pca = range(5)

    d: int = 0
    M: int = 1
    nbits: int = 0
    dsub: int = 0
    ksub: int = 1
    code_size: int = 0
    train_type: int = Train_default
    verbose: bool = False
    cp: ClusteringParameters = ClusteringParameters()
    assign_index: Index | None = None  # finds the nearest centroids in training, instead of an exact search
    centroids = VectorField("_centroids", Float32Vector)
    sdc_table = VectorField("_sdc_table", Float32Vector)
    _centroids: Tensor  # [M, ksub, dsub] float32
    _sdc_table: Tensor  # [M, ksub, ksub] float32, or empty

    def __init__(self, d: int = 0, M: int = 1, nbits: int = 0) -> None:
        self.d, self.M, self.nbits = operator.index(d), operator.index(M), operator.index(nbits)
        self.cp = ClusteringParameters()
        self._centroids = torch.empty(0)
        self.set_derived_values()

    def set_derived_values(self) -> None:
        """Set what follows from d, M and nbits. Raises RuntimeError for what cannot be."""
        if self.M <= 0 or self.d % self.M:
            raise RuntimeError(f"ProductQuantizer: M must be positive and divide d = {self.d}, got {self.M}")
        if not 0 <= self.nbits <= _MOST_BITS:
            raise RuntimeError(f"ProductQuantizer: nbits must be 0 to {_MOST_BITS}, got {self.nbits}")
        self.dsub, self.ksub = self.d // self.M, 1 << self.nbits
        self.code_size = code_size(self.M, self.nbits)
        shape = (self.M, self.ksub, self.dsub)
        if self._centroids.numel() != self.d * self.ksub:
            self._centroids = torch.zeros(shape)
        self._sdc_table = torch.empty(0)

    def train(self, x: Any) -> None:
        """Learn the centroids from vectors x [n, d]. Raises RuntimeError for fewer than ksub."""
        self._train(float32_rows("ProductQuantizer.train", x, self.d))

    def compute_codes(self, x: Any) -> Any:
        """The codes of vectors x [n, d]: [n, code_size] uint8."""
        return in_kind_of(x, self._encode(float32_rows("ProductQuantizer.compute_codes", x, self.d)))

    def decode(self, codes: Any) -> Any:
        """The vectors [n, d] float32 that codes [n, code_size] uint8 stand for."""
        return in_kind_of(codes, self._decode(code_rows("ProductQuantizer.decode", codes, self.code_size)))

    def compute_distance_table(self, x: Pointer, dis_table: Pointer) -> None:
        """The squared distances of the sub-vectors of x [d] to all centroids, into dis_table [M, ksub]."""
        self.compute_distance_tables(1, x, dis_table)

    def compute_distance_tables(self, nx: int, x: Pointer, dis_tables: Pointer) -> None:
        """The same of x [nx, d], into dis_tables [nx, M, ksub]."""
        self._write_tables(nx, x, dis_tables, squared_l2=True)

    def compute_inner_prod_table(self, x: Pointer, dis_table: Pointer) -> None:
        """The inner products of the sub-vectors of x [d] with all centroids, into dis_table [M, ksub]."""
        self.compute_inner_prod_tables(1, x, dis_table)

    def compute_inner_prod_tables(self, nx: int, x: Pointer, dis_tables: Pointer) -> None:
        """The same of x [nx, d], into dis_tables [nx, M, ksub]."""
        self._write_tables(nx, x, dis_tables, squared_l2=False)

    def compute_sdc_table(self) -> None:
        """Fill sdc_table [M, ksub, ksub]: the squared distances between the centroids of each sub-space."""
        tables = [product_tables(c, c[None], self.nbits, squared_l2=True)[:, 0] for c in self._trained_centroids]
        self._sdc_table = torch.stack(tables)

    def get_centroids(self, m: int, i: int) -> Pointer:
        """A pointer to centroid i of sub-space m, [dsub]."""
        return Pointer.to(self._trained_centroids[operator.index(m), operator.index(i) :].numpy())

    def set_params(self, centroids: Pointer, m: int) -> None:
        """Set the centroids [ksub, dsub] of sub-space m."""
        given = rev_swig_ptr(centroids, self.ksub * self.dsub).reshape(self.ksub, self.dsub)
        self._trained_centroids[operator.index(m)] = torch.from_numpy(np.array(given, np.float32))

    def _train(self, rows: Tensor) -> None:
        if self.train_type == self.Train_shared:
            self._centroids = self._clustered(rows.reshape(-1, self.dsub), None).expand(self.M, -1, -1).contiguous()
            return
        if self.train_type not in (self.Train_default, self.Train_hot_start):
            raise RuntimeError(
                f"ProductQuantizer.train: train_type {self.train_type} is not known here, Train_default, "
                "Train_hot_start and Train_shared are; real faiss can be used for it: pip install faiss-cpu"
            )
        hot = self.train_type == self.Train_hot_start
        sub_vectors = rows.reshape(-1, self.M, self.dsub)
        clustered = []
        for m in range(self.M):
            if self.verbose:
                print(f"ProductQuantizer: sub-space {m + 1} of {self.M}", flush=True)
            clustered.append(
                self._clustered(sub_vectors[:, m].contiguous(), self._trained_centroids[m] if hot else None)
            )
        self._centroids = torch.stack(clustered)

    def _clustered(self, rows: Tensor, start: Tensor | None) -> Tensor:
        clustering = Clustering(self.dsub, self.ksub, self.cp)
        clustering.verbose = clustering.verbose or self.verbose
        if start is not None:
            clustering._centroids = start.clone()
        index = self.assign_index if self.assign_index is not None else IndexFlatL2(self.dsub)
        clustering.train(rows, index)
        return clustering._centroids.reshape(self.ksub, self.dsub)

    @property
    def _trained_centroids(self) -> Tensor:
        return self._centroids.view(self.M, self.ksub, self.dsub)

    def _encode(self, rows: Tensor) -> Tensor:
        return encode_product_codes(rows, self._trained_centroids, self.nbits)

    def _decode(self, codes: Tensor) -> Tensor:
        return decode_product_codes(codes, self._trained_centroids, self.nbits)

    def _tables(self, rows: Tensor, squared_l2: bool) -> Tensor:
        return product_tables(rows, self._trained_centroids, self.nbits, squared_l2)

    def _query_blocks(self, n: int) -> list[slice]:
        """Of so many queries that their tables take little memory."""
        block = max(1, TABLE_VALUES // max(1, self.M * self.ksub))
        return [slice(i, min(n, i + block)) for i in range(0, n, block)] or [slice(0, 0)]

    def _write_tables(self, nx: int, x: Pointer, out: Pointer, squared_l2: bool) -> None:
        nx = operator.index(nx)
        rows = torch.from_numpy(np.array(rev_swig_ptr(x, nx * self.d), np.float32).reshape(nx, self.d))
        rev_swig_ptr(out, nx * self.M * self.ksub)[:] = self._tables(rows, squared_l2).reshape(-1).numpy()
