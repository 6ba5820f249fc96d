"""IndexPreTransform: an index of vectors that a chain of transforms has been applied to."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..index import Index
from ..pointers import Pointer, rev_swig_ptr
from ..search_parameters import SearchParameters, SearchParametersPreTransform
from ..selectors import IDSelector
from ..vectors import ObjectVector
from .transform import VectorTransform


class VectorTransformVector(ObjectVector):
    """The transforms of a chain: `size()`, `at(i)`, `push_back(transform)`."""


class IndexPreTransform(Index):
    """Vectors go through `chain`, one transform after the other, and into `index`.

    IndexPreTransform(index), or IndexPreTransform(transform, index); prepend_transform puts one more in front.
    """

    index: Any = None
    own_fields: bool = False
    _chain: list[VectorTransform]

    def __init__(self, *transform_and_index: Any) -> None:
        *chain, index = transform_and_index or (None,)
        if len(chain) > 1 or not isinstance(index, Index):
            raise TypeError(f"IndexPreTransform: an index, or a transform and an index, are needed, got {index!r}")
        super().__init__(index.d, index.metric_type)
        self.index, self._chain = index, []
        self.metric_arg, self.is_trained, self._ntotal = index.metric_arg, index.is_trained, index.ntotal
        for transform in chain:
            self.prepend_transform(transform)

    @property
    def chain(self) -> VectorTransformVector:
        return VectorTransformVector(self._chain)

    def prepend_transform(self, transform: VectorTransform) -> None:
        """Put a transform in front, whose d_out must be d."""
        if not isinstance(transform, VectorTransform):
            raise TypeError(f"{self._named('prepend_transform')}: a transform is needed, got {transform!r}")
        if transform.d_out != self.d:
            self._refuse("prepend_transform", f"d_out must be d = {self.d}, got {transform!r}")
        self._chain.insert(0, transform)
        self.is_trained = self.is_trained and transform.is_trained
        self.d = transform.d_in

    def apply_chain(self, n: int, x: Pointer) -> Pointer:
        """A pointer to the n vectors behind x after all transforms."""
        rows = torch.from_numpy(rev_swig_ptr(x, n * self.d)).view(n, self.d)
        return Pointer.to(self._forward(rows).contiguous().numpy())

    def reverse_chain(self, n: int, xt: Pointer, x: Pointer) -> None:
        """The n transformed vectors behind xt before all transforms, written behind x."""
        rows = torch.from_numpy(rev_swig_ptr(xt, n * self.index.d)).view(n, self.index.d)
        rev_swig_ptr(x, n * self.d)[:] = self._backward(rows).reshape(-1).numpy()

    def _forward(self, rows: Tensor) -> Tensor:
        for transform in self._chain:
            rows = transform.apply(rows)
        return rows

    def _backward(self, rows: Tensor) -> Tensor:
        for transform in reversed(self._chain):
            rows = transform.reverse_transform(rows)
        return rows

    def _train(self, rows: Tensor) -> None:
        """Each part that is not trained yet learns from what the parts before it make of the vectors."""
        parts = [*self._chain, self.index]
        untrained = [i for i, part in enumerate(parts) if not part.is_trained]
        for part in parts[: untrained[-1] + 1] if untrained else ():
            if not part.is_trained:
                part.train(rows)
            if part is not parts[untrained[-1]]:
                rows = part.apply(rows)
        self.is_trained = True

    def _add(self, rows: Tensor) -> None:
        self.index.add(self._forward(rows))
        self._ntotal = self.index.ntotal

    def _add_with_ids(self, rows: Tensor, ids: Tensor) -> None:
        self.index.add_with_ids(self._forward(rows), ids)
        self._ntotal = self.index.ntotal

    def _search(self, rows: Tensor, k: int, params: SearchParameters | None) -> tuple[Tensor, Tensor]:
        scores, ids = self.index.search(self._forward(rows), k, params=_inner(params))
        return scores, ids

    def _range_search(
        self, rows: Tensor, radius: float, params: SearchParameters | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        lims, scores, ids = self.index.range_search(self._forward(rows), radius, params=_inner(params))
        return lims.to(torch.int64), scores, ids

    def _search_and_reconstruct(
        self, rows: Tensor, k: int, params: SearchParameters | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        scores, ids, found = self.index.search_and_reconstruct(self._forward(rows), k, params=_inner(params))
        vectors = self._backward(found.reshape(-1, self.index.d))
        return scores, ids, vectors.view(*ids.shape, self.d)

    def _reconstruct(self, keys: Tensor) -> Tensor:
        return self._backward(self.index._reconstruct(keys))

    def _reconstruct_n(self, n0: int, ni: int) -> Tensor:
        # An inverted file without a direct map knows no single vectors, but all of them.
        return self._backward(self.index._reconstruct_n(n0, ni))

    def _remove(self, selector: IDSelector) -> int:
        removed: int = self.index.remove_ids(selector)
        self._ntotal = self.index.ntotal
        return removed

    def _reset(self) -> None:
        self.index.reset()
        self._ntotal = 0

    def _check_compatible_for_merge(self, other: Index) -> None:
        if not isinstance(other, IndexPreTransform) or len(other._chain) != len(self._chain):
            self._refuse(
                "merge_from", f"an IndexPreTransform with {len(self._chain)} transforms is needed, got {other!r}"
            )
        for mine, others in zip(self._chain, other._chain, strict=True):
            mine.check_identical(others)
        self.index.check_compatible_for_merge(other.index)

    def _merge_from(self, other: Index, add_id: int) -> None:
        assert isinstance(other, IndexPreTransform)
        self.index.merge_from(other.index, add_id)
        self._ntotal, other._ntotal = self.index.ntotal, other.index.ntotal

    def _code_size(self) -> int:
        return int(self.index.sa_code_size())

    def _encode(self, rows: Tensor) -> Tensor:
        codes: Tensor = self.index._encode(self._forward(rows))
        return codes

    def _decode(self, codes: Tensor) -> Tensor:
        return self._backward(self.index._decode(codes))


def _inner(params: SearchParameters | None) -> SearchParameters | None:
    """What the index behind the transforms is told."""
    return params.index_params if isinstance(params, SearchParametersPreTransform) else params
