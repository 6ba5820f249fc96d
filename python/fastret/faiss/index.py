"""What every index of vectors can be asked: FAISS's Index, whose methods check and convert once for all kinds."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from .any_index import AnyIndex
from .arrays import code_rows, fill, float32_rows, id_list, in_kind_of, padded, positive_k
from .metrics import METRIC_L2
from .pointer_methods import PointerMethods
from .search_parameters import SearchParameters

_VERBOSE_ROWS = 16384  # added or searched between two updates of the progress bar


class Index(PointerMethods, AnyIndex):
    """The base of every index of float vectors, for annotations and isinstance; cannot search by itself.

    Vectors may be numpy of any real dtype, torch or CuPy: they are cast to float32, and answers are of the kind of
    the queries. Scores are float32, ids int64; where fewer than k are found, id -1 and the worst float32. With
    `verbose`, long adds and searches show their progress.

    Kinds of indexes implement the methods with an underscore, on tensors that were checked.
    """

    metric_type: int = METRIC_L2
    metric_arg: float = 0.0

    def __init__(self, d: int = 0, metric: int = METRIC_L2) -> None:
        self.d = operator.index(d)
        if self.d < 0:
            raise RuntimeError(f"{type(self).__name__}: d must not be negative, got {self.d}")
        self.metric_type = operator.index(metric)

    @property
    def ntotal(self) -> int:
        return self._ntotal

    @ntotal.setter
    def ntotal(self, ntotal: int) -> None:
        self._ntotal = operator.index(ntotal)

    @property
    def _device(self) -> torch.device:
        """Where vectors and queries are taken."""
        return torch.device("cpu")

    def __repr__(self) -> str:
        return f"{type(self).__name__}(d={self.d}, metric_type={self.metric_type}, ntotal={self.ntotal})"

    def __reduce_ex__(self, protocol: Any) -> Any:
        from .index_io import deserialize_index, serialize_index

        return deserialize_index, (serialize_index(self),)

    def __setstate__(self, state: dict[str, bytes]) -> None:
        """Of a pickle that FAISS wrote, under the alias `faiss`: the bytes of its file are `state["this"]`."""
        from .index_io import deserialize_index

        self.__dict__.update(vars(deserialize_index(state["this"])))

    # --- what kinds of indexes implement ---

    def _train(self, rows: Tensor) -> None:
        """rows [n, d]"""

    def _add(self, rows: Tensor) -> None:
        self._refuse("add")

    def _add_with_ids(self, rows: Tensor, ids: Tensor) -> None:
        self._refuse("add_with_ids", "it numbers its own vectors; put it into IndexIDMap")

    def _search(self, rows: Tensor, k: int, params: SearchParameters | None) -> tuple[Tensor, Tensor]:
        """Scores [n, k] float32, best first, and ids [n, k] int64, padded with id -1 (any score)."""
        self._refuse("search")

    def _search_at_once(self, x: Any, k: Any) -> tuple[Any, Any] | None:
        """What `search` answers to few queries by one native call, or None: this needs the general way."""
        return None

    def _range_search(
        self, rows: Tensor, radius: float, params: SearchParameters | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """lims [n + 1] int64, scores, ids"""
        self._refuse("range_search")

    def _reconstruct_n(self, n0: int, ni: int) -> Tensor:
        """Vectors n0 ... n0 + ni - 1, which are among ntotal."""
        return self._reconstruct(torch.arange(n0, n0 + ni))

    def _search_and_reconstruct(
        self, rows: Tensor, k: int, params: SearchParameters | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As `_search`, and the vectors [n, k, d], NaN where there is none."""
        scores, ids = self._search(rows, k, params)
        found = ids >= 0
        vectors = torch.full((*ids.shape, self.d), torch.nan)
        vectors[found] = self._reconstruct(ids[found])
        return scores, ids, vectors

    def _code_size(self) -> int:
        """Bytes per vector of `sa_encode`."""
        self._refuse("sa_code_size")

    def _encode(self, rows: Tensor) -> Tensor:
        self._refuse("sa_encode")

    def _decode(self, codes: Tensor) -> Tensor:
        self._refuse("sa_decode")

    # --- what is asked of them ---

    def train(self, x: Any, *, numeric_type: Any = None, xq_train: Any = None) -> None:
        """Learn from vectors x [n, d] what the index needs. `xq_train` [n, d]: queries, for those that use them."""
        self._train(self._rows("train", x))

    def add(self, x: Any, numeric_type: Any = None) -> None:
        """Append vectors x [n, d], which get the next ids."""
        rows = self._rows("add", x)
        self._require_trained("add")
        self._in_parts("add", len(rows), lambda part: self._add(rows[part]))

    def add_with_ids(self, x: Any, ids: Any, numeric_type: Any = None) -> None:
        """Append vectors x [n, d] under ids [n] int64. A RuntimeError for an index that numbers its own."""
        operation = self._named("add_with_ids")
        rows = self._rows("add_with_ids", x)
        new_ids = id_list(operation, ids, len(rows))
        self._require_trained("add_with_ids")
        self._in_parts("add_with_ids", len(rows), lambda part: self._add_with_ids(rows[part], new_ids[part]))

    def search(
        self,
        x: Any,
        k: int,
        *,
        params: SearchParameters | None = None,
        D: Any = None,
        I: Any = None,  # noqa: E741
        numeric_type: Any = None,
    ) -> tuple[Any, Any]:
        """The k best of each query x [n, d]: scores D [n, k] float32 and ids I [n, k] int64.

        Arrays passed as D and I are filled and returned.
        """
        if params is None and D is None and I is None and not self.verbose:
            found = self._search_at_once(x, k)
            if found is not None:
                return found
        operation = self._named("search")
        rows, k = self._rows("search", x), positive_k(operation, k)
        self._require_trained("search")
        params = self._params("search", params)
        if self.verbose:
            parts: list[tuple[Tensor, Tensor]] = []
            self._in_parts("search", len(rows), lambda part: parts.append(self._search(rows[part], k, params)))
            scores, ids = (torch.cat(column) for column in zip(*parts, strict=True))
        else:
            scores, ids = self._search(rows, k, params)
        scores = self._padded(scores, ids)
        return fill(operation, D, in_kind_of(x, scores)), fill(operation, I, in_kind_of(x, ids))

    def range_search(self, x: Any, thresh: float, *, params: SearchParameters | None = None) -> tuple[Any, Any, Any]:
        """Neighbours with score > thresh (similarities) or < thresh (distances) as (lims uint64 [n + 1], D, I).

        Those of query i are at lims[i]:lims[i + 1].
        """
        rows = self._rows("range_search", x)
        self._require_trained("range_search")
        lims, scores, ids = self._range_search(rows, float(thresh), self._params("range_search", params))
        return in_kind_of(x, lims.to(torch.uint64)), in_kind_of(x, scores), in_kind_of(x, ids)

    def search_and_reconstruct(
        self,
        x: Any,
        k: int,
        *,
        params: SearchParameters | None = None,
        D: Any = None,
        I: Any = None,  # noqa: E741
        R: Any = None,
    ) -> tuple[Any, Any, Any]:
        """As `search`, and the vectors that were found: R [n, k, d] float32, NaN where there is none."""
        operation = self._named("search_and_reconstruct")
        rows, k = self._rows("search_and_reconstruct", x), positive_k(operation, k)
        self._require_trained("search_and_reconstruct")
        params = self._params("search_and_reconstruct", params)
        scores, ids, vectors = self._search_and_reconstruct(rows, k, params)
        answers = zip((D, I, R), (self._padded(scores, ids), ids, vectors), strict=True)
        D, I, R = (fill(operation, out, in_kind_of(x, answer)) for out, answer in answers)  # noqa: E741
        return D, I, R

    def reconstruct(self, key: int, x: Any = None) -> Any:
        """A copy of vector `key`, [d] float32. Raises RuntimeError if there is none."""
        keys = torch.tensor([operator.index(key)])
        return fill(self._named("reconstruct"), x, self._reconstruct(keys)[0].cpu().numpy())

    def reconstruct_batch(self, key: Any, x: Any = None) -> Any:
        """Copies of the vectors `key` [n], [n, d] float32. Raises RuntimeError if one is not there."""
        operation = self._named("reconstruct_batch")
        return fill(operation, x, self._reconstruct(id_list(operation, key)).cpu().numpy())

    def reconstruct_n(self, n0: int = 0, ni: int = -1, x: Any = None) -> Any:
        """Copies of vectors n0 ... n0 + ni - 1, [ni, d] float32; ni = -1 means up to the last."""
        n0, ni = self._run_of(n0, ni, self.ntotal)
        if ni and not 0 <= n0 <= self.ntotal - ni:
            raise RuntimeError(
                f"{self._named('reconstruct_n')}: {ni} vectors from {n0} on were asked for, "
                f"the index holds {self.ntotal}"
            )
        return fill(self._named("reconstruct_n"), x, self._reconstruct_n(n0, ni).cpu().numpy())

    def check_compatible_for_merge(self, otherIndex: Index) -> None:
        """Raises RuntimeError unless `merge_from` can take over the vectors of another index."""
        if not isinstance(otherIndex, Index):
            raise TypeError(f"{self._named('merge_from')}: an index is needed, got {type(otherIndex).__name__}")
        super().check_compatible_for_merge(otherIndex)

    def sa_code_size(self) -> int:
        """Bytes per vector of `sa_encode`."""
        return self._code_size()

    def sa_encode(self, x: Any, codes: Any = None) -> Any:
        """Vectors x [n, d] as codes [n, sa_code_size()] uint8, without storing them."""
        rows = self._rows("sa_encode", x)
        self._require_trained("sa_encode")
        return fill(self._named("sa_encode"), codes, self._encode(rows).numpy())

    def sa_decode(self, codes: Any, x: Any = None) -> Any:
        """Codes [n, sa_code_size()] uint8 as vectors [n, d] float32."""
        operation = self._named("sa_decode")
        return fill(operation, x, self._decode(code_rows(operation, codes, self.sa_code_size())).numpy())

    def compute_residual_n(self, xs: Any, keys: Any) -> Any:
        """xs [n, d] minus the vectors of keys [n]."""
        rows = self._rows("compute_residual_n", xs)
        keys = id_list(self._named("compute_residual_n"), keys, len(rows))
        return in_kind_of(xs, rows - self._reconstruct(keys))

    # --- shared by them ---

    def _rows(self, operation: str, x: Any) -> Tensor:
        return float32_rows(self._named(operation), x, self.d, self._device)

    def _require_inside(self, keys: Tensor) -> None:
        if len(keys) and not (int(keys.min()) >= 0 and int(keys.max()) < self.ntotal):
            self._refuse(
                "reconstruct",
                f"vectors {int(keys.min())} to {int(keys.max())} were asked for, the index holds {self.ntotal}",
            )

    def _padded(self, scores: Tensor, ids: Tensor) -> Tensor:
        return padded(scores, ids, self.metric_type)

    def _params(self, operation: str, params: SearchParameters | None) -> SearchParameters | None:
        if params is not None and not isinstance(params, SearchParameters):
            raise TypeError(f"{self._named(operation)}: params must be SearchParameters, got {type(params).__name__}")
        return params

    def _in_parts(self, operation: str, n: int, work: Callable[[slice], Any]) -> None:
        """work on all n rows at once or, where that is told of, in parts."""
        if not self.verbose or n <= _VERBOSE_ROWS:
            work(slice(0, n))
            return
        with tqdm(total=n, desc=self._named(operation), unit=" vectors") as progress:
            for first in range(0, n, _VERBOSE_ROWS):
                part = slice(first, min(n, first + _VERBOSE_ROWS))
                work(part)
                progress.update(part.stop - part.start)


def downcast_index(index: Index) -> Index:
    """The index: Python objects are of their own kind already."""
    return index
