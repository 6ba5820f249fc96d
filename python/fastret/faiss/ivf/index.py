"""Inverted files: vectors in the lists of their nearest centroids, of which a search visits a few. FAISS's IndexIVF."""

from __future__ import annotations

import operator
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..arrays import code_rows, fill, id_list, in_kind_of, positive_k
from ..clustering.clustering import ClusteringParameters
from ..flat import IndexFlat, is_plain_flat
from ..held_searcher import HeldSearcher
from ..index import Index
from ..metrics import METRIC_INNER_PRODUCT, METRIC_L2
from ..pointers import Pointer
from ..random import permutation
from ..search_parameters import SearchParameters, SearchParametersIVF, parameters_of_kind
from ..selectors import IDSelector
from .direct_map import DirectMap, lo_build, places_of
from .inverted_lists import Arena, ArrayInvertedLists, InvertedLists, ids_of
from .level1_quantizer import Level1Quantizer
from .stats import indexIVF_stats


class Visit(NamedTuple):
    """What a search looks at: some rows of an arena."""

    arena: Arena
    probes: Tensor  # [Q, P] int64, -1: none
    coarse_scores: Tensor  # [Q, P] float32, of the probes
    allowed: Tensor | None  # [capacity] bool
    max_rows: int  # of each query; 0: any number


