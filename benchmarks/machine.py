"""The machine and the versions that a measurement belongs to."""

from __future__ import annotations

import os
import platform
from functools import lru_cache
from typing import Any

import cpuinfo
import numpy
import torch

import fastret

from .peers import PEER_VERSIONS, thread_counts


@lru_cache(maxsize=1)
def machine_facts() -> dict[str, Any]:
    """CPU, instruction set in use, cores, versions; the load average is the one of the first call."""
    cpu = cpuinfo.get_cpu_info()
    built = fastret.build_info()
    return {
        "cpu": {name: cpu[name] for name in ("brand_raw", "family", "model", "stepping") if name in cpu},
        "cores": os.cpu_count(),
        "thread_counts": thread_counts(),
        "isa": built["isa"],
        "isas": built["isas"],
        "compiler": built["compiler"],
        "fastret": built["version"],
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        **PEER_VERSIONS,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "load_average": round(os.getloadavg()[0], 2),
    }
