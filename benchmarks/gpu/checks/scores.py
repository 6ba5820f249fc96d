"""cosine_scores, exact and by matmul, and unit_rows with its gradients."""

from __future__ import annotations

from functools import partial
from itertools import product

import hard_vectors
import torch
from torch import Tensor

import fastret
from fastret.ops import reference, unit_rows

from .comparing import DTYPES, METRICS, Checks, generator, same


def check_scores(queries: Tensor, keys: Tensor, metric: str, out: torch.dtype, device: torch.device) -> None:
    got = fastret.cosine_scores(queries.to(device), keys.to(device), metric, out_dtype=out)
    same((got,), (fastret.cosine_scores(queries, keys, metric, out_dtype=out),), "the CPU op")
    same((got,), (reference.cosine_scores(queries, keys, metric).to(out),), "the definition")


def assert_within(got: Tensor, want: Tensor, tolerance: Tensor | float, what: str) -> None:
    difference = (got.cpu().double() - want.double()).abs()
    assert torch.equal(got.cpu().isnan(), want.isnan()), f"{what}: NaN elsewhere"
    excess = (difference - tolerance).nan_to_num(0).max().item() if got.numel() else 0
    assert excess <= 0, f"{what}: beyond the tolerance by {excess:.3g}"


def check_unit_rows(rows: Tensor, device: torch.device) -> None:
    squares = rows.double().square().sum(-1, keepdim=True)
    want = rows.double() / torch.where(squares == 0, torch.inf, squares).sqrt()
    units = unit_rows(rows.to(device), out_dtype=torch.float32)
    # Two roundings in float32, and those of results below its normal numbers.
    assert_within(units, want, 1.01 * 2.0**-23 * want.abs() + 2.0**-149, "units")
    for dtype in DTYPES:
        same((unit_rows(rows.to(device), out_dtype=dtype),), (units.to(dtype),), "float32 units, rounded")


def check_unit_gradients(rows: Tensor, grad_units: Tensor, device: torch.device) -> None:
    """Norms and gradients of ordinary size."""
    leaf = rows.to(device).detach().requires_grad_()
    unit_rows(leaf, out_dtype=grad_units.dtype).backward(grad_units.to(device))
    norms = rows.double().norm(dim=-1, keepdim=True)
    u, g = rows.double() / norms, grad_units.double()
    want = (g - u * (u * g).sum(-1, keepdim=True)) / norms
    eps = 2.0**-23 + (0 if rows.dtype == torch.float32 else torch.finfo(rows.dtype).eps)
    assert leaf.grad is not None
    assert_within(leaf.grad, want, eps * (g.norm(dim=-1, keepdim=True) / norms), "gradients")


def check_matmul_scores(queries: Tensor, keys: Tensor, metric: str, device: torch.device) -> None:
    """To the rounding of the dtype; with TF32 off."""
    got = fastret.cosine_scores(queries.to(device), keys.to(device), metric, exact=False)
    want = reference.cosine_scores(queries, keys, metric)
    sizes = (queries.double().norm(dim=-1).unsqueeze(-1) + keys.double().norm(dim=-1).unsqueeze(-2)).square()
    eps = (queries.shape[-1] + 8) * 2.0**-24
    if metric != "l2" and queries.dtype != torch.float32:
        eps += 1.5 * torch.finfo(queries.dtype).eps
    assert_within(got, want, eps * sizes.clamp_min(1), "scores")


def checks(device: torch.device) -> Checks:
    for family, metric in product(hard_vectors.FAMILIES, METRICS):
        pair = family(9, 300, 37, generator())
        name = f"cosine_scores, {family.__name__}, {metric}"
        yield name, partial(check_scores, *pair, metric, torch.float32, device)
    queries, keys = hard_vectors.normal(11, 270, 130, generator(1))
    for metric, dtype, key_dtype in product(METRICS, DTYPES, DTYPES):
        batched = queries.to(dtype).expand(2, -1, -1), keys.to(key_dtype).reshape(2, 135, 130)
        scores = partial(check_scores, *batched, metric, dtype, device)
        yield f"cosine_scores, {dtype} and {key_dtype}, {metric}", scores
    # Differs by one float32 step under a fused multiply-add.
    query, key = torch.zeros(1, 17), torch.zeros(1, 17)
    query[0, 0], query[0, 16] = float.fromhex("0x1.4p-27"), float.fromhex("0x1.37b4p+0")
    key[0, 16] = -float.fromhex("0x1.525f8cp-23")
    yield "l2 rounds each step", partial(check_scores, query, key, "l2", torch.float32, device)

    for metric, dtype in product(METRICS, DTYPES):
        pair = queries.to(dtype), keys.to(dtype)
        yield f"cosine_scores by matmul, {dtype}, {metric}", partial(check_matmul_scores, *pair, metric, device)
    for family in hard_vectors.FAMILIES:
        rows = torch.cat(family(9, 60, 40, generator(2)))
        yield f"unit_rows, {family.__name__}", partial(check_unit_rows, rows, device)
    # Whole pieces and none, a warp's rows and a block's, and longer than a block holds.
    for dim, dtype in product((1, 7, 8, 64, 1000, 1024, 1032, 1537, 8192, 8200, 20_001), DTYPES):
        rows = torch.randn(5, dim, generator=generator(3)).to(dtype)
        yield f"unit_rows, D={dim}, {dtype}", partial(check_unit_rows, rows, device)
        for grad_dtype in DTYPES[:2]:
            grad_units = torch.randn(5, dim, generator=generator(4)).to(grad_dtype)
            check = partial(check_unit_gradients, rows, grad_units, device)
            yield f"gradients of unit_rows, D={dim}, {dtype}, {grad_dtype}", check
