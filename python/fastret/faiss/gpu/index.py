"""FAISS's flat indexes on GPUs, and the ways to and from them: on the CPU, with the same results, without a GPU.

Flat indexes live and search on their device, with the ids and score bits of the CPU, and take and give torch tensors
of any device. Other kinds of indexes stay on the CPU behind their GPU names.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from ...index import FlatIndex
from ..binary.index import IndexBinary
from ..extra_metrics import is_extra_metric
from ..flat import IndexFlat
from ..gpu_devices import devices_by_number, get_num_gpus
from ..index import Index
from ..metrics import METRIC_INNER_PRODUCT, METRIC_L2
from ..shards import IndexReplicas, IndexShards
from .options import (
    GpuClonerOptions,
    GpuIndexConfig,
    GpuMultipleClonerOptions,
    GpuResourcesProvider,
    GpuResourcesVector,
    StandardGpuResources,
)

# What an index is around, which goes to the GPU in its place.
_INNER = ("index", "base_index", "refine_index")


class OnGpu:
    """What indexes with GPU names have beside what they are on the CPU. FAISS does not have it."""

    _cpu_kind: ClassVar[type[Any]]
    _provider: GpuResourcesProvider
    _number: int

    def getDevice(self) -> int:
        """The number of the GPU, of several the first; without a GPU, the number that was asked for."""
        return self._number

    def getResources(self) -> GpuResourcesProvider:
        return self._provider

    def copyFrom(self, index: Any) -> None:
        """Become a copy of a CPU index on this device."""
        become(self, index_cpu_to_gpu(self._provider, self._number, index))

    def copyTo(self, index: Any) -> None:
        """Make a CPU index a copy of this one."""
        become(index, index_gpu_to_cpu(self))

    def _belong(self, provider: GpuResourcesProvider, number: int) -> None:
        if not isinstance(provider, GpuResourcesProvider):
            raise TypeError(f"{type(self).__name__}: resources are needed first, got {type(provider).__name__}")
        self._provider, self._number = provider, number

    def _on_cpu(self) -> Any:
        """A copy of the kind that it is on the CPU."""
        index = object.__new__(self._cpu_kind)
        become(index, copy.deepcopy(self))
        del index._provider, index._number
        return index


class GpuIndex(OnGpu, Index):
    """The base of the indexes with GPU names. Unlike FAISS's they can be written, pickled and range-searched."""

    _min_paging_size: int = 256 << 20

    def setMinPagingSize(self, size: int) -> None:
        """No effect: vectors are copied to a device in one way."""
        self._min_paging_size = operator.index(size)

    def getMinPagingSize(self) -> int:
        return self._min_paging_size


class GpuIndexFlat(GpuIndex, IndexFlat):
    """Exact search on a GPU: faiss.GpuIndexFlat(resources, d, metric, config) or (resources, index, config).

    `config.device` is the number of the GPU; `config.useFloat16` has no effect: scores are those of the CPU.
    """

    def __init__(
        self,
        provider: GpuResourcesProvider,
        d: int | IndexFlat,
        metric: int | GpuIndexConfig | None = None,
        config: GpuIndexConfig | None = None,
    ) -> None:
        if isinstance(metric, GpuIndexConfig):
            metric, config = None, metric
        index = d if isinstance(d, IndexFlat) else IndexFlat(d, METRIC_L2 if metric is None else metric)
        number = 0 if config is None else config.device
        self._belong(provider, number)
        self._copy(index, devices_by_number(type(self).__name__, [number]))

    def _copy(self, index: IndexFlat, devices: Sequence[torch.device]) -> None:
        """Have the vectors of a flat index, on one device or shared by several."""
        super().__init__(index.d, index.metric_type)
        self.metric_arg = index.metric_arg
        if is_extra_metric(index.metric_type):
            devices = [torch.device("cpu")]
        where: dict[str, Any] = {"devices": devices} if len(devices) > 1 else {"device": devices[0]}
        self._stored = FlatIndex(self.d, self._stored.metric, **where)
        self._stored.add(index.vectors.to(self._device))

    @property
    def _device(self) -> torch.device:
        return self._stored.device

    def _reconstruct(self, keys: Tensor) -> Tensor:
        # `vectors` is a copy of all of them here.
        if len(keys) and not (int(keys.min()) >= 0 and int(keys.max()) < self.ntotal):
            return super()._reconstruct(keys)
        return self._stored.reconstruct_batch(keys)

    def getNumVecs(self) -> int:
        return self.ntotal

    def _on_cpu(self) -> IndexFlat:
        index = IndexFlat(self.d, self.metric_type)
        index.metric_arg = self.metric_arg
        index._adopt(self.vectors.to("cpu", copy=True))
        return index


