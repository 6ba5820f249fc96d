"""Binary vectors in the inverted lists of their nearest centroids: FAISS's IndexBinaryIVF."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...ops.hamming_search import ProbedLists, hamming_range_search, hamming_search
from ..arrays import id_list, in_kind_of, positive_k
from ..clustering.clustering import Clustering, ClusteringParameters
from ..codes.lsh import IndexLSH
from ..flat import IndexFlatL2
from ..index import Index
from ..ivf.direct_map import DirectMap, lo_listno, lo_offset
from ..ivf.inverted_lists import ArrayInvertedLists, InvertedLists
from ..search_parameters import SearchParameters, SearchParametersIVF, parameters_of_kind
from ..selectors import IDSelector
from .index import IndexBinary


class IndexBinaryIVF(IndexBinary):
    """faiss.IndexBinaryIVF(quantizer, d, nlist): a search visits the `nprobe` lists nearest to the query.

    quantizer: a binary index of `nlist` centroids, which training finds by k-means over the bits as numbers;
    clustering_index: a float index that k-means assigns with instead of IndexFlatL2. `max_codes` ends a search after
    so many vectors. use_heap and per_invlist_search choose between FAISS's ways to search and
    change nothing here.
    """

    quantizer: IndexBinary | None = None
    nlist: int = 0
    nprobe: int = 1
    max_codes: int = 0
    use_heap: bool = True
    per_invlist_search: bool = False
    own_fields: bool = False
    own_invlists: bool = True
    invlists: InvertedLists | None = None
    direct_map: DirectMap = DirectMap()
    clustering_index: Index | None = None
    cp: ClusteringParameters = ClusteringParameters()

    def __init__(
        self, quantizer: IndexBinary | None = None, d: int = 0, nlist: int = 0, own_invlists: bool = True
    ) -> None:
        super().__init__(d)
        self.quantizer, self.nlist, self.own_invlists = quantizer, operator.index(nlist), bool(own_invlists)
        if quantizer is not None and quantizer.d != self.d:
            raise RuntimeError(f"{type(self).__name__}: the quantizer must be of d = {self.d}, got {quantizer.d}")
        if self.own_invlists:
            self.invlists = ArrayInvertedLists(self.nlist, self.code_size)
        self.direct_map, self.cp = DirectMap(), ClusteringParameters()
        self.cp.niter = 10
        self.is_trained = quantizer is not None and self._has_centroids()

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("nprobe", "max_codes", "nlist"):
            value = operator.index(value)
            if value < 0:
                raise OverflowError(f"{type(self).__name__}.{name} must not be negative, got {value}")
        super().__setattr__(name, value)

    def _coarse(self) -> IndexBinary:
        if self.quantizer is None:
            raise RuntimeError(f"{type(self).__name__}: it has no quantizer")
        return self.quantizer

    def _lists(self) -> InvertedLists:
        if self.invlists is None:
            raise RuntimeError(f"{type(self).__name__}: it has no inverted lists")
        return self.invlists

    def _has_centroids(self) -> bool:
        return self._coarse().is_trained and self._coarse().ntotal == self.nlist

    def _train(self, codes: Tensor) -> None:
        if not self._has_centroids():
            clustering = Clustering(self.d, self.nlist, self.cp)
            self._coarse().reset()
            assigner = IndexFlatL2(self.d) if self.clustering_index is None else self.clustering_index
            clustering.train_encoded(codes, IndexLSH(self.d, self.d, False, False), assigner)
            bits = clustering._centroids.reshape(self.nlist, self.d).numpy() > 0
            self._coarse().add(np.packbits(bits, axis=1, bitorder="little"))
            self._coarse().is_trained = True
        self.is_trained = True

    def _add(self, codes: Tensor) -> None:
        self._add_core(codes, None, self._lists_near(codes, 1)[:, 0])

    def _add_with_ids(self, codes: Tensor, ids: Tensor) -> None:
        self._add_core(codes, ids, self._lists_near(codes, 1)[:, 0])

    def _add_core(self, codes: Tensor, given: Tensor | None, list_nos: Tensor) -> None:
        """Vectors that no list takes count in ntotal all the same, as in FAISS."""
        self._require_trained("add")
        self.direct_map.check_can_add(given)
        ids = torch.arange(self.ntotal, self.ntotal + len(codes)) if given is None else given
        kept = list_nos >= 0
        offsets = torch.zeros_like(list_nos)
        offsets[kept] = self._lists()._extend(list_nos[kept], codes[kept], ids[kept])
        self.direct_map._add(ids, list_nos, offsets)
        self._ntotal += len(codes)

    def _lists_near(self, codes: Tensor, n: int) -> Tensor:
        return self._coarse()._search(codes, n, None)[1]

    def _search(
        self, codes: Tensor, k: int, params: SearchParameters | None, names: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        how = parameters_of_kind(self._named("search"), params, SearchParametersIVF)
        probes = self._probes("search", codes, how.nprobe if how else self.nprobe)
        max_codes = how.max_codes if how else self.max_codes
        return self._search_in(codes, k, probes, max_codes, how.sel if how else None, names)

    def _search_in(
        self,
        codes: Tensor,
        k: int,
        probes: Tensor,
        max_codes: int,
        selector: IDSelector | None,
        names: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        parts = [
            hamming_search(codes[part], keys, k, allowed=allowed, lists=lists)
            for part, keys, allowed, lists in self._visits(probes, max_codes, selector, names)
        ]
        distances, ids = (torch.cat(column) for column in zip(*parts, strict=True))
        return distances, ids

    def _range_search(
        self, codes: Tensor, radius: int, params: SearchParameters | None, names: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        how = parameters_of_kind(self._named("range_search"), params, SearchParametersIVF)
        probes = self._probes("range_search", codes, how.nprobe if how else self.nprobe)
        return self._range_search_in(codes, radius, probes, how.sel if how else None, names)

    def _range_search_in(
        self, codes: Tensor, radius: int, probes: Tensor, selector: IDSelector | None, names: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As in FAISS, max_codes ends no search for a range."""
        parts = [
            hamming_range_search(codes[part], keys, radius, allowed=allowed, lists=lists)
            for part, keys, allowed, lists in self._visits(probes, 0, selector, names)
        ]
        counts, distances, ids = zip(*((lims.diff(), found, ids) for lims, found, ids in parts), strict=True)
        lims = torch.cat([torch.zeros(1, dtype=torch.int64), *counts]).cumsum(0)
        return lims, torch.cat(distances), torch.cat(ids)

    def _probes(self, operation: str, codes: Tensor, nprobe: int) -> Tensor:
        nprobe = min(self.nlist, nprobe)
        if nprobe <= 0:
            self._refuse(operation, f"nprobe and nlist must be positive, got {self.nprobe} and {self.nlist}")
        return self._lists_near(codes, nprobe)

    def _visits(
        self, probes: Tensor, max_codes: int, selector: IDSelector | None, names: Tensor | None
    ) -> Iterator[tuple[slice, Tensor, Tensor | None, ProbedLists]]:
        """The queries in parts whose lists are in memory together: codes, which may be found, and the lists."""
        for part, arena in self._lists()._arenas(probes):
            ids = arena.ids
            if names is not None:
                ids = torch.full_like(ids, -1)
                used = arena.positions(torch.arange(self.nlist))
                ids[used] = names[arena.ids[used]]
            allowed = None if selector is None else selector.members(ids)
            lists = ProbedLists(ids, arena.starts, arena.sizes, probes[part])
            yield part, arena.codes, allowed, _cut(lists, max_codes) if max_codes else lists

    def search_preassigned(self, x: Any, k: int, Iq: Any, Dq: Any = None) -> tuple[Any, Any]:
        """`search` in the lists Iq [n, nprobe] of each query, -1: none. Dq, their distances, changes nothing."""
        codes = self._codes_of("search_preassigned", x)
        probes = self._given_lists("search_preassigned", Iq, len(codes))
        k = positive_k(self._named("search_preassigned"), k)
        distances, ids = self._search_in(codes, k, probes, self.max_codes, None)
        return in_kind_of(x, distances), in_kind_of(x, ids)

    def range_search_preassigned(self, x: Any, thresh: int, Iq: Any, Dq: Any = None) -> tuple[Any, Any, Any]:
        """`range_search` in the lists Iq [n, nprobe] of each query, -1: none."""
        codes = self._codes_of("range_search_preassigned", x)
        probes = self._given_lists("range_search_preassigned", Iq, len(codes))
        lims, distances, ids = self._range_search_in(codes, operator.index(thresh), probes, None)
        return in_kind_of(x, lims.to(torch.uint64)), in_kind_of(x, distances.float()), in_kind_of(x, ids)

    def _given_lists(self, operation: str, lists: Any, n: int) -> Tensor:
        array = np.asarray(lists)
        nprobe = min(self.nprobe, self.nlist)
        if array.shape != (n, nprobe):
            raise AssertionError(f"{self._named(operation)}: Iq must be [{n}, {nprobe}], got {list(array.shape)}")
        return id_list(self._named(operation), array.reshape(-1)).view(n, nprobe)

    def _reconstruct(self, keys: Tensor) -> Tensor:
        if self.direct_map.no():
            self._refuse("reconstruct", "there is no direct map; make_direct_map makes one")
        places = self.direct_map._get(keys).tolist()
        rows = [self._lists()._list(lo_listno(place))[0][lo_offset(place)] for place in places]
        return torch.stack(rows) if rows else torch.empty(0, self.code_size, dtype=torch.uint8)

    def reconstruct_n(self, n0: int = 0, ni: int = -1, x: Any = None) -> Any:
        """Copies of vectors n0 ... n0 + ni - 1, [ni, d / 8] uint8; ni = -1 means up to the last."""
        had_map = not self.direct_map.no()
        if not had_map:
            self.make_direct_map()
        try:
            return super().reconstruct_n(n0, ni, x)
        finally:
            self.make_direct_map(had_map)

    def make_direct_map(self, b: bool = True) -> None:
        """Keep track of where ids 0, 1, 2, ... are, for `reconstruct`; False: no longer."""
        self.set_direct_map_type(DirectMap.Array if b else DirectMap.NoMap)

    def set_direct_map_type(self, type: int) -> None:
        """Keep track of where ids are: DirectMap.NoMap, Array (of sequential ids) or Hashtable."""
        self.direct_map.set_type(type, self._lists(), self.ntotal)

    def get_list_size(self, list_no: int) -> int:
        """Vectors in a list."""
        return self._lists().list_size(list_no)

    def replace_invlists(self, il: InvertedLists, own: bool = False) -> None:
        """Use other inverted lists, of the same nlist and code_size."""
        if (il.nlist, il.code_size) != (self.nlist, self.code_size):
            self._refuse("replace_invlists", f"{self.nlist} lists of {self.code_size} bytes per vector are needed")
        self.invlists = il

    def _remove(self, selector: IDSelector) -> int:
        removed = self.direct_map.remove_ids(selector, self._lists())
        self._ntotal -= removed
        return removed

    def _reset(self) -> None:
        self.direct_map.clear()
        self._lists().reset()
        self._ntotal = 0

    def _check_compatible_for_merge(self, other: IndexBinary) -> None:
        if type(other) is not type(self) or (other.d, other.nlist) != (self.d, self.nlist):
            self._refuse("merge_from", f"it cannot take over {other!r}")
        if not (self.direct_map.no() and other.direct_map.no()):
            self._refuse("merge_from", "indexes with a direct map cannot be merged")

    def _merge_from(self, other: IndexBinary, add_id: int) -> None:
        assert isinstance(other, IndexBinaryIVF)
        self._lists().merge_from(other._lists(), add_id)
        self._ntotal += other._ntotal
        other._ntotal = 0


def _cut(lists: ProbedLists, max_codes: int) -> ProbedLists:
    """The same with so many vectors for each query: its last list is a shorter one of its own."""
    probes = lists.probes
    sizes = torch.where(probes < 0, 0, lists.sizes[probes.clamp_min(0)])
    left = (max_codes - (sizes.cumsum(1) - sizes)).clamp_min(0)
    shorter = (sizes > left) & (left > 0)
    starts = torch.cat([lists.starts, lists.starts[probes[shorter]]])
    cut = probes.masked_fill(left == 0, -1)
    cut[shorter] = torch.arange(len(lists.starts), len(starts))
    return ProbedLists(lists.ids, starts, torch.cat([lists.sizes, left[shorter]]), cut)
