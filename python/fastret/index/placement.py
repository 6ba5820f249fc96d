"""Which storage an index gets, from where its vectors shall be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch

from .._loader import cuda_library
from ..ops.arrays import Metric
from ..ops.first_pass import FirstPass
from .plane_storage import PlaneStorage
from .sharded_storage import ShardedStorage
from .storage import Storage
from .streamed_storage import StreamedStorage
from .tensor_storage import TensorStorage

Device: TypeAlias = str | torch.device | int
StorageKind: TypeAlias = Literal["auto", "planes", "host"]


class Placement:
    """Where the vectors of an index shall be; see FlatIndex for the arguments.

    Raises:
        TypeError: devices that are no sequence, workspace_mib that is no integer.
        ValueError: devices that torch cannot use here, `device` beside `devices`, an unknown storage, no workspace.
    """

    def __init__(
        self, device: Device, devices: Sequence[Device] | None, storage: StorageKind, workspace_mib: int
    ) -> None:
        if devices is not None and (isinstance(devices, str) or not isinstance(devices, Sequence)):
            raise TypeError(f"FlatIndex: devices must be a list or range of devices, got {devices!r}")
        if devices is not None and (str(device) != "cpu" or len(devices) == 0):
            raise ValueError(
                f"FlatIndex: devices must be one or more, in place of device, got {list(devices)} and {device!r}"
            )
        if storage not in ("auto", "planes", "host"):
            raise ValueError(f'FlatIndex: storage must be "auto", "planes" or "host", got {storage!r}')
        if not hasattr(workspace_mib, "__index__") or isinstance(workspace_mib, bool):
            raise TypeError(f"FlatIndex: workspace_mib must be an int, got {type(workspace_mib).__name__}")
        if workspace_mib < 1:
            raise ValueError(f"FlatIndex: workspace_mib must be at least 1, got {workspace_mib}")
        self.devices = [_usable_device(one) for one in ([device] if devices is None else devices)]
        self.sharded = devices is not None
        self.kind = storage
        self.workspace_bytes = int(workspace_mib) << 20

    @property
    def copies_files(self) -> bool:
        """Whether the vectors of a file are copied on to where they are kept."""
        return self.sharded or self.kind != "auto" or self.devices[0].type != "cpu"

    def storage(self, dim: int, metric: Metric, dtype: torch.dtype, first_pass: FirstPass) -> Storage:
        """An empty one."""
        shards = [self._on(device, dim, metric, dtype, first_pass) for device in self.devices]
        return ShardedStorage(shards) if self.sharded else shards[0]

    def _on(self, device: torch.device, dim: int, metric: Metric, dtype: torch.dtype, first_pass: FirstPass) -> Storage:
        if self.kind == "host":
            return StreamedStorage(dim, metric, dtype, device, self.workspace_bytes)
        if self.kind == "planes" or device.type == "cuda":
            return PlaneStorage(dim, metric, dtype, device, self.workspace_bytes)
        return TensorStorage(dim, metric, dtype, device, first_pass)


def _usable_device(device: Device) -> torch.device:
    try:
        usable = torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # what torch raises differs by build
        raise ValueError(f"FlatIndex: device must be one that torch can use here, got {str(device)!r}") from error
    if usable.type == "cuda" and cuda_library != "loaded":
        raise ValueError(
            f"FlatIndex: device {str(device)!r} needs the CUDA library of fastret, which is {cuda_library}"
        )
    return usable
