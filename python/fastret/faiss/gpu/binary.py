"""FAISS's binary indexes on GPUs: under these names the indexes of the CPU, with their results."""

from __future__ import annotations

import copy

from ..binary.index import IndexBinaryFlat
from ..gpu_devices import devices_by_number
from .index import OnGpu, become, gpu_kinds, index_cpu_to_gpu, index_cpu_to_gpu_multiple, index_gpu_to_cpu
from .options import GpuIndexConfig, GpuResourcesProvider


class GpuIndexBinaryFlat(OnGpu, IndexBinaryFlat):
    """Exact search among binary vectors: faiss.GpuIndexBinaryFlat(resources, d or index, config)."""

    _cpu_kind = IndexBinaryFlat

    def __init__(
        self, provider: GpuResourcesProvider, d: int | IndexBinaryFlat, config: GpuIndexConfig | None = None
    ) -> None:
        number = 0 if config is None else config.device
        become(self, copy.deepcopy(d) if isinstance(d, IndexBinaryFlat) else IndexBinaryFlat(d))
        self._belong(provider, number)
        devices_by_number(type(self).__name__, [number])


index_binary_cpu_to_gpu = index_cpu_to_gpu
index_binary_cpu_to_gpu_multiple = index_cpu_to_gpu_multiple
index_binary_gpu_to_cpu = index_gpu_to_cpu

gpu_kinds.append(GpuIndexBinaryFlat)
