"""FAISS's inverted files on GPUs: under these names the indexes of the CPU, with their results."""

from __future__ import annotations

import copy
from typing import Any, ClassVar

from ..flat import IndexFlat
from ..gpu_devices import devices_by_number
from ..index import Index
from ..ivf.flat import IndexIVFFlat, IndexIVFScalarQuantizer
from ..ivf.index import IndexIVF
from ..ivf.pq import IndexIVFPQ
from ..metrics import METRIC_L2
from .index import GpuIndex, become, gpu_kinds
from .options import GpuIndexConfig, GpuResourcesProvider


class GpuIndexIVF(GpuIndex, IndexIVF):
    """The base of inverted files on GPUs: made as (resources, index, config), (resources, d, nlist, ..., config) or
    (resources, quantizer, d, nlist, ..., config), with what the index of the CPU takes in between.
    """

    _metric_at: ClassVar[int]  # which of d, nlist, ... is the metric

    def __init__(self, provider: GpuResourcesProvider, *arguments: Any, config: GpuIndexConfig | None = None) -> None:
        if arguments and isinstance(arguments[-1], GpuIndexConfig):
            *arguments, config = arguments  # type: ignore[assignment]
        if not arguments:
            raise TypeError(f"{type(self).__name__}: an index, or d and nlist, are needed behind the resources")
        number = 0 if config is None else config.device
        index: Index
        if isinstance(arguments[0], self._cpu_kind):
            index = copy.deepcopy(arguments[0])
        elif isinstance(arguments[0], Index):
            index = self._cpu_kind(*arguments)
        else:
            metric = arguments[self._metric_at] if len(arguments) > self._metric_at else METRIC_L2
            index = self._cpu_kind(IndexFlat(arguments[0], metric), *arguments)
        become(self, index)
        self._belong(provider, number)
        devices_by_number(type(self).__name__, [number])

    def reserveMemory(self, numVecs: int) -> None:
        """No effect: lists grow as they need."""

    def reclaimMemory(self) -> int:
        """0 bytes: lists keep their room."""
        return 0

    def updateQuantizer(self) -> None:
        """No effect: a quantizer that was changed is used as it is."""

    def getNumLists(self) -> int:
        return self.nlist

    def getListLength(self, listId: int) -> int:
        return self.get_list_size(listId)

    def getNumProbes(self) -> int:
        return self.nprobe

    def setNumProbes(self, nprobe: int) -> None:
        self.nprobe = nprobe


class GpuIndexIVFFlat(GpuIndexIVF, IndexIVFFlat):
    """faiss.GpuIndexIVFFlat(resources, d, nlist, metric, config), or as of GpuIndexIVF."""

    _cpu_kind = IndexIVFFlat
    _metric_at = 2


class GpuIndexIVFScalarQuantizer(GpuIndexIVF, IndexIVFScalarQuantizer):
    """faiss.GpuIndexIVFScalarQuantizer(resources, d, nlist, qtype, metric, by_residual, config)."""

    _cpu_kind = IndexIVFScalarQuantizer
    _metric_at = 3


class GpuIndexIVFPQ(GpuIndexIVF, IndexIVFPQ):
    """faiss.GpuIndexIVFPQ(resources, d, nlist, M, nbits, metric, config)."""

    _cpu_kind = IndexIVFPQ
    _metric_at = 4

    def getNumSubQuantizers(self) -> int:
        return self.pq.M

    def getBitsPerCode(self) -> int:
        return self.pq.nbits

    def getCentroidsPerSubQuantizer(self) -> int:
        return self.pq.ksub

    def setPrecomputedCodes(self, enable: bool) -> None:
        """No effect: searches compute ahead what is worth it."""

    def getPrecomputedCodes(self) -> bool:
        return False


gpu_kinds += [GpuIndexIVFFlat, GpuIndexIVFScalarQuantizer, GpuIndexIVFPQ]
