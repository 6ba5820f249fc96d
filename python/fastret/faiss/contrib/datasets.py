"""Data sets to measure searches on: made up, or read from the files that their authors publish."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..distances import knn
from ..metrics import METRIC_INNER_PRODUCT, METRIC_L2
from .vecs_io import bvecs_mmap, fvecs_mmap, ivecs_read

Array = NDArray[Any]


class Dataset(ABC):
    """nq queries, nb vectors and nt training vectors of d, under the metric "L2" or "IP"."""

    d: int = -1
    metric: str = "L2"
    nq: int = -1
    nb: int = -1
    nt: int = -1

    @abstractmethod
    def get_queries(self) -> Array:
        """[nq, d] float32"""

    @abstractmethod
    def get_database(self) -> Array:
        """[nb, d] float32"""

    def get_train(self, maxtrain: int | None = None) -> Array:
        """The first maxtrain (by default all) training vectors, [<= nt, d] float32: none, unless there are."""
        return np.empty((0, self.d), np.float32)

    def get_groundtruth(self, k: int | None = None) -> Array:
        """The ids of the k (by default 100) nearest vectors of each query, [nq, k]."""
        metric = METRIC_L2 if self.metric == "L2" else METRIC_INNER_PRODUCT
        ids: Array = knn(self.get_queries(), self.get_database(), 100 if k is None else k, metric)[1]
        return ids

    def database_iterator(self, bs: int = 128, split: tuple[int, int] = (1, 0)) -> Iterator[Array]:
        """The vectors in batches of bs; of `split` = (shards, rank) those of one shard."""
        yield from self._batches(self.get_database(), bs, split)

    def _batches(self, vectors: Array, bs: int, split: tuple[int, int]) -> Iterator[Array]:
        shards, rank = split
        last = self.nb * (rank + 1) // shards
        for first in range(self.nb * rank // shards, last, bs):
            yield vectors[first : min(first + bs, last)]

    def __str__(self) -> str:
        return f"dataset in dimension {self.d}, with metric {self.metric}, size: Q {self.nq} B {self.nb} T {self.nt}"


class SyntheticDataset(Dataset):
    """Vectors near a curved surface of ten dimensions: FAISS's, number for number."""

    def __init__(self, d: int, nt: int, nb: int, nq: int, metric: str = "L2", seed: int = 1338) -> None:
        self.d, self.nt, self.nb, self.nq, self.metric = d, nt, nb, nq, metric
        random = np.random.RandomState(seed)  # the stream that FAISS draws from
        points = random.normal(size=(nb + nt + nq, 10))
        points = np.dot(points, random.rand(10, d))
        vectors = np.sin(points * (random.rand(d) * 4 + 0.1)).astype(np.float32)
        self.xt, self.xb, self.xq = np.split(vectors, [nt, nt + nb])

    def get_queries(self) -> Array:
        return self.xq

    def get_train(self, maxtrain: int | None = None) -> Array:
        return self.xt[:maxtrain]

    def get_database(self) -> Array:
        return self.xb


dataset_basedir = "data/"


def set_dataset_basedir(path: str) -> None:
    """Where the folders of the data sets below are; by default ./data."""
    global dataset_basedir
    dataset_basedir = path


class _DatasetInFiles(Dataset):
    """Files in a folder of the base directory, with the 100 nearest of each query."""

    folder: str
    queries: str
    learn: str
    base: str
    groundtruth: str

    def get_queries(self) -> Array:
        return self._vectors(self.queries)[:]

    def get_train(self, maxtrain: int | None = None) -> Array:
        return np.ascontiguousarray(self._vectors(self.learn)[: self.nt if maxtrain is None else maxtrain], np.float32)

    def get_database(self) -> Array:
        return np.ascontiguousarray(self._vectors(self.base)[: self.nb], np.float32)

    def database_iterator(self, bs: int = 128, split: tuple[int, int] = (1, 0)) -> Iterator[Array]:
        for batch in self._batches(self._vectors(self.base), bs, split):
            yield np.ascontiguousarray(batch, np.float32)

    def get_groundtruth(self, k: int | None = None) -> Array:
        if k is not None and k > 100:
            raise AssertionError(f"get_groundtruth: the 100 nearest are known, got k={k}")
        return ivecs_read(self._path(self.groundtruth))[:, :k]

    def _path(self, name: str) -> Path:
        return Path(dataset_basedir) / self.folder / name

    def _vectors(self, name: str) -> Array:
        return (bvecs_mmap if name.endswith(".bvecs") else fvecs_mmap)(self._path(name))


class DatasetSIFT1M(_DatasetInFiles):
    """ANN_SIFT1M of http://corpus-texmex.irisa.fr/, in the folder sift1M."""

    d, nt, nb, nq = 128, 100_000, 1_000_000, 10_000
    folder, queries, learn, base = "sift1M", "sift_query.fvecs", "sift_learn.fvecs", "sift_base.fvecs"
    groundtruth = "sift_groundtruth.ivecs"


class DatasetGIST1M(_DatasetInFiles):
    """ANN_GIST1M of http://corpus-texmex.irisa.fr/, in the folder gist1M."""

    d, nt, nb, nq = 960, 500_000, 1_000_000, 1_000
    folder, queries, learn, base = "gist1M", "gist_query.fvecs", "gist_learn.fvecs", "gist_base.fvecs"
    groundtruth = "gist_groundtruth.ivecs"


class DatasetBigANN(_DatasetInFiles):
    """The first nb_M million vectors of ANN_SIFT1B of http://corpus-texmex.irisa.fr/, in the folder bigann."""

    d, nt, nq = 128, 100_000_000, 10_000
    folder, queries, learn, base = "bigann", "bigann_query.bvecs", "bigann_learn.bvecs", "bigann_base.bvecs"

    def __init__(self, nb_M: int = 1000) -> None:
        self.nb_M, self.nb = nb_M, nb_M * 1_000_000
        self.groundtruth = f"gnd/idx_{nb_M}M.ivecs"


class DatasetDeep1B(_DatasetInFiles):
    """The first nb vectors of Deep1B, in the folder deep1b."""

    d, nt, nq = 96, 358_480_000, 10_000
    folder, queries, learn, base = "deep1b", "deep1B_queries.fvecs", "learn.fvecs", "base.fvecs"

    def __init__(self, nb: int = 1_000_000_000) -> None:
        sizes = {10**5: "100k", 10**6: "1M", 10**7: "10M", 10**8: "100M", 10**9: "1B"}
        if nb not in sizes:
            raise AssertionError(f"DatasetDeep1B: nb must be one of {list(sizes)}, got {nb}")
        self.nb, self.groundtruth = nb, f"deep{sizes[nb]}_groundtruth.ivecs"


def dataset_from_name(dataset: str = "deep1M", download: bool = False) -> Dataset:
    """sift1M, gist1M, bigann1M to bigann1B, deep100k to deep1B; nothing is downloaded."""
    name = re.fullmatch(r"(bigann|deep)(\d+)([kMB])", dataset)
    if dataset == "sift1M":
        return DatasetSIFT1M()
    if dataset == "gist1M":
        return DatasetGIST1M()
    if name is None:
        raise RuntimeError(f"dataset_from_name: sift1M, gist1M, bigann... or deep... are known, got {dataset!r}")
    size = int(name[2]) * {"k": 10**3, "M": 10**6, "B": 10**9}[name[3]]
    return DatasetBigANN(size // 10**6) if name[1] == "bigann" else DatasetDeep1B(size)
