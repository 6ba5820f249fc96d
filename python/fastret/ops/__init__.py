"""The ops: torch.ops.fastret.* with checked arguments, fake kernels, autograd and autocast."""

from .cosine_scores import cosine_scores
from .search import search
from .select_k import select_k

__all__ = ["cosine_scores", "search", "select_k"]
