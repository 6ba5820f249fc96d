"""Principal axes of keys, for searches of few queries: most keys are excluded by the dimensions that vary most."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .arrays import METRICS, Metric
from .panels import PANEL_KEYS

FEW_QUERIES = 4  # that one search may bring, for the head to be scored first: kHeadQueries in csrc
_WORTH_AXES_BYTES = 32 << 20  # of int8 keys: fewer stay in caches, and reading less of them gains little
_WORTH_AXES_DIM = 128
_SAMPLED_KEYS = 8192
_SAMPLED_QUERIES = 64
_NEIGHBOURS = 32  # a search's threshold is on the way to its k-th best key most of the time
_HEADS = (1 / 8, 3 / 16, 1 / 4, 3 / 8, 1 / 2)  # as shares of D
_RESIDUAL = 0.02  # of |query| |key|: what int8 rounding adds to the bound, both ends of an interval together
_LARGEST_SHARE = 0.75  # of the bytes, expected to be read; above, the gain is not worth the time of packing


class PrincipalAxes(NamedTuple):
    """In the order in which the native ops take them."""

    axes: Tensor  # [ceil(D / 32), D, 32] float32: axis i is column i % 32 of panel i // 32
    head_residuals: Tensor  # [>= P, 32] float32: the bound of each key by its head alone
    tails: Tensor  # [>= P, steps, 32] int32: the dimensions beyond the head
    defect: float  # how far the axes are from orthogonal


class Head(NamedTuple):
    axes: Tensor  # [D, D] float32, orthogonal rows
    dims: int  # of the head, a multiple of 16
    direction: Tensor  # [D], the mean direction of the queries


def choose_head(keys: Tensor, queries: Tensor, metric: Metric, centre: Tensor) -> Head | None:
    """The head by which searches like these read the fewest bytes; None where a sample shows no worthwhile gain.

    Args:
        keys: [N, D].
        queries: [S, D], S >= 1: a sample of those to come.
        centre: [D] float32, of the packed keys.
    """
    num_keys, dim = keys.shape
    if num_keys * dim < _WORTH_AXES_BYTES or not _WORTH_AXES_DIM <= dim <= 1 << 16:
        return None
    queries = thinned(queries)
    _, ids = torch.ops.fastret.search(queries, keys, _NEIGHBOURS, METRICS.index(metric))
    z, centre = queries.double(), centre.double()
    if metric == "l2":
        z = z - centre
    sample = _centred(keys[:: max(1, num_keys // _SAMPLED_KEYS)], metric, centre)
    usable = (ids >= 0).all(1) & z.isfinite().all(1)
    sample = sample[sample.isfinite().all(1)]
    if not usable.any() or len(sample) < dim // 4:
        return None
    z, ids = z[usable], ids[usable]
    direction = torch.nn.functional.normalize(z.mean(0) if len(z) > FEW_QUERIES else centre, dim=0)
    basis = torch.linalg.eigh(sample.T @ sample).eigenvectors.flip(1)  # [D, D], most variance first
    along = (z @ direction).unsqueeze(1)
    p = z - along * direction
    worst = _centred(keys[ids[:, -1]], metric, centre)
    thresholds = _values(z, worst, metric).unsqueeze(1)
    rest = along * (sample @ direction) + _bias(sample, metric)
    p, y = p @ basis, sample @ basis
    rest += _RESIDUAL * p.norm(dim=1, keepdim=True) * y.norm(dim=1)
    best, dims = _LARGEST_SHARE, 0
    for share in _HEADS:
        head = max(16, int(dim * share) // 16 * 16)
        tails = p[:, head:].norm(dim=1, keepdim=True) * y[:, head:].norm(dim=1)
        reaching = (p[:, :head] @ y[:, :head].T + tails + rest >= thresholds).double().mean().item()
        # A panel's tail is read for one key of 32 that reaches.
        read = head / dim + min(1.0, PANEL_KEYS * reaching) * (1 - head / dim)
        if read < best:
            best, dims = read, head
    if not dims:
        return None
    # Mixed within head and tail, so that one scale fits all of a row.
    generator = torch.Generator().manual_seed(0)
    axes = torch.cat([_mixed(basis[:, :dims], generator), _mixed(basis[:, dims:], generator)])
    return Head(axes.float(), dims, direction.float())


def thinned(queries: Tensor) -> Tensor:
    """Those of sample queries [S, D] that are used, at most 64."""
    return queries[:: max(1, len(queries) // _SAMPLED_QUERIES)][:_SAMPLED_QUERIES]


def defect_of(axes: Tensor) -> float:
    """An upper bound of the 2-norm of `axes axes^T - 1`, [D, D] float32: its Frobenius norm, rounded up.

    Each of the products, of rows of norm 1, errs by at most D 2^-53, and the D^2 of them together by D times that.
    """
    exact = axes.double()
    identity = torch.eye(len(axes), dtype=torch.float64)
    return float((exact @ exact.T - identity).norm()) * (1 + 1e-6) + len(axes) ** 2 * 2.0**-52


def axes_panels(axes: Tensor) -> Tensor:
    """Axes [D, D] in the layout of `PrincipalAxes.axes`."""
    dim = len(axes)
    padded = torch.nn.functional.pad(axes, (0, 0, 0, -dim % PANEL_KEYS))
    return padded.view(-1, PANEL_KEYS, dim).transpose(1, 2).contiguous()


def _centred(keys: Tensor, metric: Metric, centre: Tensor) -> Tensor:
    exact = keys.double()
    return (torch.nn.functional.normalize(exact, dim=-1) if metric == "cosine" else exact) - centre


def _values(z: Tensor, y: Tensor, metric: Metric) -> Tensor:
    """What the first pass compares, of pairs of rows."""
    return (z * y).sum(1) + _bias(y, metric)


def _bias(y: Tensor, metric: Metric) -> Tensor:
    return y.square().sum(1) / -2 if metric == "l2" else y.new_zeros(len(y))


def _mixed(basis: Tensor, generator: torch.Generator) -> Tensor:
    """The same span [D, n] in rows [n, D] that share its variance."""
    size = basis.shape[1]
    turn: Tensor = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64)).Q
    return turn @ basis.T
