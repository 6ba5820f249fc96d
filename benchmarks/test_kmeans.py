"""kmeans: training faiss.Kmeans of vectors, fastret's against FAISS's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

import fastret.faiss

from .comparisons import FASTRET
from .contest import Prepare, Run, clock
from .exactness import checked_rows, float64_ranking, share_of_equal_ids
from .peers import FAISS, faiss
from .vectors import embedding_like

if TYPE_CHECKING:
    from .conftest import Entry


@dataclass(frozen=True)
class KmeansWork:
    op: ClassVar[str] = "kmeans"
    family: str
    num_vectors: int
    dim: int
    k: int
    iterations: int = 10

    def __str__(self) -> str:
        return f"{self.family} {self.num_vectors}x{self.dim} k={self.k} iterations={self.iterations}"

    def inputs(self) -> Tensor:
        return embedding_like(self.num_vectors, 1, self.dim, self.family)[0]

    def contestants(self, threads: int) -> dict[str, Prepare]:
        peers = {FAISS: faiss} if faiss else {}
        return {name: self._training(module) for name, module in {FASTRET: fastret.faiss, **peers}.items()}

    def _training(self, module: Any) -> Prepare:
        def prepare(vectors: Tensor) -> Run:
            x = vectors.numpy()
            checked = x[checked_rows(len(x))]

            def run() -> tuple[np.ndarray, np.ndarray]:
                clusters = module.Kmeans(self.dim, self.k, niter=self.iterations)
                clusters.train(x)
                return clusters.centroids, clusters.assign(checked)[1]

            return run

        return prepare

    def exact_share(self, vectors: Tensor, answer: Any) -> float:
        """Of the vectors that are checked, those whose cluster is the one with the nearest centroid."""
        centroids, clusters = (torch.as_tensor(part) for part in answer)
        checked = vectors[checked_rows(len(vectors))]
        return share_of_equal_ids(clusters[:, None], float64_ranking(checked, centroids, 1, "l2"))


def works(quick: bool, embeddings: Path | None) -> list[KmeansWork]:
    if quick:
        return [KmeansWork("clip", 1000, 16, 10, iterations=3)]
    return [KmeansWork("clip", 100_000, 128, 1024), KmeansWork("text", 50_000, 768, 256)]


@pytest.mark.benchmark(timer=clock)
def test_kmeans(entry: Entry, compete: Callable[[Entry], None]) -> None:
    compete(entry)
