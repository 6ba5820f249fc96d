"""A JSON file of rows that is whole whenever it is read, so that a run that is cut short leaves what it had."""

from __future__ import annotations

import json
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

import torch

import fastret

WRITE_EVERY_S = 1.0  # a thousand checks rewrite the file a few times, not a thousand times


class ResultsFile:
    """Rows under `path`, with the machine, the versions and the settings of the run that they belong to."""

    def __init__(self, path: Path, device: torch.device, **settings: Any) -> None:
        self._path = path
        self._content: dict[str, Any] = {"machine": machine_facts(device), "settings": settings, "rows": []}
        self._write()

    def __enter__(self) -> ResultsFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._write()

    def add(self, **row: Any) -> None:
        self._content["rows"].append(row)
        if time.monotonic() - self._written_s >= WRITE_EVERY_S:
            self._write()

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_suffix(".partial")
        temporary.write_text(json.dumps(self._content, indent=1) + "\n")
        temporary.replace(self._path)
        self._written_s = time.monotonic()


def machine_facts(device: torch.device) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "device": "CPU",
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "fastret": fastret.__version__,
        "commit": _output_of("git", "describe", "--always", "--dirty", "--exclude=*"),
        "cuda_library": fastret.build_info()["cuda_library"],
        "python": platform.python_version(),
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        facts |= {
            "device": properties.name,
            "driver": _output_of("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader", "--id=0"),
            "compute_capability": f"{properties.major}.{properties.minor}",
            "multiprocessors": properties.multi_processor_count,
            "memory_gib": round(properties.total_memory / 2**30, 1),
        }
    return facts


def _output_of(*command: str) -> str | None:
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, check=True, cwd=Path(__file__).parent, timeout=20
        )
        return result.stdout.strip() or None
    except (OSError, subprocess.SubprocessError):
        return None
