"""FAISS's settings and counters for all of the process: faiss.cvar."""

from __future__ import annotations

from .hnsw_graph import HNSWStats, hnsw_stats
from .ivf.stats import IndexIVFStats, indexIVF_stats
from .struct import FaissObject


class GlobalVariables(FaissObject):
    """Counters of searches, and thresholds between FAISS's ways to search, which can be set and have no effect here."""

    distance_compute_blas_threshold: int = 128000
    distance_compute_blas_query_bs: int = 4096
    distance_compute_blas_database_bs: int = 1024
    distance_compute_min_k_reservoir: int = 100
    indexIVF_stats: IndexIVFStats = indexIVF_stats
    hnsw_stats: HNSWStats = hnsw_stats


cvar = GlobalVariables()
