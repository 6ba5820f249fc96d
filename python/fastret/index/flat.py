"""FlatIndex: exact search over vectors that stay as they were given."""

from __future__ import annotations

import copy
import dataclasses
import os
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ..ops import SearchExplanation
from ..ops.arrays import FLOAT_DTYPES, METRICS, Array, Metric, check_k, like, to_tensor
from ..ops.first_pass import FirstPass, first_pass_number
from .contents import Contents
from .file_format import IndexFile, read_index_file, write_index_file
from .filters import Filters, filters_of
from .ids import MOST_IDS, Ids, checked_id_list, positions_of
from .mapped_storage import MappedStorage
from .placement import Device, Placement, StorageKind
from .storage import Lock, Storage

_SELF_QUERIES = 8192  # of search_self at a time


class FlatIndex:
    """Vectors with ids, searched exactly. Equivalent to fastret.search over the stored vectors.

    Scores are canonical: a pair has the same float32 bits for any batch, thread count and instruction set.
    Neighbours come best first, equal scores with the smaller id first, also with own ids in any order.

    Args:
        dim: D.
        metric: "ip" (inner product), "cosine", or "l2" (squared Euclidean distance).
        dtype: how vectors are stored: float32, bfloat16 or float16. Added vectors are rounded to it; one with a
            finite element that float16 cannot hold is refused.
        device: where vectors are stored and searched, queries are taken and answers given.
        devices: instead, several devices that share the vectors and search their own at once, for example
            `range(torch.cuda.device_count())`. Queries and answers are on the first one.
        storage: how the vectors are kept. "planes", the default on a CUDA device: there, exactly, in the 4 bytes per
            element (bfloat16: 2) that its first pass reads half of. "host": in the host's memory, pinned for a CUDA
            device, from where every search takes them to the device in chunks: for more vectors than it can hold.
            "auto": planes on a CUDA device; on others as they are given.
        workspace_mib: the most MiB that a search takes on each device beyond the index, its queries and its results,
            as far as one query and a few hundred vectors allow; on the CPU only chunks of "host" heed it.
        first_pass: "auto", "int8", "int16" or "float32": what searches on the CPU begin with, see `fastret.search`.
            Once enough queries have come to make it worth it, the vectors are packed for it, see `fastret.pack`:
            with "auto" that takes a quarter of the memory of float32 vectors. "float32" never packs.

    Vectors and queries may be torch tensors, numpy or CuPy arrays. Reads may run in several threads at once; add,
    remove and reset may not overlap with anything.

    >>> index = FlatIndex(2, metric="l2")
    >>> index.add(torch.tensor([[0.0, 0.0], [3.0, 4.0]]))
    >>> index.search(torch.tensor([[0.0, 1.0]]), k=2)
    (tensor([[ 1., 18.]]), tensor([[0, 1]]))
    """

    def __init__(
        self,
        dim: int,
        metric: Metric = "ip",
        *,
        dtype: torch.dtype = torch.float32,
        device: Device = "cpu",
        devices: Sequence[Device] | None = None,
        storage: StorageKind = "auto",
        workspace_mib: int = 1024,
        first_pass: FirstPass = "auto",
    ) -> None:
        if not hasattr(dim, "__index__") or isinstance(dim, bool):
            raise TypeError(f"FlatIndex: dim must be an int, got {type(dim).__name__}")
        dim = int(dim)
        if dim < 0:
            raise ValueError(f"FlatIndex: dim must not be negative, got {dim}")
        if metric not in METRICS:
            raise ValueError(f"FlatIndex: metric must be one of {', '.join(METRICS)}, got {metric!r}")
        if dtype not in FLOAT_DTYPES:
            raise TypeError(f"FlatIndex: dtype must be float32, bfloat16 or float16, got {dtype}")
        first_pass_number("FlatIndex", first_pass)  # refuses unknown names
        self.dim = dim
        self.metric = metric
        self.first_pass = first_pass
        self.dtype = dtype
        self._lock = Lock()  # for what a read changes: the order of rows
        self._hold(Placement(device, devices, storage, workspace_mib).storage(dim, metric, dtype, first_pass))

    @classmethod
    def over(cls, vectors: Tensor, metric: Metric = "ip", *, first_pass: FirstPass = "auto") -> FlatIndex:
        """An index over vectors [N, D] without a copy: they must not change, nor does the index change them.

        float32, bfloat16 or float16 on any device, which is that of the index; ids are 0 ... N - 1. What is added
        later makes the index copy them.
        """
        if vectors.dim() != 2:
            raise ValueError(f"FlatIndex.over: vectors must be [N, D], got {list(vectors.shape)}")
        index = cls(vectors.shape[1], metric, dtype=vectors.dtype, device=vectors.device, first_pass=first_pass)
        storage = index._contents.storage
        storage.adopt(vectors.detach(), None)
        index._hold(storage, torch.arange(len(vectors), device=index.device), len(vectors))
        return index

    def reset(self) -> None:
        """Forget every vector; default ids start at 0 again."""
        storage = self._contents.storage
        storage.refuse_change("reset")
        self._hold(storage.empty())

    def _hold(self, storage: Storage, ids: Tensor | None = None, next_id: int = 0) -> None:
        """Make a storage, with vectors under `ids` (ascending; None: nothing yet), all that the index has."""
        ids = torch.empty(0, dtype=torch.int64, device=storage.device) if ids is None else ids
        self._contents = Contents(storage, ids, len(ids), next_id, ids_ascend=True)

    @property
    def device(self) -> torch.device:
        """Where queries are taken and answers given."""
        return self._contents.storage.device

    @property
    def ntotal(self) -> int:
        """N, the number of vectors."""
        return self._contents.ntotal

    def __len__(self) -> int:
        return self.ntotal

    def __repr__(self) -> str:
        dtype = str(self.dtype).removeprefix("torch.")
        return (
            f"FlatIndex(dim={self.dim}, metric={self.metric!r}, ntotal={self.ntotal}, dtype={dtype}, "
            f"{self._contents.storage.placement})"
        )

    def __copy__(self) -> FlatIndex:
        # Two indexes on one storage would write their next rows over each other.
        return copy.deepcopy(self)

    @property
    def ids(self) -> Tensor:
        """[N] int64, ascending."""
        return self._sorted().ids

    @property
    def vectors(self) -> Tensor:
        """[N, D], in the order of `ids`: the keys of every search.

        A view, not to be written to; of planes and of shards a copy that is made anew each time. With storage "host"
        it is in the host's memory.
        """
        contents = self._sorted()
        return contents.storage.joined(contents.ntotal)

    @property
    def version(self) -> object:
        """Another object after every change, for whoever keeps what was made of the vectors."""
        return self._contents

    def add(self, vectors: Array, ids: Ids | None = None) -> None:
        """Add vectors [n, D] under `ids` [n] (unique integers >= 0), by default the next consecutive ones.

        An id is never given out twice by default, not even after its vector was removed.

        Raises:
            ValueError, TypeError: vectors that are not [n, D] float32, bfloat16 or float16; ids that are not
                [n] integers, are negative, repeated or already taken. The index is then unchanged.
        """
        self._contents.storage.refuse_change("add")
        rows = self._checked_rows("add", "vectors", vectors)
        stored = rows.to(self.dtype)
        if self.dtype == torch.float16 and bool((stored.isinf() & rows.isfinite()).any()):
            raise ValueError("FlatIndex.add: float16 holds elements up to 65504, got a larger one")
        self._contents = contents = self._contents.with_vectors(stored, ids)
        if contents.ids_ascend:  # else they are about to change places
            contents.storage.extend_packing(contents.ntotal)

    def search(
        self,
        queries: Array,
        k: int,
        *,
        allowed_ids: Ids | None = None,
        excluded_ids: Ids | None = None,
        first_pass: FirstPass | None = None,
    ) -> tuple[Array, Array]:
        """The k best vectors of each query.

        Args:
            queries: [Q, D] float32, bfloat16 or float16.
            k: >= 0.
            allowed_ids: [n] integers: the only ids that may be found. Ids that are not in the index do nothing.
            excluded_ids: [E] integers: ids that no query may find; or [Q, E], per query, padded with -1.
            first_pass: of this search alone, as of `fastret.search`; by default that of the index.

        Returns:
            scores [Q, K] float32, best first, and ids [Q, K] int64, of the kind of `queries`; where fewer
            than k are found, id -1 with score -inf (+inf for l2).

        Raises:
            ValueError, TypeError: queries that are not [Q, D] float32, bfloat16 or float16, a negative k, ids that
                are no integers of these shapes, an unknown first pass.
        """
        k = check_k("FlatIndex.search", k)
        rows, filters, contents = self._question("search", queries, allowed_ids, excluded_ids, first_pass)
        scores, positions = contents.storage.search(rows, contents.ntotal, k, filters, first_pass)
        # Positions ascend with ids, so that "the smaller position first" is "the smaller id first".
        return _answer(scores, queries), _answer(contents.ids_at(positions), queries)

    def range_search(
        self,
        queries: Array,
        threshold: float,
        *,
        allowed_ids: Ids | None = None,
        excluded_ids: Ids | None = None,
        first_pass: FirstPass | None = None,
    ) -> tuple[Array, Array, Array]:
        """Every vector that scores better than a threshold: score > threshold, for l2 score < threshold.

        Args:
            queries: [Q, D] float32, bfloat16 or float16.
            threshold: compared in float32; an exactly equal score is left out, as in FAISS.
            allowed_ids, excluded_ids, first_pass: as of `search`.

        Returns:
            lims [Q + 1] int64, scores float32 and ids int64, of the kind of `queries`: the neighbours of
            query i are scores[lims[i]:lims[i + 1]] and ids[lims[i]:lims[i + 1]], in ascending order of id.
        """
        rows, filters, contents = self._question("range_search", queries, allowed_ids, excluded_ids, first_pass)
        found = contents.storage.range_search(rows, contents.ntotal, threshold, filters, first_pass)
        lims, scores, positions = found
        return _answer(lims, queries), _answer(scores, queries), _answer(contents.ids_at(positions), queries)

    def explain_search(
        self,
        queries: Array,
        k: int,
        *,
        allowed_ids: Ids | None = None,
        excluded_ids: Ids | None = None,
        first_pass: FirstPass | None = None,
    ) -> SearchExplanation:
        """`search`, and how it was answered: see `fastret.explain_search`.

        Takes and raises what `search` does, and ValueError for an index that is searched in parts: of a mapped file,
        in the host's memory, or on several devices.
        """
        k = check_k("FlatIndex.explain_search", k)
        rows, filters, contents = self._question("explain_search", queries, allowed_ids, excluded_ids, first_pass)
        explanation = contents.storage.explain_search(rows, contents.ntotal, k, filters, first_pass)
        return dataclasses.replace(explanation, ids=contents.ids_at(explanation.ids))

    def search_self(self, k: int, *, first_pass: FirstPass | None = None) -> tuple[Tensor, Tensor]:
        """The k best others of every stored vector: scores [N, K] float32 and ids [N, K] int64.

        Row i is of the vector whose id is `ids[i]`. A vector never finds itself, but its duplicates.
        Equivalent to `search(index.vectors, k, excluded_ids=index.ids[:, None])`.
        """
        k = check_k("FlatIndex.search_self", k)
        contents = self._sorted()
        storage, n = contents.storage, contents.ntotal
        scores = torch.empty((n, k), device=self.device)
        positions = torch.empty((n, k), dtype=torch.int64, device=self.device)
        # In batches, so that an interrupt is heard in between.
        for first in range(0, n, _SELF_QUERIES):
            batch = slice(first, min(n, first + _SELF_QUERIES))
            itself = torch.arange(batch.start, batch.stop, device=self.device)[:, None]
            rows = storage.at(batch).to(self.device)
            scores[batch], positions[batch] = storage.search(rows, n, k, Filters(excluded=itself), first_pass)
        return scores, contents.ids_at(positions)

    def pack(self, *, sample_queries: Array | None = None) -> None:
        """Make the vectors ready for many searches now, rather than once searches have made it worth it.

        Costs what scoring some 40 to 80 queries does; nothing on a CUDA device or where the first pass reads the
        vectors themselves.

        Args:
            sample_queries: [S, D], where searches of one to four queries shall be as fast as possible: see
                `fastret.pack`. An index that packs by itself takes the queries of such searches. Up to 64 of
                them are kept, for when the index has grown so much that its vectors are packed anew; a file has none.
        """
        sample = None if sample_queries is None else self._queries("pack", "sample_queries", sample_queries)
        contents = self._sorted()
        contents.storage.pack(contents.ntotal, sample)

    def memory(self, by: Literal["part", "device"] = "part") -> dict[str, int]:
        """Bytes held, room for the next adds included.

        by: "part": of "vectors", "ids" and "packed keys" (of planes: the facts beside them); of an index in a file
            they are 0, and "mapped" tells the bytes that are read from there. "device": by the device that holds them,
            "cpu" for the host's memory.
        """
        if by not in ("part", "device"):
            raise ValueError(f'FlatIndex.memory: by must be "part" or "device", got {by!r}')
        contents = self._sorted()
        total = dict.fromkeys(("vectors", "ids", "packed keys") if by == "part" else (), 0)
        for part, tensor in contents.parts():
            name = part if by == "part" else str(tensor.device)
            total[name] = total.get(name, 0) + tensor.nbytes
        if isinstance(contents.storage, MappedStorage):  # pages of a file are the system's to drop
            return dict.fromkeys(total, 0) | {"mapped": sum(total.values())}
        return total

    def remove(self, ids: int | Ids) -> int:
        """Remove the vectors with these ids, [n] integers; return how many there were. Unknown ids are fine."""
        contents = self._contents
        contents.storage.refuse_change("remove")
        unwanted = torch.isin(contents.ids, checked_id_list("FlatIndex.remove", ids, self.device))
        kept = (~unwanted).nonzero()[:, 0]
        if len(kept) < contents.ntotal:
            self._contents = contents.at(kept)
        return contents.ntotal - len(kept)

    def reconstruct(self, id: int) -> Tensor:
        """A copy of the vector stored under an id, [D]. Raises ValueError if there is none."""
        if not hasattr(id, "__index__"):
            raise TypeError(f"FlatIndex.reconstruct: id must be an integer, got {type(id).__name__}")
        position = -1
        if 0 <= id < MOST_IDS:
            position = int(positions_of(torch.tensor([int(id)], device=self.device), self.ids))
        if position < 0:
            raise ValueError(f"FlatIndex.reconstruct: no vector has id {id}")
        return self._sorted().storage.at(slice(position, position + 1))[0].to(self.device, copy=True)

    def reconstruct_batch(self, ids: Ids) -> Tensor:
        """Copies of the vectors stored under ids [n], [n, D]. Raises ValueError if there is none under one of them."""
        wanted = checked_id_list("FlatIndex.reconstruct_batch", ids, self.device)
        contents = self._sorted()
        positions = positions_of(wanted, contents.ids)
        if (positions < 0).any():
            raise ValueError(f"FlatIndex.reconstruct_batch: no vector has id {int(wanted[positions < 0][0])}")
        return contents.storage.at(positions).to(self.device)

    def save(self, path: str | os.PathLike[str], *, packed: bool = True) -> None:
        """Write the index to a file (safetensors with a checksum), atomically.

        packed: with the packed keys, where the index has them (`pack` makes sure); False leaves them out.

        Raises OSError if it cannot be written whole; what was at `path` before is then still there.
        """
        contents = self._sorted()
        vectors = contents.storage.joined(contents.ntotal, torch.device("cpu"))
        keys = contents.storage.packed(contents.ntotal) if packed else None
        stored = IndexFile(vectors, contents.ids, self.metric, contents.next_id, self.first_pass, keys)
        write_index_file(path, stored)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        device: Device = "cpu",
        *,
        devices: Sequence[Device] | None = None,
        storage: StorageKind = "auto",
        workspace_mib: int = 1024,
        mmap: bool = False,
        verify: bool | None = None,
        shard_bytes: int = 256 << 20,
        progress: bool | None = None,
    ) -> FlatIndex:
        """Read what `save` wrote.

        Args:
            device, devices, storage, workspace_mib: as of `FlatIndex`; a file knows nothing of them.
            mmap: leave everything in the file, for more vectors than memory holds: the index is searched on the CPU,
                shard by shard with the same bits, reads packed keys instead of vectors where the file has them, and
                cannot be changed. Pickling it, say for the workers of a data loader, writes down the path alone. The
                file must stay as it is; one that shrinks ends the process.
            verify: compare the contents with their checksum. Default: yes, but not with mmap, as it reads all.
            shard_bytes: with mmap, bytes of vectors in a shard.
            progress: with mmap, a bar over the shards of a search: None shows it on terminals only.

        Raises ValueError, naming the file, if it is truncated or (with verify) altered; with mmap, TypeError or
        ValueError for shard_bytes that are no integer or below 1.
        """
        if mmap:
            if torch.device(device).type != "cpu" or devices is not None or storage != "auto":
                asked = f"device {str(device)!r}" if devices is None and storage == "auto" else "devices or a storage"
                raise ValueError(f"FlatIndex.load: a mapped file is searched on the CPU, got {asked}")
            return cls._mapped(path, bool(verify), shard_bytes, progress)
        place = Placement(device, devices, storage, workspace_mib)
        stored = read_index_file(path, mmap=place.copies_files, verify=verify is not False)
        index = cls._for(stored)
        kept = place.storage(index.dim, index.metric, index.dtype, index.first_pass)
        kept.adopt(stored.vectors, stored.packed)
        index._hold(kept, stored.ids.to(kept.device, copy=True), stored.next_id)
        return index

    @classmethod
    def _mapped(cls, path: str | os.PathLike[str], verify: bool, shard_bytes: int, progress: bool | None) -> FlatIndex:
        storage = MappedStorage(path, verify, shard_bytes, progress)
        index = cls._for(storage.stored)
        index._hold(storage, storage.stored.ids, storage.stored.next_id)
        return index

    @classmethod
    def _for(cls, stored: IndexFile) -> FlatIndex:
        """An empty index like the one in the file."""
        dim, dtype = stored.vectors.shape[1], stored.vectors.dtype
        return cls(dim, stored.metric, dtype=dtype, first_pass=stored.first_pass)

    def __reduce_ex__(self, protocol: Any) -> Any:
        storage = self._contents.storage
        if isinstance(storage, MappedStorage):
            return type(self)._mapped, (storage.path, False, storage.shard_bytes, storage.progress)
        return super().__reduce_ex__(protocol)

    def _question(
        self,
        operation: str,
        queries: Array,
        allowed_ids: Ids | None,
        excluded_ids: Ids | None,
        first_pass: FirstPass | None,
    ) -> tuple[Tensor, Filters, Contents]:
        """Checked queries, and the filters and contents that they are to be answered from."""
        contents = self._sorted()
        rows = self._queries(operation, "queries", queries)
        if first_pass is not None:
            first_pass_number(f"FlatIndex.{operation}", first_pass)  # refuses unknown names
        filters = filters_of(f"FlatIndex.{operation}", contents.ids, len(rows), allowed_ids, excluded_ids)
        return rows, filters, contents

    def _checked_rows(self, operation: str, name: str, array: Array) -> Tensor:
        rows = to_tensor(f"FlatIndex.{operation}", name, array)
        if rows.dim() != 2 or rows.shape[1] != self.dim:
            raise ValueError(f"FlatIndex.{operation}: {name} must be [n, {self.dim}], got {list(rows.shape)}")
        return rows.detach()

    def _queries(self, operation: str, name: str, array: Array) -> Tensor:
        """Checked rows, on the device of the index."""
        rows = self._checked_rows(operation, name, array)
        if isinstance(array, np.ndarray):  # numpy knows no device
            return rows.to(self.device)
        if rows.device != self.device:
            raise ValueError(f"FlatIndex.{operation}: {name} must be on {self.device}, got {rows.device}")
        return rows

    def _sorted(self) -> Contents:
        """The contents; rows that were added out of order are brought into the order of their ids first, once."""
        if self._contents.ids_ascend:
            return self._contents
        with self._lock:
            self._contents = self._contents.in_order()
            return self._contents


def _answer(result: Tensor, queries: Array) -> Array:
    """`result` as the kind of array that the queries are."""
    return like(result.cpu() if isinstance(queries, np.ndarray) else result, queries)