class GpuIndexFlatL2(GpuIndexFlat):
    """Exact search by squared L2 distance: faiss.GpuIndexFlatL2(resources, d or index, config)."""

    def __init__(
        self, provider: GpuResourcesProvider, d: int | IndexFlat, config: GpuIndexConfig | None = None
    ) -> None:
        super().__init__(provider, d, METRIC_L2, config)


class GpuIndexFlatIP(GpuIndexFlat):
    """Exact search by inner product: faiss.GpuIndexFlatIP(resources, d or index, config)."""

    def __init__(
        self, provider: GpuResourcesProvider, d: int | IndexFlat, config: GpuIndexConfig | None = None
    ) -> None:
        super().__init__(provider, d, METRIC_INNER_PRODUCT, config)


# What other kinds of indexes are called on a GPU.
gpu_kinds: list[type[OnGpu]] = []


def index_cpu_to_gpu(
    provider: GpuResourcesProvider, device: int, index: Any, options: GpuClonerOptions | None = None
) -> Any:
    """A copy of an index on GPU number `device`; without a GPU, on the CPU, with one warning.

    A flat index becomes a GpuIndexFlat, also inside another; indexes that FAISS refuses stay on the CPU.
    Raises TypeError for anything but resources and an index, RuntimeError for a device that is not there.
    """
    return _moved("index_cpu_to_gpu", [provider], [device], index)


def index_cpu_to_gpu_multiple(
    provider: GpuResourcesVector | Sequence[GpuResourcesProvider],
    devices: Any,
    index: Any,
    options: GpuClonerOptions | None = None,
) -> Any:
    """A copy of an index on several GPUs (Int32Vector or a list of numbers), as `index_cpu_to_gpu`.

    With `options.shard` they share the vectors of a flat index; else all are on the first of them.
    """
    providers, numbers = _listed(provider), _listed(devices)
    if len(providers) != len(numbers):
        raise RuntimeError(
            f"index_cpu_to_gpu_multiple: every device needs resources, got {len(providers)} for {len(numbers)} devices"
        )
    shared = isinstance(options, GpuMultipleClonerOptions) and options.shard
    return _moved("index_cpu_to_gpu_multiple", providers, numbers if shared else numbers[:1], index)


def index_cpu_to_gpu_multiple_py(
    resources: Sequence[GpuResourcesProvider],
    index: Any,
    co: GpuClonerOptions | None = None,
    gpus: Iterable[int] | None = None,
) -> Any:
    """`index_cpu_to_gpu_multiple` with lists; `gpus` are by default the first ones."""
    numbers = list(range(len(resources)) if gpus is None else gpus)
    return index_cpu_to_gpu_multiple(list(resources)[: len(numbers)], numbers, index, co)


def index_cpu_to_gpus_list(
    index: Any, co: GpuClonerOptions | None = None, gpus: Iterable[int] | None = None, ngpu: int = -1
) -> Any:
    """A copy of an index on the GPUs with these numbers, or on the first `ngpu` (-1: all)."""
    numbers = list(range(get_num_gpus() if ngpu == -1 else ngpu) if gpus is None else gpus)
    return index_cpu_to_gpu_multiple([StandardGpuResources() for _ in numbers], numbers, index, co)


