"""FAISS's scalar quantizers: every dimension of a vector becomes a number of 4, 6, 8 or 16 bits."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..arrays import code_rows, float32_rows, in_kind_of
from ..struct import FaissObject
from ..vectors import Float32Vector, VectorField
from .scalar_ranges import ranges_of_columns

_BLOCK_VALUES = 1 << 17  # encoded or decoded at a time: what the steps hand each other stays in the cache


class ScalarQuantizer(FaissObject):
    """Vectors [n, d] float32 as codes [n, code_size] uint8, and back: faiss.ScalarQuantizer(d, qtype).

    QT_8bit, QT_6bit and QT_4bit cut the range of each dimension into 255, 63 or 15 levels, the uniform types one range
    of all dimensions; the range is learned in the way that `rangestat` (RS_minmax ...) and `rangestat_arg` say. QT_fp16
    and QT_bf16 round to the nearest, of two equally near to the greater magnitude; QT_8bit_direct takes integers
    0 ... 255, QT_8bit_direct_signed -128 ... 127, as they are. Codes are those of faiss-cpu, bit for bit; what they
    decode to is rounded alike in every dimension, where FAISS's last bit depends on d and the CPU.
    """

    QT_8bit, QT_4bit, QT_8bit_uniform, QT_4bit_uniform, QT_fp16, QT_8bit_direct = range(6)
    QT_6bit, QT_bf16, QT_8bit_direct_signed = range(6, 9)
    QT_0bit, QT_1bit_tqmse, QT_2bit_tqmse, QT_3bit_tqmse, QT_4bit_tqmse, QT_8bit_tqmse = range(9, 15)
    QT_2bit_tq, QT_3bit_tq, QT_4bit_tq, QT_5bit_tq = range(15, 19)
    QT_1bit_eden, QT_2bit_eden, QT_3bit_eden, QT_4bit_eden = range(19, 23)
    QT_5bit_eden, QT_6bit_eden, QT_7bit_eden, QT_8bit_eden, QT_count = range(23, 28)
    RS_minmax, RS_meanstd, RS_quantiles, RS_optim = range(4)

    d: int = 0
    qtype: int = QT_8bit
    bits: int = 0
    code_size: int = 0
    rangestat: int = RS_minmax
    rangestat_arg: float = 0.0
    trained = VectorField("_trained", Float32Vector)
    _trained: Tensor  # float32: where the ranges begin, [D or 1], then how long they are; [0] before training

    def __init__(self, d: int = 0, qtype: int = QT_8bit) -> None:
        self.d, self.qtype = operator.index(d), operator.index(qtype)
        if self.d < 0:
            raise TypeError(f"ScalarQuantizer: d must not be negative, got {self.d}")
        self._trained = torch.empty(0)
        self.set_derived_sizes()

    def set_derived_sizes(self) -> None:
        """Set `bits` and `code_size` by d and qtype. Raises RuntimeError for a qtype that is not known here."""
        if not 0 <= self.qtype <= self.QT_8bit_direct_signed:
            raise RuntimeError(
                f"ScalarQuantizer: qtype {self.qtype} is not known here, 0 ... {self.QT_8bit_direct_signed} are; "
                "real faiss can be used for it: pip install faiss-cpu, import faiss"
            )
        self.bits = {
            self.QT_4bit: 4,
            self.QT_4bit_uniform: 4,
            self.QT_6bit: 6,
            self.QT_fp16: 16,
            self.QT_bf16: 16,
        }.get(self.qtype, 8)
        self.code_size = (self.d * self.bits + 7) // 8

    def train(self, x: Any) -> None:
        """Learn the ranges of vectors x [n, d]. Raises RuntimeError where there are none to learn from."""
        self._train(float32_rows("ScalarQuantizer.train", x, self.d))

    def compute_codes(self, x: Any) -> Any:
        """The codes of vectors x [n, d]: [n, code_size] uint8. Raises RuntimeError before training."""
        return in_kind_of(x, self._encode(float32_rows("ScalarQuantizer.compute_codes", x, self.d)))

    def decode(self, codes: Any) -> Any:
        """The vectors [n, d] float32 that codes [n, code_size] uint8 stand for. Raises RuntimeError before training."""
        return in_kind_of(codes, self._decode(code_rows("ScalarQuantizer.decode", codes, self.code_size)))

    @property
    def _uniform(self) -> bool:
        return self.qtype in (self.QT_8bit_uniform, self.QT_4bit_uniform)

    @property
    def _has_ranges(self) -> bool:
        return self._uniform or self.qtype in (self.QT_8bit, self.QT_6bit, self.QT_4bit)

    @property
    def _is_trained(self) -> bool:
        return not self._has_ranges or self._trained.numel() > 0

    @property
    def _ranges(self) -> Tensor:
        """[2, d] float32: where the range of each dimension begins, and how long it is."""
        if not self._is_trained:
            raise RuntimeError("ScalarQuantizer: it is not trained; call train first")
        if len(self._trained) == 2 * self.d:
            return self._trained.view(2, self.d)
        return self._trained.view(2, -1).expand(2, self.d).contiguous()

    @property
    def _levels(self) -> int:
        return int((1 << self.bits) - 1)

    def _train(self, rows: Tensor) -> None:
        if not self._has_ranges:
            return
        if not len(rows):
            raise RuntimeError("ScalarQuantizer.train: there must be vectors to learn from, got none")
        columns = rows.reshape(-1, 1) if self._uniform else rows
        if not self._uniform and self.rangestat != self.RS_minmax:
            # As FAISS does: of each dimension, the first value counts as 0.
            columns = columns.clone()
            columns[0] = 0
        found = ranges_of_columns(columns.numpy(), self.rangestat, self.rangestat_arg, self._levels + 1)
        self._trained = torch.from_numpy(found.reshape(-1))

    def _encode(self, rows: Tensor) -> Tensor:
        return torch.cat([self._encoded(block) for block in self._blocks(rows)])

    def _encoded(self, rows: Tensor) -> Tensor:
        if self.qtype == self.QT_fp16:
            return _rounded_to_half(rows).view(torch.uint8)
        if self.qtype == self.QT_bf16:
            return ((rows.contiguous().view(torch.int32) + 0x8000) >> 16).to(torch.int16).view(torch.uint8)
        if not self._has_ranges:
            # Out of range, the low byte of the 32-bit integer, which is 0 for what does not fit that.
            shifted = rows + 128 if self.qtype == self.QT_8bit_direct_signed else rows
            return torch.where(shifted.abs() < 2**31, shifted, 0).to(torch.int32).to(torch.uint8)
        start, length = self._ranges
        within = ((rows - start) / length).clamp_(0, 1).nan_to_num_(0)
        within *= length != 0
        # 255 steps are counted in float32, fewer without rounding: as in FAISS.
        levels = ((within if self.bits == 8 else within.double()) * self._levels).to(torch.uint8)
        return _packed(levels, self.bits)

    def _decode(self, codes: Tensor) -> Tensor:
        if self.qtype in (self.QT_fp16, self.QT_bf16):
            return codes.contiguous().view(self._float_dtype).float()
        if not self._has_ranges:
            return codes.float() - (128 if self.qtype == self.QT_8bit_direct_signed else 0)
        start, length = self._ranges
        vectors = torch.empty(len(codes), self.d)
        for block, target in zip(self._blocks(codes), self._blocks(vectors), strict=True):
            middles = (_unpacked(block, self.bits, self.d) + 0.5) / self._levels
            torch.add(start, middles.mul_(length), out=target)
        return vectors

    @property
    def _float_dtype(self) -> torch.dtype:
        return torch.float16 if self.qtype == self.QT_fp16 else torch.bfloat16

    def _blocks(self, rows: Tensor) -> tuple[Tensor, ...]:
        return torch.split(rows, max(1, _BLOCK_VALUES // max(1, self.d)))


def _rounded_to_half(rows: Tensor) -> Tensor:
    """float16 [n, d] nearest to float32 [n, d]; of two equally near the greater magnitude, where torch takes the even.

    Below 2^-14, where a float16 has fewer bits, the float32 subnormal that the scaling makes is rounded first.
    """
    bits = rows.contiguous().view(torch.int32)
    magnitude = bits & 0x7FFFFFFF
    # Down to the bit behind a float16's last; its exponent is 112 lower, and infinity 31.
    scaled = (magnitude & ~0xFFF).view(torch.float32) * 2.0**-112
    halves = (scaled.view(torch.int32).clamp(max=(31 << 23) - 0x1000) + 0x1000) >> 13
    halves = torch.where(magnitude > 255 << 23, 0x7E00, halves)  # NaN
    return (halves | (bits >> 16 & 0x8000)).to(torch.int16).view(torch.float16)


def _packed(levels: Tensor, bits: int) -> Tensor:
    """Levels [n, d] uint8 in as few bytes as they need, the first dimension in the lowest bits."""
    if bits == 8:
        return levels
    if bits == 4:
        pairs = F.pad(levels, (0, levels.shape[1] % 2))
        return pairs[:, ::2] | pairs[:, 1::2] << 4
    n, d = levels.shape
    quads = F.pad(levels, (0, -d % 4)).view(n, -1, 4).int()
    words = quads[..., 0] | quads[..., 1] << 6 | quads[..., 2] << 12 | quads[..., 3] << 18
    return torch.stack([words, words >> 8, words >> 16], 2).to(torch.uint8).view(n, -1)[:, : (6 * d + 7) // 8]


def _unpacked(codes: Tensor, bits: int, d: int) -> Tensor:
    """The levels [n, d] of `_packed`."""
    if bits == 8:
        return codes
    if bits == 4:
        return torch.stack([codes & 15, codes >> 4], 2).view(len(codes), -1)[:, :d]
    triples = F.pad(codes, (0, -codes.shape[1] % 3)).view(len(codes), -1, 3).int()
    words = triples[..., 0] | triples[..., 1] << 8 | triples[..., 2] << 16
    return torch.stack([words >> shift & 63 for shift in (0, 6, 12, 18)], 2).view(len(codes), -1)[:, :d]
