"""The ops: torch.ops.fastret.* with checked arguments, fake kernels, autograd and autocast."""

from .cosine_scores import cosine_scores
from .explain_search import SearchExplanation, explain_search
from .hamming_search import hamming_range_search, hamming_search
from .mine_hard_negatives import mine_hard_negatives
from .packing import PackedKeys, pack
from .range_search import range_search
from .search import search
from .select_k import select_k
from .unit_rows import unit_rows

__all__ = [
    "PackedKeys",
    "SearchExplanation",
    "cosine_scores",
    "explain_search",
    "hamming_range_search",
    "hamming_search",
    "mine_hard_negatives",
    "pack",
    "range_search",
    "search",
    "select_k",
    "unit_rows",
]
