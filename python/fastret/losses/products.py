"""Matrix products, by the faster of the libraries that torch brings."""

from __future__ import annotations

import torch
from torch import Tensor


def product(left: Tensor, right: Tensor) -> Tensor:
    """left [R, K] @ right [K, C].

    On a CPU torch gives float32 products to MKL, which has no AVX-512 for processors of other makers than its own:
    there oneDNN, whose linear layer this is, takes half the time.
    """
    if left.dtype == torch.float32 and left.device.type == "cpu" and _has_onednn_linear() and left.numel():
        return torch.ops.mkldnn._linear_pointwise(left, right.T, None, "none", [], "")  # type: ignore[no-any-return]
    return left @ right


def _has_onednn_linear() -> bool:
    mkldnn = torch.backends.mkldnn
    return bool(mkldnn.enabled) and hasattr(torch.ops.mkldnn, "_linear_pointwise")