class IndexIVF(Level1Quantizer, Index):
    """The base of inverted files: vectors as codes in `invlists`, one list for each centroid of `quantizer`.

    A search visits the `nprobe` lists nearest to the query; `max_codes` ends it after so many vectors. Kinds implement
    `_encode_rows`, `_decode_rows`, `_scan` and `_scan_range`.
    """

    PARALLEL_MODE_NO_HEAP_INIT = 1024

    nprobe: int = 1
    max_codes: int = 0
    parallel_mode: int = 0
    invlists: InvertedLists | None = None
    own_invlists: bool = True
    code_size: int = 0
    by_residual: bool = True
    direct_map: DirectMap = DirectMap()
    _held_searcher: HeldSearcher

    def __init__(
        self,
        quantizer: Index | None = None,
        d: int = 0,
        nlist: int = 0,
        code_size: int = 0,
        metric: int = METRIC_L2,
        own_invlists: bool = True,
    ) -> None:
        Index.__init__(self, d, metric)
        self.quantizer, self.nlist = quantizer, operator.index(nlist)
        self.cp = ClusteringParameters()
        self.cp.niter = 10
        self.cp.spherical = metric == METRIC_INNER_PRODUCT
        self.direct_map, self._held_searcher = DirectMap(), HeldSearcher()
        self.code_size, self.own_invlists = operator.index(code_size), bool(own_invlists)
        if self.own_invlists:
            self.invlists = ArrayInvertedLists(self.nlist, self.code_size)
        self.is_trained = self._has_centroids()
        if quantizer is not None and quantizer.d != self.d:
            raise RuntimeError(f"{type(self).__name__}: the quantizer must be of d = {self.d}, got {quantizer.d}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("nprobe", "max_codes", "nlist"):
            value = operator.index(value)
            if value < 0:
                raise OverflowError(f"{type(self).__name__}.{name} must not be negative, got {value}")
        super().__setattr__(name, value)

    # --- what kinds implement ---

    def _train_encoder(self, rows: Tensor) -> None:
        """rows [n, d]: residuals if by_residual"""

    def _training_rows(self) -> int | None:
        """So many rows at most are given to _train_encoder."""
        return None

    def _encode_rows(self, rows: Tensor, list_nos: Tensor) -> Tensor:
        """Codes [n, code_size] uint8 of rows that go into lists [n]."""
        self._refuse("add")

    def _decode_rows(self, codes: Tensor, list_nos: Tensor) -> Tensor:
        self._refuse("reconstruct")

    def _decode_entries(self, codes: Tensor, ids: Tensor, list_nos: Tensor) -> Tensor:
        """The vectors [n, d] that are stored under ids."""
        return self._decode_rows(codes, list_nos)

    def _scan(self, rows: Tensor, visit: Visit, k: int) -> tuple[Tensor, Tensor]:
        """Scores [Q, k] float32, best first, and positions [Q, k] in the arena, -1: none."""
        self._refuse("search")

    def _searcher(self, coarse: IndexFlat, lists: ArrayInvertedLists) -> Any:
        """A native searcher of these, or None: there is none for this kind."""
        return None

    def _scan_range(self, rows: Tensor, visit: Visit, radius: float) -> tuple[Tensor, Tensor, Tensor]:
        """lims [Q + 1], scores, positions"""
        self._refuse("range_search")

    # --- Index ---

    def _lists(self) -> InvertedLists:
        if self.invlists is None:
            raise RuntimeError(f"{type(self).__name__}: it has no inverted lists")
        return self.invlists

    def _train(self, rows: Tensor) -> None:
        self._train_quantizer(rows, self.metric_type)
        rows = self._sampled(rows)
        self._train_encoder(rows - self._centroids_of(self._assign(rows)) if self.by_residual else rows)
        self.is_trained = True

    def _sampled(self, rows: Tensor) -> Tensor:
        most = self._training_rows()
        if most is None or len(rows) <= most:
            return rows
        return rows[torch.from_numpy(permutation(len(rows), 1234, most))]

    def _assign(self, rows: Tensor) -> Tensor:
        """The nearest list of each row [n], -1: none."""
        return self._nearest_lists(rows, 1, None)[1][:, 0]

    def _nearest_lists(self, rows: Tensor, n: int, params: SearchParameters | None) -> tuple[Tensor, Tensor]:
        coarse = self._coarse()
        scores, list_nos = coarse._search(rows.to(coarse._device), n, params)
        return scores.cpu(), list_nos.cpu()

    def _centroids_of(self, list_nos: Tensor) -> Tensor:
        """[n, d]; zeros for list -1"""
        centroids = self._coarse()._reconstruct(list_nos.clamp_min(0)).cpu()
        return torch.where(list_nos[:, None] < 0, 0, centroids)

    def _all_centroids(self) -> Tensor:
        """[nlist, d], not to be written to"""
        coarse = self._coarse()
        return coarse.vectors[: self.nlist] if is_plain_flat(coarse) else coarse._reconstruct_n(0, self.nlist).cpu()

    def _add(self, rows: Tensor) -> None:
        self._add_core(rows, None, self._assign(rows))

    def _add_with_ids(self, rows: Tensor, ids: Tensor) -> None:
        self._add_core(rows, ids, self._assign(rows))

    def _add_core(self, rows: Tensor, given: Tensor | None, list_nos: Tensor) -> None:
        """Rows that no list takes count in ntotal all the same, as in FAISS."""
        self._require_trained("add")
        self.direct_map.check_can_add(given)
        self._forget_held()
        ids = torch.arange(self.ntotal, self.ntotal + len(rows)) if given is None else given
        kept = list_nos >= 0
        everything = bool(kept.all())
        codes = self._encode_rows(rows, list_nos)
        if everything:
            offsets = self._lists()._extend(list_nos, codes, ids)
        else:
            offsets = torch.zeros_like(list_nos)
            offsets[kept] = self._lists()._extend(list_nos[kept], codes[kept], ids[kept])
        self.direct_map._add(ids, list_nos, offsets)
        self.ntotal += len(rows)

    def add_core(self, n: int, x: Any, xids: Any, precomputed_idx: Any, inverted_list_context: Any = None) -> None:
        """Append n vectors x to the lists precomputed_idx [n]; all may be arrays or pointers, xids None."""
        rows = torch.from_numpy(np.array(x.view(n * self.d) if isinstance(x, Pointer) else x, np.float32))
        self._add_core(rows.reshape(n, self.d), None if xids is None else ids_of(xids, n), ids_of(precomputed_idx, n))

    def _search(self, rows: Tensor, k: int, params: SearchParameters | None) -> tuple[Tensor, Tensor]:
        found = self._search_at_once(rows.numpy(), k) if params is None else None
        if found is not None:
            return torch.from_numpy(found[0]), torch.from_numpy(found[1])
        return self._find(rows, k, params)

    def _search_at_once(self, x: Any, k: Any) -> tuple[Any, Any] | None:
        coarse, lists = self.quantizer, self.invlists
        if type(lists) is not ArrayInvertedLists or not is_plain_flat(coarse) or not self.is_trained:
            return None
        searcher = self._searcher(coarse, lists)
        found = None if searcher is None else searcher.search(x, k, self.nprobe, self.max_codes)
        if found is None:
            return None
        scores, ids, visited, compared, coarse_time, time = found
        indexIVF_stats._count_search(len(ids), visited, compared, coarse_time, time)
        return scores, ids

    def _find(
        self, rows: Tensor, k: int, params: SearchParameters | None, pairs: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Scores and ids [Q, k]; with `pairs` lo_build of places for ids."""
        begun = time.perf_counter()
        how, probes, coarse_scores = self._probe("search", rows, params)
        found = self._find_in(rows, k, probes, coarse_scores, how, pairs)
        indexIVF_stats.search_time += 1000 * (time.perf_counter() - begun)
        return found

    def _probe(
        self, operation: str, rows: Tensor, params: SearchParameters | None
    ) -> tuple[SearchParametersIVF | None, Tensor, Tensor]:
        """The lists that each row visits [Q, P], and their scores."""
        begun = time.perf_counter()
        how = parameters_of_kind(self._named(operation), params, SearchParametersIVF)
        nprobe = min(self.nlist, how.nprobe if how else self.nprobe)
        if nprobe <= 0:
            raise RuntimeError(f"{self._named(operation)}: nprobe must be positive, got {nprobe}")
        coarse_scores, probes = self._nearest_lists(rows, nprobe, how.quantizer_params if how else None)
        indexIVF_stats.quantization_time += 1000 * (time.perf_counter() - begun)
        return how, probes, coarse_scores

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
        for part, visit in self._visits(probes, coarse_scores, how, self.max_codes):
            scores, positions = self._scan(rows[part], visit, k)
            parts.append((scores, _labels(visit.arena, positions, pairs)))
        if len(parts) == 1:
            return parts[0]
        return torch.cat([scores for scores, _ in parts]), torch.cat([labels for _, labels in parts])

    def _range_search(
        self, rows: Tensor, radius: float, params: SearchParameters | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        begun = time.perf_counter()
        how, probes, coarse_scores = self._probe("range_search", rows, params)
        found = self._find_in_range(rows, radius, probes, coarse_scores, how)
        indexIVF_stats.search_time += 1000 * (time.perf_counter() - begun)
        return found

    def _find_in_range(
        self, rows: Tensor, radius: float, probes: Tensor, coarse_scores: Tensor, how: SearchParametersIVF | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As in FAISS, max_codes ends no search for a range."""
        lims, scores, ids = [torch.zeros(1, dtype=torch.int64)], [], []
        for part, visit in self._visits(probes, coarse_scores, how, None):
            ends, found, positions = self._scan_range(rows[part], visit, radius)
            lims.append(lims[-1][-1] + ends[1:])
            scores.append(found)
            ids.append(_labels(visit.arena, positions, pairs=False))
        return torch.cat(lims), torch.cat(scores), torch.cat(ids)

    def _visits(
        self, probes: Tensor, coarse_scores: Tensor, how: SearchParametersIVF | None, max_codes: int | None
    ) -> Iterator[tuple[slice, Visit]]:
        """The queries in parts whose lists are in memory together."""
        max_codes = 0 if max_codes is None else how.max_codes if how else max_codes
        for part, arena in self._lists()._arenas(probes):
            mine = probes[part]
            sizes = arena.sizes.numpy()[np.maximum(mine.numpy(), 0)] * (mine.numpy() >= 0)
            compared = sizes.sum(1).clip(max=max_codes).sum() if max_codes else sizes.sum()
            indexIVF_stats._count(len(mine), int(np.count_nonzero(sizes)), int(compared))
            if how and how.ensure_topk_full and max_codes:
                raise RuntimeError(f"{self._named('search')}: ensure_topk_full is not known here")
            allowed = None if how is None or how.sel is None else _allowed(arena, mine, how.sel)
            yield part, Visit(arena, mine, coarse_scores[part], allowed, max_codes)

    def _reconstruct(self, keys: Tensor) -> Tensor:
        return self._vectors_at(self.direct_map._get(keys))

    def _reconstruct_n(self, n0: int, ni: int) -> Tensor:
        """By the ids in the lists: no direct map is needed. Ids that are nowhere give zeros."""
        vectors = torch.zeros(ni, self.d)
        for list_no in range(self.nlist):
            codes, ids = self._lists()._list(list_no)
            wanted = (ids >= n0) & (ids < n0 + ni)
            if wanted.any():
                rows = codes[wanted], ids[wanted], torch.full_like(ids[wanted], list_no)
                vectors[ids[wanted] - n0] = self._decode_entries(*rows)
        return vectors

    def _vectors_at(self, places: Tensor) -> Tensor:
        """The vectors at places [n] of lo_build."""
        return self._decode_entries(*self._rows_at(places), places >> 32)

    def _rows_at(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """codes [n, code_size] and ids [n] at places of lo_build."""
        arena = self._lists()._arena(torch.unique(places >> 32))
        positions = arena.starts[places >> 32] + (places & 0xFFFFFFFF)
        return arena.codes[positions], arena.ids[positions]

    def reconstruct_from_offset(self, list_no: int, offset: int, recons: Any = None) -> Any:
        """The vector at an offset of a list, [d] float32; `recons`: an array or a pointer to fill."""
        if not 0 <= offset < self._lists().list_size(list_no):
            raise RuntimeError(f"{self._named('reconstruct_from_offset')}: list {list_no} has no offset {offset}")
        vector = self._vectors_at(torch.tensor([lo_build(list_no, offset)]))[0].numpy()
        if recons is not None:
            (recons.view(self.d) if isinstance(recons, Pointer) else recons)[...] = vector
        return vector

    def _search_and_reconstruct(
        self, rows: Tensor, k: int, params: SearchParameters | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        scores, places = self._find(rows, k, params, pairs=True)
        vectors = torch.full((*places.shape, self.d), torch.nan)
        ids = places.clone()
        found = places >= 0
        codes, ids[found] = self._rows_at(places[found])
        vectors[found] = self._decode_entries(codes, ids[found], places[found] >> 32)
        return scores, ids, vectors

    def search_and_return_codes(
        self,
        x: Any,
        k: int,
        *,
        include_listnos: bool = False,
        params: SearchParameters | None = None,
        D: Any = None,
        I: Any = None,  # noqa: E741
        codes: Any = None,
    ) -> tuple[Any, Any, Any]:
        """As `search`, and the codes that were found: [n, k, code_size] uint8, behind the number of the list if
        include_listnos; 255 where there is none.
        """
        operation = self._named("search_and_return_codes")
        rows, k = self._rows("search_and_return_codes", x), positive_k(operation, k)
        self._require_trained("search_and_return_codes")
        scores, places = self._find(rows, k, self._params("search", params), pairs=True)
        ids, found = places.clone(), places >= 0
        own, ids[found] = self._rows_at(places[found])
        heads = self._listno_bytes(places[found] >> 32) if include_listnos else own[:, :0]
        whole = torch.full((*places.shape, heads.shape[1] + own.shape[1]), 255, dtype=torch.uint8)
        whole[found] = torch.cat([heads, own], 1)
        answers = zip((D, I, codes), (self._padded(scores, ids), ids, whole), strict=True)
        D, I, codes = (fill(operation, out, in_kind_of(x, answer)) for out, answer in answers)  # noqa: E741
        return D, I, codes

    def search_preassigned(
        self,
        x: Any,
        k: int,
        Iq: Any,
        Dq: Any,
        *,
        params: None = None,
        D: Any = None,
        I: Any = None,  # noqa: E741
    ) -> tuple[Any, Any]:
        """`search` of the lists Iq [n, nprobe] (-1: none), whose scores are Dq [n, nprobe] or None."""
        operation = self._named("search_preassigned")
        rows, k = self._rows("search_preassigned", x), positive_k(operation, k)
        self._require_trained("search_preassigned")
        scores, ids = self._find_in(rows, k, *self._preassigned(operation, len(rows), Iq, Dq, params), None)
        scores = self._padded(scores, ids)
        return fill(operation, D, in_kind_of(x, scores)), fill(operation, I, in_kind_of(x, ids))

    def range_search_preassigned(
        self, x: Any, thresh: float, Iq: Any, Dq: Any, *, params: None = None
    ) -> tuple[Any, Any, Any]:
        """`range_search` of the lists Iq [n, nprobe] (-1: none), whose scores are Dq [n, nprobe] or None."""
        operation = self._named("range_search_preassigned")
        rows = self._rows("range_search_preassigned", x)
        self._require_trained("range_search_preassigned")
        assigned = self._preassigned(operation, len(rows), Iq, Dq, params)
        lims, scores, ids = self._find_in_range(rows, float(thresh), *assigned, None)
        return in_kind_of(x, lims.to(torch.uint64)), in_kind_of(x, scores), in_kind_of(x, ids)

    def _preassigned(self, operation: str, n: int, Iq: Any, Dq: Any, params: None) -> tuple[Tensor, Tensor]:
        if params is not None:
            raise AssertionError(f"{operation}: it takes no params, as in FAISS")
        probes = torch.as_tensor(Iq).to("cpu", torch.int64).contiguous()
        coarse_scores = torch.zeros(probes.shape) if Dq is None else torch.as_tensor(Dq).to("cpu", torch.float32)
        wanted = (n, self.nprobe)
        if probes.shape != wanted or coarse_scores.shape != wanted:
            raise AssertionError(
                f"{operation}: Iq and Dq must be {list(wanted)}, got {list(probes.shape)}, {list(coarse_scores.shape)}"
            )
        if probes.numel() and int(probes.max()) >= self.nlist:
            raise RuntimeError(f"{operation}: lists must be below {self.nlist}, got {int(probes.max())}")
        return probes, coarse_scores

    def _forget_held(self) -> None:
        """Let go of what was made of the lists, which are about to change."""
        self._held_searcher.forget()

    def _remove(self, selector: IDSelector) -> int:
        self._forget_held()
        removed = self.direct_map.remove_ids(selector, self._lists())
        self.ntotal -= removed
        return removed

    def _reset(self) -> None:
        self._forget_held()
        self.direct_map.clear()
        self._lists().reset()
        self.ntotal = 0

    def _check_compatible_for_merge(self, other: Index) -> None:
        operation = self._named("merge_from")
        if type(other) is not type(self):
            raise RuntimeError(f"{operation}: an index of the same type is needed, got {type(other).__name__}")
        assert isinstance(other, IndexIVF)
        if (other.d, other.nlist, other.code_size) != (self.d, self.nlist, self.code_size):
            raise RuntimeError(f"{operation}: d, nlist and code_size must be those of {self!r}, got {other!r}")
        if not (self.direct_map.no() and other.direct_map.no()):
            raise RuntimeError(f"{operation}: neither index may have a direct map")
        mine, theirs = self._coarse(), other._coarse()
        if mine.ntotal != theirs.ntotal or not torch.equal(
            mine._reconstruct_n(0, mine.ntotal), theirs._reconstruct_n(0, theirs.ntotal)
        ):
            raise RuntimeError(f"{operation}: the coarse quantizers must be the same")

    def _merge_from(self, other: Index, add_id: int) -> None:
        assert isinstance(other, IndexIVF)
        self._forget_held()
        other._forget_held()
        self._lists().merge_from(other._lists(), add_id)
        self.ntotal += other.ntotal
        other.ntotal = 0

    def copy_subset_to(self, other: IndexIVF, subset_type: int, a1: int, a2: int) -> None:
        """Append a subset of the vectors to another index: InvertedLists.copy_subset_to tells which."""
        other.ntotal += self._lists().copy_subset_to(other._lists(), subset_type, a1, a2)

    def update_vectors(self, keys: Any, x: Any) -> None:
        """Vectors x [n, d] in place of those with ids keys [n]. Raises RuntimeError without a direct map."""
        operation = self._named("update_vectors")
        rows = self._rows("update_vectors", x)
        ids = id_list(operation, keys, len(rows))
        if self.direct_map.type == DirectMap.Hashtable:
            if self.remove_ids(ids.numpy()) != len(ids):
                raise RuntimeError(f"{operation}: there are not all ids that were to be updated")
            self._add_with_ids(rows, ids)
            return
        list_nos = self._assign(rows)
        self.direct_map._replace(ids, list_nos, self._encode_rows(rows, list_nos), self._lists())

    # --- lists ---

    def make_direct_map(self, new_maintain_direct_map: bool = True) -> None:
        """Remember where the ids 0, 1, 2, ... are, which `reconstruct` needs, or forget it."""
        self.set_direct_map_type(DirectMap.Array if new_maintain_direct_map else DirectMap.NoMap)

    def set_direct_map_type(self, type: int) -> None:
        """DirectMap.NoMap, DirectMap.Array for ids 0, 1, 2, ..., or DirectMap.Hashtable for any ids."""
        self.direct_map.set_type(type, self._lists(), self.ntotal)

    def replace_invlists(self, il: InvertedLists | None, own: bool = False) -> None:
        """Other inverted lists for this index. Raises RuntimeError for those of another nlist or code_size."""
        if il is not None and (il.nlist != self.nlist or il.code_size not in (self.code_size, il.INVALID_CODE_SIZE)):
            raise RuntimeError(
                f"{self._named('replace_invlists')}: lists of nlist {self.nlist} and code_size {self.code_size} are "
                f"needed, got {il.nlist} and {il.code_size}"
            )
        self._forget_held()
        self.invlists, self.own_invlists = il, bool(own)

    def get_list_size(self, list_no: int) -> int:
        """Vectors in a list."""
        return self._lists().list_size(list_no)

    def check_ids_sorted(self) -> bool:
        """Whether the ids of every list ascend."""
        return all(bool((ids[1:] >= ids[:-1]).all()) for ids in (self._lists()._list(i)[1] for i in range(self.nlist)))

    # --- codes without lists ---

    def _code_size(self) -> int:
        return self.code_size + self.coarse_code_size()

    def _encode(self, rows: Tensor) -> Tensor:
        list_nos = self._assign(rows)
        return torch.cat([self._listno_bytes(list_nos), self._encode_rows(rows, list_nos)], 1)

    def _decode(self, codes: Tensor) -> Tensor:
        width = self.coarse_code_size()
        return self._decode_rows(codes[:, width:].contiguous(), self._listnos(codes))

    def add_sa_codes(self, codes: Any, ids: Any) -> None:
        """Append codes [n, sa_code_size()] of `sa_encode`, under ids [n] or the next ones (None)."""
        operation = self._named("add_sa_codes")
        rows = code_rows(operation, codes, self.sa_code_size())
        given = None if ids is None else id_list(operation, ids, len(rows))
        self.direct_map.check_can_add(given)
        new_ids = torch.arange(self.ntotal, self.ntotal + len(rows)) if given is None else given
        list_nos = self._listnos(rows)
        offsets = self._lists()._extend(list_nos, rows[:, self.coarse_code_size() :], new_ids)
        self.direct_map._add(new_ids, list_nos, offsets)
        self.ntotal += len(rows)

    def _listno_bytes(self, list_nos: Tensor) -> Tensor:
        shifts = 8 * torch.arange(self.coarse_code_size())
        return (list_nos[:, None] >> shifts & 255).to(torch.uint8)

    def _listnos(self, codes: Tensor) -> Tensor:
        width = self.coarse_code_size()
        list_nos = (codes[:, :width].long() << 8 * torch.arange(width)).sum(1)
        if len(list_nos) and int(list_nos.max()) >= self.nlist:
            raise RuntimeError(f"{self._named('sa_decode')}: there is no list {int(list_nos.max())} of {self.nlist}")
        return list_nos


def _labels(arena: Arena, positions: Tensor, pairs: bool) -> Tensor:
    """The ids, or places of lo_build, at positions in an arena, -1 where these are -1."""
    if not pairs:
        # In numpy for its lower cost per call.
        at, ids = positions.numpy(), arena.ids.numpy()
        labels = ids[at] if len(ids) else np.full(at.shape, -1)
        if at.size and (at[..., -1] < 0).any():
            labels[at < 0] = -1
        return torch.from_numpy(labels)
    labels = torch.full_like(positions, -1)
    found = positions[positions >= 0]
    list_nos = arena.lists_of(found)
    labels[positions >= 0] = places_of(list_nos, found - arena.starts[list_nos])
    return labels


def _allowed(arena: Arena, probes: Tensor, selector: IDSelector) -> Tensor:
    """[capacity] bool, right for the rows of the lists that are visited."""
    visited = arena.positions(torch.unique(probes[probes >= 0]))
    allowed = torch.zeros(len(arena.ids), dtype=torch.bool)
    allowed[visited] = selector.members(arena.ids[visited])
    return allowed
