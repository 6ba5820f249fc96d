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

_METRICS = (*range(METRIC_INNER_PRODUCT, METRIC_Lp + 1), *range(METRIC_Canberra, METRIC_GOWER + 1))  # of FAISS
_NAMES: dict[int, Metric] = {METRIC_INNER_PRODUCT: "ip", METRIC_L2: "l2", METRIC_COSINE: "cosine"}
_SIMILARITIES = (METRIC_INNER_PRODUCT, METRIC_Jaccard, METRIC_COSINE)


def is_similarity_metric(metric: int) -> bool:
    """Whether more is better."""
    return metric in _SIMILARITIES


def metric_name(metric: int) -> Metric | None:
    """fastret's name of a metric that its search computes, or None."""
    return _NAMES.get(metric)


def metric_type_count() -> int:
    """How many metrics FAISS has."""
    return len(_METRICS)


def metric_type_from_int(x: int) -> int:
    """The metric with a number. Raises RuntimeError for a number that FAISS has no metric for."""
    if x not in _METRICS:
        raise RuntimeError(f"metric_type_from_int: there is no metric {x}")
    return x
