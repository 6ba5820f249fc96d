"""What an index holds: vectors in a storage, and their ids."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .ids import MOST_IDS, Ids, checked_id_list, refuse_taken
from .storage import Storage, roomier


class Contents(NamedTuple):
    """An index replaces them as a whole, so that an interrupt leaves either the old ones or the new."""

    storage: Storage
    room: Tensor  # [>= N] int64: the ids, and room for more
    ntotal: int
    next_id: int  # that the next vector gets by default
    ids_ascend: bool

    @property
    def ids(self) -> Tensor:
        """[N] int64"""
        return self.room[: self.ntotal]

    def with_vectors(self, vectors: Tensor, ids: Ids | None) -> Contents:
        """With vectors [n, D] of the storage's dtype at the end. Raises what `FlatIndex.add` does for ids."""
        n, device = len(vectors), self.storage.device
        if ids is None:
            if self.next_id + n > MOST_IDS:
                raise ValueError(f"FlatIndex.add: no default ids are left beyond {self.next_id - 1}")
            new_ids = torch.arange(self.next_id, self.next_id + n, device=device)
            smallest, largest, in_order = self.next_id, self.next_id + n - 1, True
        else:
            new_ids = checked_id_list("FlatIndex.add", ids, device)
            if len(new_ids) != n:
                raise ValueError(f"FlatIndex.add: one id per vector, got {len(new_ids)} ids and {n} vectors")
            smallest, largest = (int(new_ids.min()), int(new_ids.max())) if n else (0, -1)
            in_order = smallest >= self.next_id and bool((new_ids[1:] > new_ids[:-1]).all())
            refuse_taken("FlatIndex.add", new_ids, self.ids if smallest < self.next_id else self.ids[:0])
        if n == 0:
            return self
        last = self.ntotal + n
        self.storage.write(vectors, self.ntotal)
        room = roomier(self.room, self.ntotal, last)
        room[self.ntotal : last] = new_ids
        return Contents(self.storage, room, last, max(self.next_id, largest + 1), self.ids_ascend and in_order)

    def at(self, positions: Tensor) -> Contents:
        """With the vectors there alone, in their order; they are copied."""
        return self._replace(storage=self.storage.taken(positions), room=self.ids[positions], ntotal=len(positions))

    def in_order(self) -> Contents:
        """In the order of ids."""
        return self if self.ids_ascend else self.at(self.ids.argsort())._replace(ids_ascend=True)

    def ids_at(self, positions: Tensor) -> Tensor:
        """The ids at the positions that a search found; -1 stays -1."""
        if self.next_id == self.ntotal:  # N different ids below N, ascending: every id is its position.
            return positions
        return F.pad(self.ids, (0, 1), value=-1)[positions]  # position -1 reads the -1 at the end

    def parts(self) -> Iterator[tuple[str, Tensor]]:
        """Every tensor that is held, and the part of the memory that it belongs to."""
        yield from self.storage.parts()
        yield "ids", self.room
