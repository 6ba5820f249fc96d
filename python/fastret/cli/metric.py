"""The choice of --metric."""

from __future__ import annotations

from enum import Enum


class MetricName(str, Enum):
    cosine = "cosine"
    ip = "ip"
    l2 = "l2"
