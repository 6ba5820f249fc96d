"""FAISS's GPU resources, configurations and cloner options.

They say where an index goes and whether several devices share it. What else they say is how FAISS's own kernels
use memory and half precision: it may be set, and changes nothing here, where scores are exact float32 always.
"""

from __future__ import annotations

from typing import Any

import torch

from ..struct import FaissObject

INDICES_CPU = 0
INDICES_IVF = 1
INDICES_32_BIT = 2
INDICES_64_BIT = 3

MemorySpace_Temporary = 0
MemorySpace_Device = 1
MemorySpace_Unified = 2


class _GpuOptions(FaissObject):
    """Takes any attribute, as FAISS's do: scripts set fields of other releases, which change nothing here either."""

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)


class GpuResourcesProvider(_GpuOptions):
    """The base of StandardGpuResources, for annotations and isinstance."""

    def getResources(self) -> GpuResourcesProvider:
        return self


class StandardGpuResources(GpuResourcesProvider):
    """What FAISS's GPU functions take first. Memory and streams are torch's here: its calls have no effect."""

    def noTempMemory(self) -> None:
        """No effect: searches take their memory from torch."""

    def setTempMemory(self, size: int) -> None:
        """No effect: searches take their memory from torch."""

    def setTempMemoryFraction(self, fraction: float) -> None:
        """No effect; FAISS had it before 1.5."""

    def getTempMemoryAvailable(self, device: int) -> int:
        """0: no memory is set aside."""
        return 0

    def setPinnedMemory(self, size: int) -> None:
        """No effect."""

    def getMemoryInfo(self) -> dict[int, dict[str, tuple[int, int]]]:
        """By device, what FAISS's own allocations hold: nothing. torch.cuda.memory_summary() tells of torch's."""
        return {}

    def setLogMemoryAllocations(self, enable: bool) -> None:
        """No effect."""

    def setDefaultStream(self, device: int, stream: Any) -> None:
        """No effect: work goes to torch's current stream, see torch.cuda.stream."""

    def revertDefaultStream(self, device: int) -> None:
        """No effect: work goes to torch's current stream."""

    def setDefaultNullStreamAllDevices(self) -> None:
        """No effect: work goes to torch's current stream."""

    def getDefaultStream(self, device: int) -> int:
        """The number of torch's current stream on a device, 0 without a GPU."""
        return int(torch.cuda.current_stream(device).cuda_stream) if torch.cuda.is_available() else 0

    def syncDefaultStream(self, device: int) -> None:
        """Wait for torch's current stream on a device."""
        if torch.cuda.is_available():
            torch.cuda.current_stream(device).synchronize()

    def syncDefaultStreamCurrentDevice(self) -> None:
        """Wait for torch's current stream."""
        if torch.cuda.is_available():
            torch.cuda.current_stream().synchronize()

    def supportsBFloat16(self, device: int) -> bool:
        return torch.cuda.is_available() and torch.cuda.get_device_capability(device) >= (8, 0)

    def supportsBFloat16CurrentDevice(self) -> bool:
        return torch.cuda.is_available() and torch.cuda.get_device_capability() >= (8, 0)


GpuResources = StandardGpuResourcesImpl = StandardGpuResources


class GpuResourcesVector:
    """A list of resources: `push_back`, `size`, `at`."""

    def __init__(self) -> None:
        self._providers: list[GpuResourcesProvider] = []

    def push_back(self, provider: GpuResourcesProvider) -> None:
        self._providers.append(provider)

    def size(self) -> int:
        return len(self._providers)

    def at(self, i: int) -> GpuResourcesProvider:
        return self._providers[i]


class GpuIndexConfig(_GpuOptions):
    """device: the number of the GPU."""

    device: int = 0
    memorySpace: int = MemorySpace_Device
    use_cuvs: bool = False


class GpuIndexFlatConfig(GpuIndexConfig):
    """useFloat16 changes nothing: vectors are kept, and scores are exact, in float32."""

    useFloat16: bool = False
    storeTransposed: bool = False


class GpuIndexIVFConfig(GpuIndexConfig):
    indicesOptions: int = INDICES_64_BIT
    flatConfig: GpuIndexFlatConfig
    allowCpuCoarseQuantizer: bool = False

    def __init__(self) -> None:
        object.__setattr__(self, "flatConfig", GpuIndexFlatConfig())


class GpuIndexIVFFlatConfig(GpuIndexIVFConfig):
    interleavedLayout: bool = True


class GpuIndexIVFScalarQuantizerConfig(GpuIndexIVFConfig):
    interleavedLayout: bool = True


class GpuIndexIVFPQConfig(GpuIndexIVFConfig):
    useFloat16LookupTables: bool = False
    usePrecomputedTables: bool = False
    interleavedLayout: bool = False
    useMMCodeDistance: bool = False


class GpuIndexBinaryFlatConfig(GpuIndexConfig):
    pass


class GpuClonerOptions(_GpuOptions):
    """How `index_cpu_to_gpu` moves an index: nothing of it changes results."""

    indicesOptions: int = INDICES_64_BIT
    useFloat16CoarseQuantizer: bool = False
    useFloat16: bool = False
    usePrecomputed: bool = False
    reserveVecs: int = 0
    storeTransposed: bool = False
    verbose: bool = False
    use_cuvs: bool = False
    allowCpuCoarseQuantizer: bool = False


class GpuMultipleClonerOptions(GpuClonerOptions):
    """shard: the devices share the vectors of a flat index; else all are on the first device."""

    shard: bool = False
    shard_type: int = 1
    common_ivf_quantizer: bool = False
