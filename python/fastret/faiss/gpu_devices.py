"""Which devices FAISS's GPU names run on: CUDA devices that fastret can use, else the CPU."""

from __future__ import annotations

import operator
import sys
import warnings
from collections.abc import Iterable

import torch

from .._loader import cuda_library


def cuda_devices() -> list[torch.device]:
    """The devices by FAISS's numbers; none where torch has no GPU or fastret's CUDA library is not loaded."""
    if cuda_library != "loaded" or not torch.cuda.is_available():
        return []
    return [torch.device("cuda", number) for number in range(torch.cuda.device_count())]


def get_num_gpus() -> int:
    """How many GPUs there are: 0 on a machine without, where every GPU name runs on the CPU."""
    return len(cuda_devices())


def gpu_sync_all_devices() -> None:
    """Wait until every GPU has finished; nothing without one."""
    for device in cuda_devices():
        torch.cuda.synchronize(device)


def gpu_profiler_start() -> None:
    """Start CUDA's profiler; nothing without a GPU."""
    if cuda_devices():
        torch.cuda.profiler.start()  # type: ignore[no-untyped-call]


def gpu_profiler_stop() -> None:
    """Stop CUDA's profiler; nothing without a GPU."""
    if cuda_devices():
        torch.cuda.profiler.stop()  # type: ignore[no-untyped-call]


def devices_by_number(operation: str, numbers: Iterable[int]) -> list[torch.device]:
    """The devices with these numbers, -1 being torch's current one; the CPU, with one warning, where there is no GPU.

    Raises RuntimeError, as FAISS does, for a device that is not there.
    """
    numbers = [operator.index(number) for number in numbers]
    gpus = cuda_devices()
    if not gpus:
        _tell_once(operation)
        return [torch.device("cpu")]
    for number in numbers:
        if not -1 <= number < len(gpus):
            raise RuntimeError(f"{operation}: device must be 0 to {len(gpus) - 1}, got {number}")
    return [gpus[torch.cuda.current_device() if number == -1 else number] for number in numbers or [0]]


_told: list[str] = []  # of what the warning told: one per process


def _tell_once(operation: str) -> None:
    if not _told:
        _told.append(operation)
        warnings.warn(
            f"fastret.faiss: {operation} and every other GPU name run on the CPU, with the same results, as "
            f"{_why_no_gpu()}; PYTHONWARNINGS=ignore:fastret.faiss silences this",
            UserWarning,
            stacklevel=_frames_in_this_package(),
        )


def _frames_in_this_package() -> int:
    """How many frames up from `_tell_once` the caller of the package is, whom the warning concerns."""
    frame, level = sys._getframe(1), 1
    while frame.f_back and str(frame.f_globals.get("__package__")).startswith(str(__package__)):
        frame, level = frame.f_back, level + 1
    return level


def _why_no_gpu() -> str:
    if not torch.cuda.is_available():
        return "torch finds no GPU"
    return f"the CUDA library of fastret is {cuda_library}"
