"""FAISS's functions on packed bits: knn_hamming, strings of numbers, signs of floats, and what takes pointers."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import torch

from ..ops.hamming_search import hamming_search
from .arrays import code_rows, in_kind_of, positive_k
from .pointers import NumpyArray, Pointer, rev_swig_ptr


def knn_hamming(xq: Any, xb: Any, k: int, variant: str = "hc") -> tuple[Any, Any]:
    """The k nearest rows of xb [nb, d / 8] for each row of xq [nq, d / 8] uint8: D int32 and I int64 [nq, k].

    FAISS's variants, "hc" (heaps) and "mc" (counters), are the same here.
    """
    if variant not in ("hc", "mc"):
        raise ValueError(f'knn_hamming: variant must be "hc" or "mc", got {variant!r}')
    width = torch.as_tensor(xq).shape[-1]
    queries, keys = code_rows("knn_hamming", xq, width), code_rows("knn_hamming", xb, width)
    distances, ids = hamming_search(queries, keys, positive_k("knn_hamming", k))
    return in_kind_of(xq, distances), in_kind_of(xq, ids)


def pack_bitstrings(a: Any, nbit: Any) -> NumpyArray:
    """Integers a [n, M] as bit strings [n, code_size] uint8: `nbit` bits of each, or nbit[j] of a[:, j].

    The lowest bit of a number comes first, and its higher bits are dropped.
    """
    numbers = np.asarray(a).astype(np.int64)
    widths = _widths("pack_bitstrings", numbers.shape[1], nbit)
    bits = numbers[:, np.repeat(np.arange(len(widths)), widths)] >> _places(widths) & 1
    return np.ascontiguousarray(np.packbits(bits.astype(np.uint8), axis=1, bitorder="little"))


def unpack_bitstrings(b: Any, M_or_nbits: Any, nbit: int | None = None) -> NumpyArray:
    """The integers [n, M] int32 in bit strings b [n, code_size] uint8: of (M, nbit) bits, or of nbits [M] each."""
    if nbit is None:
        widths = _widths("unpack_bitstrings", len(M_or_nbits), M_or_nbits)
    else:
        widths = _widths("unpack_bitstrings", operator.index(M_or_nbits), nbit)
    codes, total = np.ascontiguousarray(b, dtype=np.uint8), int(widths.sum())
    if 8 * codes.shape[1] < total:
        raise AssertionError(f"unpack_bitstrings: {total} bits are needed in a row, got {list(codes.shape)} bytes")
    bits = np.unpackbits(codes, axis=1, count=total, bitorder="little").astype(np.int64) << _places(widths)
    sums = np.concatenate([np.zeros((len(codes), 1), np.int64), bits.cumsum(1)], 1)  # modulo 2^64, as differences are
    ends = widths.cumsum()
    numbers: NumpyArray = (sums[:, ends] - sums[:, ends - widths]).astype(np.int32)
    return numbers


def _places(widths: NumpyArray) -> NumpyArray:
    """Of each bit in its number: [sum of widths]"""
    places: NumpyArray = np.arange(widths.sum()) - np.repeat(widths.cumsum() - widths, widths)
    return places


def _widths(operation: str, m: int, nbit: Any) -> NumpyArray:
    """Bits of each of m numbers."""
    widths = np.broadcast_to(np.asarray(nbit, np.int64), (m,)) if np.ndim(nbit) == 0 else np.asarray(nbit, np.int64)
    if widths.shape != (m,):
        raise AssertionError(f"{operation}: nbit must be one number or {m}, got {len(widths)}")
    if ((widths < 0) | (widths > 62)).any():
        raise ValueError(f"{operation}: nbit must be from 0 to 62, got {nbit}")
    return widths


def real_to_binary(d: int, x_in: Pointer, x_out: Pointer) -> None:
    """d floats behind a pointer as d bits, 1 where positive."""
    rev_swig_ptr(x_out, _bytes("real_to_binary", d))[:] = np.packbits(rev_swig_ptr(x_in, d) > 0, bitorder="little")


def binary_to_real(d: int, x_in: Pointer, x_out: Pointer) -> None:
    """d bits behind a pointer as d floats, 1 and -1."""
    bits = np.unpackbits(rev_swig_ptr(x_in, _bytes("binary_to_real", d)), bitorder="little")
    rev_swig_ptr(x_out, d)[:] = bits.astype(np.float32) * 2 - 1


def fvecs2bitvecs(x: Pointer, b: Pointer, d: int, n: int) -> None:
    """n vectors of d floats as codes of (d + 7) / 8 bytes each: bits that are 1 from 0 on."""
    signs = rev_swig_ptr(x, n * d).reshape(n, d) >= 0
    rev_swig_ptr(b, n * ((d + 7) // 8))[:] = np.packbits(signs, axis=1, bitorder="little").reshape(-1)


def fvec2bitvec(x: Pointer, b: Pointer, d: int) -> None:
    """fvecs2bitvecs of one vector."""
    fvecs2bitvecs(x, b, d, 1)


def bitvecs2fvecs(b: Pointer, x: Pointer, d: int, n: int) -> None:
    """n codes of (d + 7) / 8 bytes as vectors of d floats, 1 and -1."""
    codes = rev_swig_ptr(b, n * ((d + 7) // 8)).reshape(n, -1)
    bits = np.unpackbits(codes, axis=1, count=d, bitorder="little")
    rev_swig_ptr(x, n * d)[:] = (bits.astype(np.float32) * 2 - 1).reshape(-1)


def hammings_knn_mc(
    a: Pointer, b: Pointer, na: int, nb: int, k: int, ncodes: int, distances: Pointer, labels: Pointer
) -> None:
    """knn_hamming of na and nb codes of ncodes bytes behind pointers."""
    queries = rev_swig_ptr(a, na * ncodes).reshape(na, ncodes)
    keys = rev_swig_ptr(b, nb * ncodes).reshape(nb, ncodes)
    found = knn_hamming(queries, keys, k)
    for target, values in zip((distances, labels), found, strict=True):
        rev_swig_ptr(target, na * k)[:] = values.reshape(-1)


def _bytes(operation: str, d: int) -> int:
    """Raises RuntimeError unless d bits are whole bytes."""
    if d % 8:
        raise RuntimeError(f"{operation}: d must be a multiple of 8, got {d}")
    return d // 8
