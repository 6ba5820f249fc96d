"""The ratios that fastret is to reach: what it promises at least, and what it aims at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from .comparisons import Comparison
from .markdown import markdown_table

FAISS_AT_ITS_BEST = ("faiss", "faiss, BLAS threshold 1", "faiss, 1 thread", "faiss, BLAS threshold 1, 1 thread")


@dataclass(frozen=True)
class Goal:
    name: str
    work: str  # a pattern of works, * stands for anything
    peers: tuple[str, ...]  # of those that took part, the one that comes out best counts
    at_least: float
    aim: float
    op: str = "search"

    def measured(self, comparisons: Iterable[Comparison]) -> list[Comparison]:
        """Per work and number of threads, the comparison with the smallest ratio."""
        smallest: dict[tuple[str, int], Comparison] = {}
        for one in comparisons:
            if one.op == self.op and one.peer in self.peers and fnmatchcase(one.work, self.work):
                contest = one.work, one.threads
                smallest[contest] = min(one, smallest.get(contest, one), key=lambda c: c.ratio)
        return list(smallest.values())


GOALS = (
    Goal("A", "clip 1000x100000x512 ip k=10", ("faiss",), 4, 6),
    Goal("A, AVX2", "clip 1000x100000x512 ip k=10 avx2 only", ("faiss",), 1.5, 2),
    Goal("B", "text 1000x100000x1536 ip k=100", ("faiss",), 3.5, 5),
    Goal("C", "text 1x500000x768 ip k=10", FAISS_AT_ITS_BEST, 4, 6),
    Goal("D", "text 16x500000x768 ip k=10", ("faiss",), 20, 35),
    Goal("D, tuned faiss", "text 16x500000x768 ip k=10", ("faiss, BLAS threshold 1",), 6, 8),
    Goal("E", "clip 5000x5000x512 ip k=10 packing timed", ("faiss",), 2.5, 3.5),
    Goal("F", "clip 1000x100000x512 ip k=1000", ("faiss",), 2.1, 4),
    Goal("G, k=10", "MiniLM-sentences 1000x30000x384 ip k=10", ("faiss",), 4, 5),
    Goal("G, k=100", "MiniLM-sentences 1000x30000x384 ip k=100", ("faiss",), 3, 4),
    Goal("G, k=10", "EfficientNet-emoji * ip k=10", ("faiss",), 4, 5),
    Goal("G, k=100", "EfficientNet-emoji * ip k=100", ("faiss",), 3, 4),
    Goal("H", "clip 1000x100000x512 ip k=10 one-shot", ("faiss",), 2, 3),
    # What FAISS's names cost beside FlatIndex; then what they must not be slower at than FAISS.
    Goal("the FAISS names cost 3 %", "search 1*x100000x512", ("fastret, FlatIndex",), 0.97, 1, op="drop_in"),
    Goal("add, write and read", "*_index *", ("faiss",), 1, 1, op="drop_in"),
    Goal("IVF, batches", "* by 100* nprobe=16", ("faiss",), 1, 1.5, op="ivf_search"),
    Goal("IVF, single queries", "* by 1 *", ("faiss",), 1, 1.5, op="ivf_search"),
    Goal("IVF, train, add, write and read", "*", ("faiss",), 1, 1.5, op="ivf_build"),
    Goal("product codes", "*PQ16 *k=*", ("faiss",), 1, 1.5, op="product_codes"),
    Goal("k-means", "*", ("faiss",), 1, 1.5, op="kmeans"),
    Goal("HNSW search", "* by 100*", ("faiss",), 1, 1, op="hnsw_search"),
    Goal("HNSW build", "*", ("faiss",), 1, 1, op="hnsw_build"),
    # Labels, a positive and a margin cost a tenth of a search at most.
    Goal("mining as fast as search", "*", ("fastret, search",), 0.91, 1, op="mine_hard_negatives"),
    # Contrastive losses: what the products cost alone, and those who hold all scores.
    Goal("loss, beside its 3 products", "one direction *float32", ("3 matrix products",), 0.87, 1.5, op="losses"),
    Goal("loss, plain torch", "one direction *float32", ("torch",), 1.15, 2, op="losses"),
    Goal("loss, symmetric", "symmetric *float32", ("open_clip",), 1.8, 3, op="losses"),
    Goal("loss, bfloat16", "one direction *bfloat16", ("fastret, float32",), 1.8, 2, op="losses"),
    Goal("loss, cached", "one direction * cached", ("sentence-transformers",), 4.5, 6, op="losses"),
    Goal("loss, guided", "guided * cached", ("sentence-transformers",), 100, 500, op="losses"),
    # What cannot be certified in low precision is scored in float32 after all: slower than that from the start, but
    # not by more than this.
    Goal("bounded slowdown", "*", ("fastret, float32",), 0.8, 1, op="fallbacks"),
)

HEADER = ("goal", "work", "threads", "peer", "ratio", "at least", "aim", "reached")
TEXTS = ("goal", "work", "peer", "reached")


def goals_table(comparisons: Iterable[Comparison], goals: Iterable[Goal] = GOALS) -> str:
    """A Markdown table of what the goals say beside what was measured; "" where no goal's work was measured."""
    comparisons = list(comparisons)
    rows = [
        (
            goal.name,
            one.work,
            str(one.threads),
            one.peer,
            f"{one.ratio:.2f}",
            f"{goal.at_least:g}",
            f"{goal.aim:g}",
            _reached(goal, one.ratio),
        )
        for goal in goals
        for one in goal.measured(comparisons)
    ]
    return markdown_table(HEADER, rows, TEXTS) if rows else ""


def _reached(goal: Goal, ratio: float) -> str:
    return "aim" if ratio >= goal.aim else "at least" if ratio >= goal.at_least else "no"
