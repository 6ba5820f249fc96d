"""Files of vector transforms: LTra (LinearTransform, OPQMatrix), rrot, Pcam, Viqm, Viqt, VNrm, VCnt, RmDT, HRot."""

from __future__ import annotations

import torch

from ..transforms.itq import ITQMatrix, ITQTransform
from ..transforms.linear import LinearTransform, RandomRotationMatrix
from ..transforms.pca import PCAMatrix
from ..transforms.transform import (
    CenteringTransform,
    HadamardRotation,
    NormalizationTransform,
    RemapDimensionsTransform,
    VectorTransform,
)
from .registry import transforms
from .stream import Reader, Writer


def _write_end(writer: Writer, transform: VectorTransform) -> None:
    writer.i32(transform.d_in)
    writer.i32(transform.d_out)
    writer.u8(transform.is_trained)


def _read_end(reader: Reader, transform: VectorTransform) -> None:
    transform.d_in, transform.d_out, transform.is_trained = reader.i32(), reader.i32(), bool(reader.u8())


def _require(reader: Reader, transform: VectorTransform, values: torch.Tensor, size: int) -> None:
    """Values are there, or not yet."""
    if values.numel() != size and (transform.is_trained or values.numel()):
        reader.fail(f"{transform!r} with {values.numel()} numbers where {size} must be")


def _floats(reader: Reader) -> torch.Tensor:
    return torch.from_numpy(reader.vector("<f4"))


@transforms.writes(LinearTransform)
def write_linear(writer: Writer, transform: LinearTransform) -> None:
    if isinstance(transform, RandomRotationMatrix):
        writer.fourcc(b"rrot")
    elif isinstance(transform, PCAMatrix):
        writer.fourcc(b"Pcam")
        writer.f32(transform.eigen_power)
        writer.f32(transform.epsilon)
        writer.u8(transform.random_rotation)
        writer.i32(transform.balanced_bins)
        for values in (transform._mean, transform._eigenvalues, transform._axes):
            writer.vector(values.numpy(), "<f4")
    elif isinstance(transform, ITQMatrix):
        writer.fourcc(b"Viqm")
        writer.i32(transform.max_iter)
        writer.i32(transform.seed)
    else:
        writer.fourcc(b"LTra")
    writer.u8(transform.have_bias)
    writer.vector(transform._A.numpy(), "<f4")
    writer.vector(transform._b.numpy(), "<f4")
    _write_end(writer, transform)


@transforms.reads(b"LTra", b"rrot", b"Pcam", b"PcAm", b"PCAm", b"Viqm")
def read_linear(reader: Reader, fourcc: bytes) -> LinearTransform:
    transform: LinearTransform
    if fourcc == b"rrot":
        transform = RandomRotationMatrix()
    elif fourcc in (b"Pcam", b"PcAm", b"PCAm"):
        transform = pca = PCAMatrix()
        pca.eigen_power = reader.f32()
        # The two older formats have fewer fields.
        pca.epsilon = reader.f32() if fourcc == b"Pcam" else 0.0
        pca.random_rotation = bool(reader.u8())
        pca.balanced_bins = reader.i32() if fourcc != b"PCAm" else 0
        pca._mean, pca._eigenvalues, pca._axes = _floats(reader), _floats(reader), _floats(reader)
    elif fourcc == b"Viqm":
        transform = itq = ITQMatrix()
        itq.max_iter, itq.seed = reader.i32(), reader.i32()
    else:
        transform = LinearTransform()
    transform.have_bias = bool(reader.u8())
    transform._A, transform._b = _floats(reader), _floats(reader)
    _read_end(reader, transform)
    _require(reader, transform, transform._A, transform.d_in * transform.d_out)
    if transform.have_bias:
        _require(reader, transform, transform._b, transform.d_out)
    if transform._A.numel():
        transform.set_is_orthonormal()
    return transform


@transforms.writes(ITQTransform)
def write_itq(writer: Writer, transform: ITQTransform) -> None:
    writer.fourcc(b"Viqt")
    writer.vector(transform._mean.numpy(), "<f4")
    writer.u8(transform.do_pca)
    write_linear(writer, transform.itq)
    write_linear(writer, transform.pca_then_itq)
    _write_end(writer, transform)


@transforms.reads(b"Viqt")
def read_itq(reader: Reader, fourcc: bytes) -> ITQTransform:
    transform = ITQTransform()
    transform._mean, transform.do_pca = _floats(reader), bool(reader.u8())
    for name, kind in (("itq", ITQMatrix), ("pca_then_itq", LinearTransform)):
        part = transforms.read(reader)
        if not isinstance(part, kind):
            reader.fail(f"an ITQTransform with a {type(part).__name__} as its {name}")
        object.__setattr__(transform, name, part)
    _read_end(reader, transform)
    _require(reader, transform, transform._mean, transform.d_in)
    return transform


@transforms.writes(NormalizationTransform)
def write_normalization(writer: Writer, transform: NormalizationTransform) -> None:
    writer.fourcc(b"VNrm")
    writer.f32(transform.norm)
    _write_end(writer, transform)


@transforms.reads(b"VNrm")
def read_normalization(reader: Reader, fourcc: bytes) -> NormalizationTransform:
    transform = NormalizationTransform(norm=reader.f32())
    _read_end(reader, transform)
    return transform


@transforms.writes(CenteringTransform)
def write_centering(writer: Writer, transform: CenteringTransform) -> None:
    writer.fourcc(b"VCnt")
    writer.vector(transform._mean.numpy(), "<f4")
    _write_end(writer, transform)


@transforms.reads(b"VCnt")
def read_centering(reader: Reader, fourcc: bytes) -> CenteringTransform:
    transform = CenteringTransform()
    transform._mean = _floats(reader)
    _read_end(reader, transform)
    _require(reader, transform, transform._mean, transform.d_in)
    return transform


@transforms.writes(RemapDimensionsTransform)
def write_remap(writer: Writer, transform: RemapDimensionsTransform) -> None:
    writer.fourcc(b"RmDT")
    writer.vector(transform._map.numpy(), "<i4")
    _write_end(writer, transform)


@transforms.reads(b"RmDT")
def read_remap(reader: Reader, fourcc: bytes) -> RemapDimensionsTransform:
    transform = RemapDimensionsTransform()
    transform._map = torch.from_numpy(reader.vector("<i4"))
    _read_end(reader, transform)
    _require(reader, transform, transform._map, transform.d_out)
    if ((transform._map < -1) | (transform._map >= transform.d_in)).any():
        reader.fail(f"{transform!r} takes dimensions that its vectors do not have")
    return transform


@transforms.writes(HadamardRotation)
def write_hadamard(writer: Writer, transform: HadamardRotation) -> None:
    writer.fourcc(b"HRot")
    writer.u32(transform.seed)
    _write_end(writer, transform)


@transforms.reads(b"HRot")
def read_hadamard(reader: Reader, fourcc: bytes) -> HadamardRotation:
    seed = reader.u32()
    read = HadamardRotation()
    _read_end(reader, read)
    transform = HadamardRotation(read.d_in, seed)
    if transform.d_out != read.d_out:
        reader.fail(f"{read!r} where d_out {transform.d_out} must be")
    return transform
