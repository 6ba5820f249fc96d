"""MatrixStats: what to know of vectors before they are indexed."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..arrays import real_rows
from ..struct import FaissObject

_FAR = 10.0  # standard deviations between the mean and zero: L2 by inner products then loses digits
_NEGLIGIBLE = 1e-4  # of the greatest standard deviation


class MatrixStats(FaissObject):
    """Looks at vectors x [n, d] for what makes searches fail: `comments` says what there is, a sentence a line.

    n_valid: vectors without NaN and infinity; n0: of these the zero vectors; min_norm2 and max_norm2: the
    norms of the others.
    """

    n: int = 0
    d: int = 0
    n_valid: int = 0
    n0: int = 0
    n_collision: int = 0
    min_norm2: float = float("inf")
    max_norm2: float = 0.0
    comments: str = ""

    def __init__(self, m: Any) -> None:
        rows = real_rows("MatrixStats", m)
        self.n, self.d = rows.shape
        valid = rows[rows.isfinite().all(1)].double()
        self.n_valid = len(valid)
        norms = valid.norm(dim=1)
        self.n0 = int((norms == 0).sum())
        lines = [f"{self.n} vectors of {self.d} dimensions"]
        lines.append(
            f"{self.n - self.n_valid} hold NaN or infinity" + (", and are never found" * (self.n_valid < self.n))
        )
        if rows.numel():
            _, copies = torch.unique(rows, dim=0, return_counts=True)
            lines.append(f"{len(copies)} are distinct; the most frequent occurs {int(copies.max())} times")
        if valid.numel():
            self.max_norm2 = float(norms.max())
            self.min_norm2 = float(norms[norms > 0].min()) if self.max_norm2 else self.min_norm2
            lines.append(f"L2 norms from {self.min_norm2:g} to {self.max_norm2:g}, {self.n0} zero vectors")
            if self.max_norm2 < self.min_norm2 * 1.01:
                lines.append("they are normalised: inner product and L2 find the same")
            lines.append(f"{float((valid == 0).double().mean()):.2%} of all values are zero")
            lines += _on_dimensions(valid)
        self.comments = "\n".join([*lines, ""])


def _on_dimensions(rows: Tensor) -> list[str]:
    deviations, means = rows.std(0, correction=0), rows.mean(0).abs()
    constant = deviations == 0
    far = ~constant & (means > _FAR * deviations)
    negligible = ~constant & (deviations < _NEGLIGIBLE * deviations.max())
    return [
        f"standard deviations of dimensions from {float(deviations.min()):g} to {float(deviations.max()):g}",
        f"{int(constant.sum())} dimensions are constant, {int(negligible.sum())} nearly so",
        f"{int(far.sum())} dimensions are far from zero for how much they vary: CenteringTransform makes them smaller",
    ]