def index_cpu_to_all_gpus(index: Any, co: GpuClonerOptions | None = None, ngpu: int = -1) -> Any:
    """A copy of an index on the first `ngpu` GPUs, by default all; without a GPU, on the CPU."""
    return index_cpu_to_gpus_list(index, co=co, ngpu=ngpu)


def index_gpu_to_cpu(gpu_index: Any) -> Any:
    """A copy of an index of the kind that it is on the CPU; of shards, one index of all their vectors."""
    if isinstance(gpu_index, OnGpu):
        return gpu_index._on_cpu()
    _check_index("index_gpu_to_cpu", gpu_index)
    if isinstance(gpu_index, IndexReplicas):
        return index_gpu_to_cpu(gpu_index.at(0))
    if isinstance(gpu_index, IndexShards):
        whole, *others = (index_gpu_to_cpu(gpu_index.at(number)) for number in range(gpu_index.count()))
        successive = gpu_index.successive_ids and not isinstance(whole, IndexFlat)
        for other in others:
            whole.merge_from(other, whole.ntotal if successive else 0)
        return whole
    return _around(gpu_index, index_gpu_to_cpu)


class ToCPUCloner:
    """`index_gpu_to_cpu` as FAISS's class."""

    def clone_Index(self, index: Any) -> Any:
        return index_gpu_to_cpu(index)


class ToGpuCloner(GpuClonerOptions):
    """`index_cpu_to_gpu` as FAISS's class."""

    provider: GpuResourcesProvider | None = None
    device: int = 0

    def __init__(self, provider: GpuResourcesProvider, device: int, options: GpuClonerOptions) -> None:
        vars(self).update(vars(options))
        self.provider, self.device = provider, device

    def clone_Index(self, index: Any) -> Any:
        return _moved("ToGpuCloner", [self.provider], [self.device], index)


class ToGpuClonerMultiple(GpuMultipleClonerOptions):
    """`index_cpu_to_gpu_multiple` as FAISS's class."""

    def __init__(self, provider: Any, devices: Any, options: GpuMultipleClonerOptions) -> None:
        vars(self).update(vars(options))
        self._provider, self._devices = provider, devices

    def clone_Index(self, index: Any) -> Any:
        return index_cpu_to_gpu_multiple(self._provider, self._devices, index, self)


def _moved(operation: str, providers: Sequence[Any], numbers: Sequence[int], index: Any) -> Any:
    """A copy of an index, and of what it is around, on the devices with these numbers."""
    for provider in providers:
        if not isinstance(provider, GpuResourcesProvider):
            raise TypeError(f"{operation}: resources are needed first, got {type(provider).__name__}")
    _check_index(operation, index)
    devices = devices_by_number(operation, numbers)
    number, provider = (numbers[0], providers[0]) if numbers else (0, StandardGpuResources())

    def move(index: Any) -> Any:
        if isinstance(index, IndexFlat):
            flat = object.__new__(GpuIndexFlat)
            flat._belong(provider, number)
            flat._copy(index, devices)
            return flat
        moved = _around(index, move)
        for kind in gpu_kinds:
            if isinstance(index, kind._cpu_kind):
                named = object.__new__(kind)
                become(named, moved)
                named._belong(provider, number)
                return named
        return moved

    return move(index)


def _listed(vector: Any) -> list[Any]:
    """The elements of a GpuResourcesVector, an Int32Vector or a sequence."""
    return [vector.at(i) for i in range(vector.size())] if hasattr(vector, "push_back") else list(vector)


def _check_index(operation: str, index: Any) -> None:
    if not isinstance(index, Index | IndexBinary):
        raise TypeError(f"{operation}: an index is needed, got {type(index).__name__}")


def _around(index: Any, move: Callable[[Any], Any]) -> Any:
    """A copy of an index on the CPU around copies of what it is around."""
    cloned = copy.deepcopy(index)
    for name in _INNER:
        if isinstance(getattr(cloned, name, None), Index):
            setattr(cloned, name, move(getattr(index, name)))
    return cloned


def become(index: object, other: object) -> None:
    """Have all that another index has, which is not used any more."""
    vars(index).clear()
    vars(index).update(vars(other))
