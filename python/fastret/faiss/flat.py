"""FAISS's flat indexes on top of FlatIndex."""

from __future__ import annotations

import operator
from typing import TypeGuard

import torch
from torch import Tensor

from ..index import FlatIndex
from .arrays import within_float32
from .extra_metrics import extra_range_search, extra_search, is_extra_metric
from .index import Index
from .metrics import METRIC_INNER_PRODUCT, METRIC_L2, metric_name
from .pointers import Pointer
from .search_parameters import SearchParameters
from .selectors import IDSelector
from .vectors import MaybeOwnedVectorUInt8, VectorField


class IndexFlatCodes(Index):
    """The base of indexes that hold one code per vector, numbered 0, 1, 2, ..."""

    @property
    def code_size(self) -> int:
        """Bytes per vector."""
        return self._code_size()


class IndexFlat(IndexFlatCodes):
    """Exact search over float32 vectors numbered 0, 1, 2, ...: faiss.IndexFlat(d, metric).

    Unlike FAISS on purpose: of equal scores the smaller id is first, once searches have made it worth it, packed
    vectors take a quarter more memory, and `codes` and get_xb are for reading. Beyond FAISS: METRIC_COSINE.
    """

    codes = VectorField("vectors", MaybeOwnedVectorUInt8, writable=False)
    _stored: FlatIndex

    def __init__(self, d: int = 0, metric: int = METRIC_L2) -> None:
        super().__init__(d, metric)
        self._stored = FlatIndex(self.d, metric_name(self.metric_type) or "l2")

    def _by_metric(self) -> FlatIndex | None:
        """What searches by the metric, which may have been set since; None for one of `extra_metrics`."""
        if is_extra_metric(self.metric_type):
            return None
        name = metric_name(self.metric_type)
        if name is None:
            self._refuse("search", f"metric {self.metric_type} is not known")
        if name != self._stored.metric:
            self._stored = FlatIndex.over(self._stored.vectors, name)
        return self._stored

    @property
    def ntotal(self) -> int:
        return self._stored.ntotal

    @ntotal.setter
    def ntotal(self, ntotal: int) -> None:
        if ntotal != self.ntotal:
            raise RuntimeError(f"{self._named('ntotal')}: it is the number of vectors and cannot be set to {ntotal}")

    @property
    def vectors(self) -> Tensor:
        """[ntotal, d] float32: a view, not to be written to. FAISS does not have it."""
        return self._stored.vectors

    @vectors.setter
    def vectors(self, vectors: Tensor) -> None:
        """Hold vectors [n, d], or [n * d], without a copy; they must not change."""
        if self.d == 0 or vectors.numel() % self.d:
            raise RuntimeError(f"{self._named('codes')}: {vectors.numel()} numbers are no vectors of {self.d}")
        self._adopt(vectors.reshape(-1, self.d))

    @property
    def _version(self) -> object:
        """Another object after every change of the vectors."""
        return self._stored.version

    def get_xb(self) -> Pointer:
        """A pointer to the vectors, ntotal * d float32, for reading."""
        return Pointer.to(self.codes.array().view("float32"))

    def _adopt(self, vectors: Tensor) -> None:
        """Hold vectors [n, d] without a copy; they must not change."""
        self._stored = FlatIndex.over(vectors, self._stored.metric)

    def _add(self, rows: Tensor) -> None:
        self._stored.add(rows)

    def _search(self, rows: Tensor, k: int, params: SearchParameters | None) -> tuple[Tensor, Tensor]:
        allowed, stored = self._allowed(params), self._by_metric()
        if stored is None:
            return extra_search(rows, self.vectors, k, self.metric_type, self.metric_arg, allowed)
        scores, ids = stored.search(rows, k, allowed_ids=allowed)
        return within_float32(scores, ids, stored.metric)

    def _range_search(
        self, rows: Tensor, radius: float, params: SearchParameters | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        allowed, stored = self._allowed(params), self._by_metric()
        if stored is None:
            return extra_range_search(rows, self.vectors, radius, self.metric_type, self.metric_arg, allowed)
        return stored.range_search(rows, radius, allowed_ids=allowed)

    def _allowed(self, params: SearchParameters | None) -> Tensor | None:
        if params is None or params.sel is None:
            return None
        return params.sel.members(torch.arange(self.ntotal)).nonzero()[:, 0]

    def _reconstruct(self, keys: Tensor) -> Tensor:
        self._require_inside(keys)
        return self.vectors[keys.to(self._device)]

    def _remove(self, selector: IDSelector) -> int:
        """Later vectors move down, as in FAISS."""
        kept = ~selector.members(torch.arange(self.ntotal))
        removed = len(kept) - int(kept.sum())
        if removed:
            vectors = self.vectors[kept]
            self._stored.reset()
            self._stored.add(vectors)
        return removed

    def _reset(self) -> None:
        self._stored.reset()

    def _check_compatible_for_merge(self, other: Index) -> None:
        if type(other) is not type(self) or other.d != self.d:
            raise RuntimeError(f"{self._named('merge_from')}: {self!r} cannot take over {other!r}")

    def _merge_from(self, other: Index, add_id: int) -> None:
        if add_id:
            raise RuntimeError(f"{self._named('merge_from')}: a flat index has no ids to raise, got add_id={add_id}")
        assert isinstance(other, IndexFlat)
        self._stored.add(other.vectors)
        other.reset()

    def _code_size(self) -> int:
        return 4 * self.d

    def _encode(self, rows: Tensor) -> Tensor:
        return rows.reshape(-1).view(torch.uint8).reshape(len(rows), 4 * self.d)

    def _decode(self, codes: Tensor) -> Tensor:
        return codes.contiguous().view(torch.float32).reshape(len(codes), self.d)

    def permute_entries(self, perm: object) -> None:
        """Put vector perm[i] at i."""
        order = torch.as_tensor(perm, dtype=torch.int64)
        if not torch.equal(order.sort().values, torch.arange(self.ntotal)):
            raise AssertionError(f"{self._named('permute_entries')}: perm must be a permutation of {self.ntotal}")
        vectors = self.vectors[order]
        self._stored.reset()
        self._stored.add(vectors)


def is_plain_flat(index: Index | None) -> TypeGuard[IndexFlat]:
    """Whether an index is flat and in the CPU's memory, and of none of the kinds that search in a way of their own."""
    return type(index) in (IndexFlat, IndexFlatL2, IndexFlatIP)


class IndexFlatIP(IndexFlat):
    """Exact search by inner product: faiss.IndexFlatIP(d)."""

    def __init__(self, d: int = 0) -> None:
        super().__init__(operator.index(d), METRIC_INNER_PRODUCT)


class IndexFlatL2(IndexFlat):
    """Exact search by squared L2 distance: faiss.IndexFlatL2(d)."""

    def __init__(self, d: int = 0) -> None:
        super().__init__(operator.index(d), METRIC_L2)
