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
ARCHS = ("sm_80", "sm_86", "sm_89", "sm_90a")
ONLY_FOR = {"scan_hopper.cu": ("sm_90a",)}
WITHOUT_KERNELS = ("sort_keys.cu",)  # of its own: it calls the toolkit's
KERNELS_OF = [(kernel, arch) for kernel, limit in TABLE.items() for arch in limit.get("archs", ARCHS)]
NVCC = os.environ.get("CUDACXX") or shutil.which("nvcc") or shutil.which("nvcc", path="/usr/local/cuda/bin")
ENTRY = re.compile(
    r"Compiling entry function '(?P<name>\w+)' for '(?P<arch>\w+)'.*?"
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
        if source.name in WITHOUT_KERNELS:
            continue
        archs = ONLY_FOR.get(source.name, ARCHS)
        command = [
            *(str(NVCC), "-std=c++17", "-O3", "-fmad=false", f"-I{ROOT / 'csrc'}", "--threads=0"),
            *(f"-gencode=arch={arch.replace('sm', 'compute')},code={arch}" for arch in archs),
            *("-Xptxas=-v,-warn-spills,-warn-lmem-usage", "-Werror=all-warnings", "-fatbin", str(source)),
            *("-o", str(tmp_path_factory.mktemp("fatbin") / "kernels.fatbin")),
        ]
        result = subprocess.run(command, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        # Advice, no warnings: wgmma that waits for each instruction, setmaxnreg that is ignored.
        assert not re.findall(r".*\(C\d+\).*", result.stderr + result.stdout)
        for entry in ENTRY.finditer(result.stderr + result.stdout):
            shared = re.search(r"(\d+) bytes smem", entry["rest"])
            found[readable(entry["name"]), entry["arch"]] = {
                "registers": int(entry["registers"]),
                "shared_bytes": int(shared[1]) if shared else 0,
                "stack_bytes": int(entry["stack"]),
                "spilled_bytes": int(entry["stores"]) + int(entry["loads"]),
            }
    return found


def test_the_table_names_every_kernel(reports: dict[tuple[str, str], dict[str, int]]) -> None:
    assert sorted(reports) == sorted(KERNELS_OF)


@pytest.mark.parametrize(("kernel", "arch"), KERNELS_OF)
def test_kernel_keeps_within_its_limits(reports: dict[tuple[str, str], dict[str, int]], kernel: str, arch: str) -> None:
    report, limit = reports[kernel, arch], TABLE[kernel]
    assert report["stack_bytes"] == report["spilled_bytes"] == 0
    assert report["registers"] <= limit["registers"], limit["why"]
    assert report["shared_bytes"] <= limit["shared_bytes"], limit["why"]
