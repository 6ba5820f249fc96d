"""What ptxas reports of the CUDA kernels, against the limits of cuda/ptxas_table.json. Needs nvcc, but no GPU."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
KERNELS = ROOT / "csrc" / "kernels" / "cuda"
TABLE = json.loads((Path(__file__).parent / "cuda" / "ptxas_table.json").read_text())
METRICS = ("inner_product", "cosine", "l2")
NVCC = os.environ.get("CUDACXX") or shutil.which("nvcc") or shutil.which("nvcc", path="/usr/local/cuda/bin")
ENTRY = re.compile(
    r"Compiling entry function '(?P<name>\w+)'.*?"
    r"(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, (?P<loads>\d+) bytes spill loads.*?"
    r"Used (?P<registers>\d+) registers(?P<rest>[^\n]*)",
    re.DOTALL,
)

pytestmark = pytest.mark.skipif(NVCC is None, reason="nvcc is not installed")


def readable(mangled: str) -> str:
    """The kernel's name; for a template, with the metric that it is compiled for."""
    demangled = subprocess.run(["c++filt", mangled], capture_output=True, text=True, check=True).stdout
    name = re.search(r"(\w+)(?:<\(fastret::Metric\)(\d)>)?\(", demangled.replace("(anonymous namespace)::", ""))
    assert name, demangled
    return name[1] + (f"<{METRICS[int(name[2])]}>" if name[2] else "")


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, int]]:
    found = {}
    for source in sorted(KERNELS.glob("*.cu")):
        command = [
            *(str(NVCC), "-std=c++17", "-O3", "-fmad=false", f"-arch={TABLE['arch']}", f"-I{ROOT / 'csrc'}"),
            *("-Xptxas=-v,-warn-spills,-warn-lmem-usage", "-Werror=all-warnings", "-cubin", str(source)),
            *("-o", str(tmp_path_factory.mktemp("cubin") / "kernel.cubin")),
        ]
        result = subprocess.run(command, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        for entry in ENTRY.finditer(result.stderr + result.stdout):
            shared = re.search(r"(\d+) bytes smem", entry["rest"])
            found[readable(entry["name"])] = {
                "registers": int(entry["registers"]),
                "shared_bytes": int(shared[1]) if shared else 0,
                "stack_bytes": int(entry["stack"]),
                "spilled_bytes": int(entry["stores"]) + int(entry["loads"]),
            }
    return found


def test_the_table_names_every_kernel(reports: dict[str, dict[str, int]]) -> None:
    assert sorted(reports) == sorted(TABLE["kernels"])


@pytest.mark.parametrize("kernel", TABLE["kernels"])
def test_kernel_keeps_within_its_limits(reports: dict[str, dict[str, int]], kernel: str) -> None:
    report, limit = reports[kernel], TABLE["kernels"][kernel]
    assert report["stack_bytes"] == report["spilled_bytes"] == 0
    assert report["registers"] <= limit["registers"], limit["why"]
    assert report["shared_bytes"] <= limit["shared_bytes"], limit["why"]
