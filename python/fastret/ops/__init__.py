"""The ops: torch.ops.fastret.* with checked arguments, fake kernels, autograd and autocast."""

from .cosine_scores import cosine_scores
from .packing import PackedKeys, pack
from .range_search import range_search
from .search import search
from .select_k import select_k

__all__ = ["PackedKeys", "cosine_scores", "pack", "range_search", "search", "select_k"]
