"""Packed keys: what a first pass reads, made once for many searches."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from .arrays import Array, Metric, metric_index, to_tensor
from .first_pass import FIRST_PASSES, FirstPass, first_pass_number

LAYOUT = "1"  # raised whenever panels, facts or frame change their meaning: stored ones are then packed anew
PANEL_KEYS = 32  # keys side by side in a panel
KEY_FACTS = 5  # float32 per key beside its panel
_DIMS_PER_STEP = {"float32": 1, "int16": 2, "int8": 4}  # in the 4 bytes of a step


class Packing(NamedTuple):
    """What `pack` stores beside the keys: P = ceil(N / 32) panels of 32 keys, the same for every instruction set.

    In the order in which the native ops take them.
    """

    panels: Tensor  # [>= P, steps, 32] int32: the 4 (int8) or 2 (int16) dimensions of a step, of each key
    facts: Tensor  # [>= P, 5, 32] float32: scale, residual norm, norm and two offsets of each key, for the error bound
    frame: Tensor  # [2, D] float32: the centre that was subtracted, and the direction that was projected out
    # Whether some keys never enter the pass: infinite ones and those of norms that float32 arithmetic cannot hold.
    has_unbounded: bool

    @property
    def nbytes(self) -> int:
        """Memory, room for more keys included."""
        return self.panels.nbytes + self.facts.nbytes + self.frame.nbytes

    def rows(self, first: int, last: int) -> Packing:
        """That of keys first ... last - 1 alone, in the same memory."""
        panels = slice(first // PANEL_KEYS, _num_panels(last))
        return self._replace(panels=self.panels[panels], facts=self.facts[panels])


@dataclass(frozen=True, eq=False, repr=False)
class PackedKeys:
    """Keys and what `pack` made of them. `search`, `range_search` and `explain_search` take it for `keys`.

    The keys stay as they are, in their own memory, and must not change: survivors are scored from them. Beside
    float32 keys an int8 pass takes 25 % more memory and an int16 pass 50 %, beside 16-bit keys twice that, and both
    20 bytes per key. A float32 pass reads the keys themselves: nothing is stored, and nothing added.
    """

    keys: Tensor  # [N, D] float32, bfloat16 or float16
    metric: Metric
    first_pass: FirstPass  # "float32", "int16" or "int8"
    packing: Packing | None = None

    @property
    def ntotal(self) -> int:
        """N, the number of keys."""
        return self.keys.shape[0]

    @property
    def dim(self) -> int:
        """D."""
        return self.keys.shape[1]

    @property
    def overhead_bytes(self) -> int:
        """What packing added to the memory of the keys, room for more keys included."""
        return self.packing.nbytes if self.packing else 0

    @property
    def nbytes(self) -> int:
        """The memory of the keys and of what packing added."""
        return self.keys.nbytes + self.overhead_bytes

    def rows(self, first: int, last: int) -> PackedKeys:
        """Keys first ... last - 1 alone, which then count from 0, in the same memory.

        Raises ValueError unless `first` begins a panel: is a multiple of 32.
        """
        if not 0 <= first <= last <= self.ntotal or first % PANEL_KEYS:
            raise ValueError(
                f"PackedKeys.rows: first must be a multiple of {PANEL_KEYS} and first <= last <= {self.ntotal}, "
                f"got {first} and {last}"
            )
        return replace(self, keys=self.keys[first:last], packing=self.packing and self.packing.rows(first, last))

    def __repr__(self) -> str:
        return (
            f"PackedKeys(ntotal={self.ntotal}, dim={self.dim}, metric={self.metric!r}, first_pass={self.first_pass!r}, "
            f"overhead_bytes={self.overhead_bytes})"
        )


def pack(keys: Array, first_pass: FirstPass = "auto", metric: Metric = "ip") -> PackedKeys:
    """Make keys ready for many searches, which then read a quarter (int8) or half (int16) of their bytes.

    Results keep their bits: what the pass cannot exclude is scored canonically from the keys themselves.

    Args:
        keys: [N, D] float32, bfloat16 or float16; a torch tensor or numpy array, which is read in place for as
            long as the result lives: do not write to it. Keys on a CUDA device are passed through unpacked, their
            search has a first pass of its own.
        first_pass: "int8", "int16" (a finer bound, twice the bytes), "float32" (packs nothing) or "auto": int8
            where it pays, else float32.
        metric: "ip", "cosine" or "l2": packed keys are searched by the metric they were packed for.

    Raises:
        TypeError: not a dense floating-point array.
        ValueError: not 2-D, unknown first pass or metric.
    """
    x = to_tensor("pack", "keys", keys).detach()
    if x.dim() != 2:
        raise ValueError(f"pack: keys must be 2-D, got {list(x.shape)}")
    first_pass_number("pack", first_pass)  # refuses unknown names
    metric_number = metric_index("pack", metric)
    if x.shape[1] > 1 and x.stride(1) != 1:
        x = x.contiguous()  # once, rather than in every search
    name = packed_first_pass(x.shape[1]) if first_pass == "auto" else first_pass
    if x.device.type != "cpu" or name == "float32":
        return PackedKeys(x, metric, "float32")
    steps = -(-x.shape[1] // _DIMS_PER_STEP[name])
    packing = Packing(
        torch.empty((_num_panels(len(x)), steps, PANEL_KEYS), dtype=torch.int32),
        torch.empty((_num_panels(len(x)), KEY_FACTS, PANEL_KEYS)),
        torch.ops.fastret.key_frame(x, metric_number),
        has_unbounded=False,
    )
    return _fill(PackedKeys(x, metric, name, packing), packing, 0)


def extend(packed: PackedKeys, keys: Tensor) -> PackedKeys:
    """`packed` for keys [N', D] whose first N rows are the packed ones; costs as much as packing the others.

    It takes over the memory of `packed`, which must not be searched any more, and leaves room in it, so that many
    small extensions move the panels only a few times. The frame stays that of the first keys.
    """
    if packed.packing is None:
        return replace(packed, keys=keys)
    first = packed.ntotal // PANEL_KEYS  # its panel may be partly filled
    panels, facts = (_with_room(part, first, _num_panels(len(keys))) for part in packed.packing[:2])
    return _fill(replace(packed, keys=keys), packed.packing._replace(panels=panels, facts=facts), first)


def packed_first_pass(dim: int) -> FirstPass:
    """What "auto" packs for: int8, but not for few dimensions, nor for sums that int32 cannot hold."""
    return "int8" if 32 <= dim <= 1 << 16 else "float32"


def _fill(packed: PackedKeys, packing: Packing, first: int) -> PackedKeys:
    """`packed` with its keys from panel `first` on written into `packing`."""
    number, metric = FIRST_PASSES.index(packed.first_pass), metric_index("pack", packed.metric)
    torch.ops.fastret.pack_keys_(packed.keys, metric, number, packing.frame, first, packing.panels, packing.facts)
    scales = packing.facts[first : _num_panels(packed.ntotal), 0]  # negative: scored canonically by every search
    has_unbounded = packing.has_unbounded or bool((scales < 0).any())
    return replace(packed, packing=packing._replace(has_unbounded=has_unbounded))


def _num_panels(num_keys: int) -> int:
    return -(-num_keys // PANEL_KEYS)


def _with_room(part: Tensor, filled: int, wanted: int) -> Tensor:
    """`part` or a larger copy of its first `filled` panels, with room for at least `wanted`."""
    if len(part) >= wanted:
        return part
    larger = part.new_empty((max(wanted, len(part) + len(part) // 2), *part.shape[1:]))
    larger[:filled] = part[:filled]
    return larger


@torch.library.register_fake("fastret::key_frame")
def _(keys: Tensor, metric: int) -> Tensor:
    torch._check(keys.dim() == 2)
    return keys.new_empty((2, keys.shape[1]), dtype=torch.float32)


@torch.library.register_fake("fastret::pack_keys_")
def _(
    keys: Tensor, metric: int, first_pass: int, frame: Tensor, first_panel: int, panels: Tensor, facts: Tensor
) -> None:
    torch._check(keys.dim() == 2)
