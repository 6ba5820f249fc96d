"""MemoryBank: embeddings of past batches, more keys to mine from than a batch has."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..ops.arrays import FLOAT_DTYPES, INTEGERS, Array, to_tensor

_NEVER = -1  # the step of a place that holds nothing


class MemoryBank:
    """The last embeddings that were added, with their ids: the cross-batch memory of XBM, arXiv 1912.06798.

    A ring on one device: what is added takes the place of the oldest. What gives back a compact copy waits for a CUDA
    device (`len`, `embeddings`, `ids`); `add`, `joined` and the drops do not.

    Args:
        capacity: N, the most entries.
        dim: D.
        dtype: how entries are kept: float32, bfloat16 or float16. What is added is rounded to it.
        device: where they are kept.

    In a training step, with ids that tell which item a key embeds, so that no older embedding of a query's own
    positive is its negative:

        keys, key_ids, allowed = bank.joined(batch_keys, batch_ids)
        scores, found = fastret.mine_hard_negatives(
            queries, keys, 8, torch.arange(len(queries)), "cosine",
            query_labels=batch_ids, key_labels=key_ids, allowed=allowed, relative_margin=0.05,
        )
        bank.add(batch_keys, batch_ids)
    """

    def __init__(
        self, capacity: int, dim: int, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
    ) -> None:
        for name, value, least in (("capacity", capacity, 1), ("dim", dim, 0)):
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"MemoryBank: {name} must be an int, got {type(value).__name__}")
            if value < least:
                raise ValueError(f"MemoryBank: {name} must be at least {least}, got {value}")
        if dtype not in FLOAT_DTYPES:
            raise TypeError(f"MemoryBank: dtype must be float32, bfloat16 or float16, got {dtype}")
        self.capacity, self.dim = capacity, dim
        self._rows = torch.zeros(capacity, dim, dtype=dtype, device=device)
        self._ids = torch.full((capacity,), -1, dtype=torch.int64, device=device)
        self._steps = torch.full((capacity,), _NEVER, dtype=torch.int64, device=device)
        self._next = 0  # the place of the next entry
        self._used = 0  # places that ever held one, from the first on
        self.step = 0
        """How often something was added."""

    @property
    def dtype(self) -> torch.dtype:
        return self._rows.dtype

    @property
    def device(self) -> torch.device:
        return self._rows.device

    def __len__(self) -> int:
        """The number of entries."""
        return int(self._held().sum())

    def __repr__(self) -> str:
        dtype = str(self.dtype).removeprefix("torch.")
        return f"MemoryBank(capacity={self.capacity}, dim={self.dim}, dtype={dtype}, device={self.device})"

    @property
    def embeddings(self) -> Tensor:
        """[n, D], a copy of the entries, oldest first."""
        return self._rows[self._oldest_first()]

    @property
    def ids(self) -> Tensor:
        """[n] int64, the ids of `embeddings`."""
        return self._ids[self._oldest_first()]

    def add(self, embeddings: Array, ids: Array) -> None:
        """Add embeddings [n, D] under ids [n], any integers, repeated ones too. No gradient flows through the bank.

        Of more than `capacity` embeddings the last ones stay.
        Raises TypeError or ValueError, before anything changes, for what does not have these shapes, dtypes, or the
        device of the bank.
        """
        rows, numbers = self._checked("add", embeddings, ids)
        self.step += 1
        rows, numbers = rows.detach()[-self.capacity :], numbers[-self.capacity :]
        first, count = self._next, len(numbers)
        until_end = min(count, self.capacity - first)
        for places, given in (
            (slice(first, first + until_end), slice(0, until_end)),
            (slice(0, count - until_end), slice(until_end, count)),
        ):
            self._rows[places] = rows[given].to(self.dtype)
            self._ids[places] = numbers[given]
            self._steps[places] = self.step
        self._used = max(self._used, min(first + count, self.capacity))
        self._next = (first + count) % self.capacity

    def joined(self, keys: Array, ids: Array) -> tuple[Tensor, Tensor, Tensor]:
        """A batch's keys [B, D] with the entries behind them: keys [B + n, D], their ids [B + n], allowed [B + n] bool.

        Row i of the batch stays row i, so that positives of the batch keep their numbers. `allowed` is False for
        entries that were dropped, whose places are among the rows. The keys have the dtype of the batch; gradients
        flow to its rows alone. Raises as `add` does.
        """
        rows, numbers = self._checked("joined", keys, ids)
        batch = torch.ones(len(rows), dtype=torch.bool, device=self.device)
        return (
            torch.cat([rows, self._rows[: self._used].to(rows.dtype)]),
            torch.cat([numbers, self._ids[: self._used]]),
            torch.cat([batch, self._held()[: self._used]]),
        )

    def drop_older_than(self, age: int) -> None:
        """Drop entries that were added more than `age` additions ago: 0 keeps those of the last `add` alone."""
        if isinstance(age, bool) or not isinstance(age, int) or age < 0:
            raise ValueError(f"MemoryBank.drop_older_than: age must be an int of at least 0, got {age!r}")
        self._steps.masked_fill_(self._steps < self.step - age, _NEVER)

    def drop(self, ids: Array) -> None:
        """Drop every entry with one of these ids, [m] integers; unknown ids are fine. Raises TypeError for others."""
        unwanted = to_tensor("MemoryBank.drop", "ids", ids, INTEGERS).to(self.device)
        self._steps.masked_fill_(torch.isin(self._ids, unwanted), _NEVER)

    def clear(self) -> None:
        """Drop every entry."""
        self._steps.fill_(_NEVER)

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` takes: tensors that are copies, and integers."""
        return {
            "embeddings": self._rows.clone(),
            "ids": self._ids.clone(),
            "steps": self._steps.clone(),
            "next": self._next,
            "used": self._used,
            "step": self.step,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Become the bank that `state_dict` was taken of; device and dtype stay those of this bank.

        Raises ValueError where capacity or D differ.
        """
        shape = (self.capacity, self.dim)
        if tuple(state["embeddings"].shape) != shape:
            raise ValueError(
                f"MemoryBank.load_state_dict: capacity and dim must be {list(shape)}, "
                f"got {list(state['embeddings'].shape)}"
            )
        for own, name in ((self._rows, "embeddings"), (self._ids, "ids"), (self._steps, "steps")):
            own.copy_(state[name])
        self._next, self._used, self.step = state["next"], state["used"], state["step"]

    def _held(self) -> Tensor:
        return self._steps != _NEVER

    def _oldest_first(self) -> Tensor:
        """The places that hold entries."""
        places = torch.arange(self._next, self._next + self.capacity, device=self.device) % self.capacity
        return places[self._held()[places]]

    def _checked(self, operation: str, embeddings: Array, ids: Array) -> tuple[Tensor, Tensor]:
        """Both as tensors, the ids as int64."""
        op = f"MemoryBank.{operation}"
        rows, numbers = to_tensor(op, "embeddings", embeddings), to_tensor(op, "ids", ids, INTEGERS)
        for name, tensor in (("embeddings", rows), ("ids", numbers)):
            if tensor.device != self.device:
                raise ValueError(f"{op}: {name} must be on {self.device}, got {tensor.device}")
        if rows.dim() != 2 or rows.shape[1] != self.dim:
            raise ValueError(f"{op}: embeddings must be [n, {self.dim}], got {list(rows.shape)}")
        if numbers.shape != rows.shape[:1]:
            raise ValueError(f"{op}: ids must be [{len(rows)}], one per embedding, got {list(numbers.shape)}")
        return rows, numbers.to(torch.int64)
