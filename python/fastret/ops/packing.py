"""Packed keys: what a first pass reads, made once for many searches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .arrays import Array, Metric, metric_index, to_tensor
from .first_pass import FIRST_PASSES, FirstPass, first_pass_number
from .panels import KEY_FACTS, PANEL_KEYS
from .planes import KEY_TILE, SplitPlanes
from .principal_axes import PrincipalAxes, axes_panels, choose_head, defect_of

LAYOUT = "1"  # raised whenever panels, facts or frame change their meaning: stored ones are then packed anew
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
    principal: PrincipalAxes | None = None  # then the panels hold the leading dimensions only

    @property
    def nbytes(self) -> int:
        """Memory, room for more keys included."""
        return sum(tensor.nbytes for tensor in self.tensors().values())

    @property
    def arguments(self) -> tuple[Any, ...]:
        """What the native ops take for packed keys, in the order of their schemas."""
        return (*self[:4], *(self.principal or ()))

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor, by name."""
        stored = {"panels": self.panels, "facts": self.facts, "frame": self.frame}
        if self.principal:
            stored |= {name: getattr(self.principal, name) for name in ("axes", "head_residuals", "tails")}
        return stored

    def rows(self, first: int, last: int) -> Packing:
        """That of keys first ... last - 1 alone, in the same memory."""
        panels = slice(first // PANEL_KEYS, _num_panels(last))
        return self._map_panels(lambda part: part[panels])

    def with_room(self, filled: int, wanted: int) -> Packing:
        """The same memory, or larger copies of the first `filled` panels with room for at least `wanted`."""
        return self._map_panels(lambda part: _with_room(part, filled, wanted))

    def _map_panels(self, change: Callable[[Tensor], Tensor]) -> Packing:
        principal = self.principal and self.principal._replace(
            head_residuals=change(self.principal.head_residuals), tails=change(self.principal.tails)
        )
        return self._replace(panels=change(self.panels), facts=change(self.facts), principal=principal)


@dataclass(frozen=True, eq=False, repr=False)
class PackedKeys:
    """Keys and what `pack` made of them. The searches and `mine_hard_negatives` take it for `keys`.

    On the CPU the keys stay as they are, in their own memory, and must not change: survivors are scored from them.
    Beside float32 keys an int8 pass takes 25 % more memory and an int16 pass 50 %, beside 16-bit keys twice that, and
    both 20 bytes per key; with principal axes 24, and the axes themselves. A float32 pass reads the keys themselves:
    nothing is stored, and nothing added.

    On a CUDA device they are split planes, which hold the keys themselves: the tensor that was packed is not needed
    any more.
    """

    source: Tensor | SplitPlanes  # [N, D] float32, bfloat16 or float16
    metric: Metric
    first_pass: FirstPass  # "float32", "int16" or "int8"; "auto" of split planes, which have a pass of their own
    packing: Packing | None = None

    @property
    def keys(self) -> Tensor:
        """[N, D], the keys as they were packed; of split planes a copy that is made anew each time."""
        return self.source.joined() if isinstance(self.source, SplitPlanes) else self.source

    def __len__(self) -> int:
        return self.ntotal

    @property
    def shape(self) -> torch.Size:
        """[N, D]"""
        return self.source.shape

    @property
    def dtype(self) -> torch.dtype:
        """Of the keys."""
        return self.source.dtype

    @property
    def device(self) -> torch.device:
        """Where the keys are."""
        return self.source.device

    @property
    def ntotal(self) -> int:
        """N, the number of keys."""
        return self.shape[0]

    @property
    def dim(self) -> int:
        """D."""
        return self.shape[1]

    @property
    def overhead_bytes(self) -> int:
        """What packing added to the memory of the keys, room for more keys included."""
        return self.nbytes - self.ntotal * self.dim * self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """The memory of the keys and of what packing added."""
        return self.source.nbytes + (self.packing.nbytes if self.packing else 0)

    def rows(self, first: int, last: int) -> PackedKeys:
        """Keys first ... last - 1 alone, which then count from 0, in the same memory.

        Raises ValueError unless `first` begins a panel, of split planes a tile: is a multiple of 32 or 256.
        """
        step = KEY_TILE if isinstance(self.source, SplitPlanes) else PANEL_KEYS
        if not 0 <= first <= last <= self.ntotal or first % step:
            raise ValueError(
                f"PackedKeys.rows: first must be a multiple of {step} and first <= last <= {self.ntotal}, "
                f"got {first} and {last}"
            )
        if isinstance(self.source, SplitPlanes):
            return replace(self, source=self.source.rows(first, last))
        return replace(self, source=self.source[first:last], packing=self.packing and self.packing.rows(first, last))

    def __repr__(self) -> str:
        return (
            f"PackedKeys(ntotal={self.ntotal}, dim={self.dim}, metric={self.metric!r}, first_pass={self.first_pass!r}, "
            f"overhead_bytes={self.overhead_bytes})"
        )


def pack(
    keys: Array, first_pass: FirstPass = "auto", metric: Metric = "ip", *, sample_queries: Array | None = None
) -> PackedKeys:
    """Make keys ready for many searches, which then read a quarter (int8) or half (int16) of their bytes.

    Results keep their bits: what the pass cannot exclude is scored canonically from the keys themselves. Keys on a CUDA
    device become split planes: 4 bytes per element (bfloat16: 2) and 16 per key are the keys and what the device's
    first pass reads; `first_pass` and `sample_queries` do nothing there.

    Args:
        keys: [N, D] float32, bfloat16 or float16; a torch tensor or numpy array, which is read in place for as
            long as the result lives: do not write to it. On a CUDA device it is copied.
        first_pass: "int8", "int16" (a finer bound, twice the bytes), "float32" (packs nothing) or "auto": int8
            where it pays, else float32.
        metric: "ip", "cosine" or "l2": packed keys are searched by the metric they were packed for.
        sample_queries: [S, D], some tens of queries like those to come, where searches of one to four queries at a
            time shall be as fast as possible. Such searches wait for memory; where this sample shows that it gains,
            they first read only the leading principal axes of int8 keys. Packing then takes several times as long,
            and searches of many queries are somewhat slower.

    Raises:
        TypeError: not a dense floating-point array.
        ValueError: not 2-D, unknown first pass or metric, sample queries of another D.
    """
    x = to_tensor("pack", "keys", keys).detach()
    if x.dim() != 2:
        raise ValueError(f"pack: keys must be 2-D, got {list(x.shape)}")
    first_pass_number("pack", first_pass)  # refuses unknown names
    metric_number = metric_index("pack", metric)
    sample = None
    if sample_queries is not None:
        sample = to_tensor("pack", "sample_queries", sample_queries).detach()
        if sample.dim() != 2 or sample.shape[1] != x.shape[1] or sample.device != x.device:
            raise ValueError(
                f"pack: sample_queries must be [S, {x.shape[1]}] on {x.device}, "
                f"got {list(sample.shape)} on {sample.device}"
            )
    if x.is_cuda:
        return pack_planes(x, metric)
    if x.shape[1] > 1 and x.stride(1) != 1:
        x = x.contiguous()  # once, rather than in every search
    name = packed_first_pass(x, first_pass)
    if name == "float32":
        return PackedKeys(x, metric, "float32")
    packing = _empty(len(x), x.shape[1], name, torch.ops.fastret.key_frame(x, metric_number))
    if sample is not None and len(sample) and name == "int8":
        packing = _with_axes(packing, x, sample, metric)
    return _fill(PackedKeys(x, metric, name, packing), packing, 0)


def pack_planes(keys: Tensor, metric: Metric) -> PackedKeys:
    """Keys [N, D] as split planes on their device."""
    planes = SplitPlanes.empty(keys.shape[1], keys.dtype, keys.device, len(keys)).with_rows(keys, 0, metric)
    return PackedKeys(planes, metric, "auto")


def extend(packed: PackedKeys, keys: Tensor) -> PackedKeys:
    """`packed` for keys [N', D] whose first N rows are the packed ones; costs as much as packing the others.

    It takes over the memory of `packed`, which must not be searched any more, and leaves room in it, so that many
    small extensions move the panels only a few times. The frame stays that of the first keys.
    """
    if packed.packing is None:
        return replace(packed, source=keys)
    first = packed.ntotal // PANEL_KEYS  # its panel may be partly filled
    return _fill(replace(packed, source=keys), packed.packing.with_room(first, _num_panels(len(keys))), first)


def packed_first_pass(keys: Tensor, first_pass: FirstPass) -> FirstPass:
    """What `pack` makes keys [N, D] ready for; for "float32" it stores nothing."""
    if keys.device.type != "cpu":
        return "float32"
    if first_pass != "auto":
        return first_pass
    # int8 gains nothing with few dimensions, and int32 cannot hold the sums of more than these.
    return "int8" if 32 <= keys.shape[1] <= 1 << 16 else "float32"


def _empty(num_keys: int, dim: int, first_pass: str, frame: Tensor) -> Packing:
    panels = _num_panels(num_keys)
    return Packing(
        torch.empty((panels, _num_steps(dim, first_pass), PANEL_KEYS), dtype=torch.int32),
        torch.empty((panels, KEY_FACTS, PANEL_KEYS)),
        frame,
        has_unbounded=False,
    )


def _with_axes(packing: Packing, keys: Tensor, queries: Tensor, metric: Metric) -> Packing:
    """`packing`, split into heads and tails of principal axes where the queries gain by them."""
    head = choose_head(keys, queries, metric, packing.frame[0])
    if head is None:
        return packing
    panels, steps, _ = packing.panels.shape
    head_steps = _num_steps(head.dims, "int8")
    return packing._replace(
        panels=torch.empty((panels, head_steps, PANEL_KEYS), dtype=torch.int32),
        frame=torch.stack([packing.frame[0], head.direction]),
        principal=PrincipalAxes(
            axes_panels(head.axes),
            torch.empty((panels, PANEL_KEYS)),
            torch.empty((panels, steps - head_steps, PANEL_KEYS), dtype=torch.int32),
            defect_of(head.axes),
        ),
    )


def _fill(packed: PackedKeys, packing: Packing, first: int) -> PackedKeys:
    """`packed` with its keys from panel `first` on written into `packing`."""
    number, metric = FIRST_PASSES.index(packed.first_pass), metric_index("pack", packed.metric)
    panels, facts, frame = packing[:3]
    axes = packing.principal or ()
    torch.ops.fastret.pack_keys_(packed.keys, metric, number, frame, first, panels, facts, *axes)
    scales = packing.facts[first : _num_panels(packed.ntotal), 0]  # negative: scored canonically by every search
    has_unbounded = packing.has_unbounded or bool((scales < 0).any())
    return replace(packed, packing=packing._replace(has_unbounded=has_unbounded))


def _num_steps(dim: int, first_pass: str) -> int:
    return -(-dim // _DIMS_PER_STEP[first_pass])


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
    keys: Tensor,
    metric: int,
    first_pass: int,
    frame: Tensor,
    first_panel: int,
    panels: Tensor,
    facts: Tensor,
    axes: Tensor | None = None,
    head_residuals: Tensor | None = None,
    tails: Tensor | None = None,
    defect: float = 0,
) -> None:
    torch._check(keys.dim() == 2)
