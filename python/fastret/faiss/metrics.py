"""FAISS's metrics by number, and by fastret's names."""

from __future__ import annotations

from ..ops.arrays import Metric

METRIC_INNER_PRODUCT = 0
METRIC_L2 = 1
METRIC_L1 = 2
METRIC_Linf = 3
METRIC_Lp = 4
METRIC_Canberra = 20
METRIC_BrayCurtis = 21
METRIC_JensenShannon = 22
METRIC_Jaccard = 23
METRIC_NaNEuclidean = 24
METRIC_GOWER = 25
# Beyond FAISS, whose files cannot hold it.
METRIC_COSINE = -1

_NAMES: dict[int, Metric] = {METRIC_INNER_PRODUCT: "ip", METRIC_L2: "l2", METRIC_COSINE: "cosine"}
_SIMILARITIES = (METRIC_INNER_PRODUCT, METRIC_Jaccard, METRIC_COSINE)


def is_similarity_metric(metric: int) -> bool:
    """Whether more is better."""
    return metric in _SIMILARITIES


def metric_name(metric: int) -> Metric | None:
    """fastret's name of a metric that its search computes, or None."""
    return _NAMES.get(metric)
