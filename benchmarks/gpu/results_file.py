"""A JSON file of rows that is whole after every row, so that a run that is cut short leaves what it had."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

import torch

import fastret


class ResultsFile:
    """Rows under `path`, with the machine and versions that they belong to."""

    def __init__(self, path: Path, device: torch.device) -> None:
        self._path = path
        self._content: dict[str, Any] = {"machine": machine_facts(device), "rows": []}
        self._write()

    def add(self, **row: Any) -> None:
        self._content["rows"].append(row)
        self._write()

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_suffix(".partial")
        temporary.write_text(json.dumps(self._content, indent=1) + "\n")
        temporary.replace(self._path)


def machine_facts(device: torch.device) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "device": "CPU",
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "fastret": fastret.__version__,
        "cuda_library": fastret.build_info()["cuda_library"],
        "python": platform.python_version(),
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        facts |= {
            "device": properties.name,
            "compute_capability": f"{properties.major}.{properties.minor}",
            "multiprocessors": properties.multi_processor_count,
            "memory_gib": round(properties.total_memory / 2**30, 1),
        }
    return facts
