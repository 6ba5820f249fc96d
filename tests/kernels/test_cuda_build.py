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
# The others are compiled for sm_80 here, and by `make cuda` for every architecture.
ONLY_FOR = {"scan_hopper.cu": "sm_90a"}
KERNELS_OF = [(arch, kernel) for arch, limits in TABLE.items() for kernel in limits]
NVCC = os.environ.get("CUDACXX") or shutil.which("nvcc") or shutil.which("nvcc", path="/usr/local/cuda/bin")
ENTRY = re.compile(
    r"Compiling entry function '(?P<name>\w+)'.*?"
    r"(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, (?P<loads>\d+) bytes spill loads.*?"
    r"Used (?P<registers>\d+) registers(?P<rest>[^\n]*)",
    re.DOTALL,
)

pytestmark = pytest.mark.skipif(NVCC is None, reason="nvcc is not installed")


def readable(mangled: str) -> str:
    """The kernel's name, with the arguments of a template."""
    name = subprocess.run(["c++filt", mangled], capture_output=True, text=True, check=True).stdout
    for number, metric in enumerate(METRICS):
        name = name.replace(f"(fastret::Metric){number}", metric)
    name = re.sub(r"fastret::|cuda::|\(anonymous namespace\)::", "", name)
    match = re.match(r"(?:void )?(\w+(?:<[^(]*>)?)\(", name)
    assert match, name
    return match[1]


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], dict[str, int]]:
    found = {}
    for source in sorted(KERNELS.glob("*.cu")):
        arch = ONLY_FOR.get(source.name, "sm_80")
        command = [
            *(str(NVCC), "-std=c++17", "-O3", "-fmad=false", f"-I{ROOT / 'csrc'}"),
            f"-gencode=arch={arch.replace('sm', 'compute')},code={arch}",
            *("-Xptxas=-v,-warn-spills,-warn-lmem-usage", "-Werror=all-warnings", "-cubin", str(source)),
            *("-o", str(tmp_path_factory.mktemp("cubin") / "kernel.cubin")),
        ]
        result = subprocess.run(command, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        # Advice, no warnings: wgmma that waits for each instruction, setmaxnreg that is ignored.
        assert not re.findall(r".*\(C\d+\).*", result.stderr + result.stdout)
        for entry in ENTRY.finditer(result.stderr + result.stdout):
            if entry["name"].startswith("_ZN3cub"):  # the toolkit's sort
                continue
            shared = re.search(r"(\d+) bytes smem", entry["rest"])
            found[arch, readable(entry["name"])] = {
                "registers": int(entry["registers"]),
                "shared_bytes": int(shared[1]) if shared else 0,
                "stack_bytes": int(entry["stack"]),
                "spilled_bytes": int(entry["stores"]) + int(entry["loads"]),
            }
    return found


def test_the_table_names_every_kernel(reports: dict[tuple[str, str], dict[str, int]]) -> None:
    assert sorted(reports) == sorted(KERNELS_OF)


@pytest.mark.parametrize(("arch", "kernel"), KERNELS_OF)
def test_kernel_keeps_within_its_limits(reports: dict[tuple[str, str], dict[str, int]], arch: str, kernel: str) -> None:
    report, limit = reports[arch, kernel], TABLE[arch][kernel]
    assert report["stack_bytes"] == report["spilled_bytes"] == 0
    assert report["registers"] <= limit["registers"], limit["why"]
    assert report["shared_bytes"] <= limit["shared_bytes"], limit["why"]
