"""Vectors to measure on: synthetic ones with the shape of real embeddings, or real ones from a file.

Isotropic Gaussian vectors mislead in both directions: every direction matters alike, all scores are close to 0 and
no query has a near neighbour. Real embeddings cluster, use few directions, lie in a cone and have a few coordinates
that are larger than the rest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize


@dataclass(frozen=True)
class Family:
    """How a family of embedding models lays out its space."""

    cone: float  # share of the squared norm that lies along the mean direction
    gap_cosine: float  # cosine between the mean direction of the queries and that of the keys; 1: no modality gap
    match: float  # correlation of a query with the key that it was made from


FAMILIES = {
    "clip": Family(cone=0.45, gap_cosine=0.3, match=0.6),  # captions search images: two cones
    "text": Family(cone=0.3, gap_cosine=1.0, match=0.75),  # texts search texts: one cone
}
KEYS_PER_CLUSTER = 50
OUTLIER_COORDINATES = 3
OUTLIER_SCALE = 4.0
MOST_HELD_OUT = 1000


def spectrum(dim: int) -> Tensor:
    """The share of the variance [D] on each principal axis: a power law, as principal components of embeddings show."""
    variance = (torch.arange(dim, dtype=torch.float32) + 5) ** -0.9
    return variance / variance.sum()


@lru_cache(maxsize=1)
def embedding_like(
    num_keys: int, num_queries: int, dim: int, family: str = "clip", seed: int = 0, device: str = "cpu"
) -> tuple[Tensor, Tensor]:
    """Keys [N, D] and queries [Q, D], float32 of unit norm, made on `device`; the same for the same arguments.

    Every query is a noisy copy of one key, so that its nearest neighbours mean something. Callers share the
    result and must not write to it.
    """
    traits = FAMILIES[family]
    generator = torch.Generator(device).manual_seed(seed)

    def randn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, device=device)

    scale = spectrum(dim).sqrt().to(device)
    num_clusters = max(1, num_keys // KEYS_PER_CLUSTER)
    centres = randn(num_clusters, dim)
    popularity = 1 / torch.arange(1, num_clusters + 1, device=device).float().sqrt()
    cluster = torch.multinomial(popularity, num_keys, replacement=True, generator=generator)

    def members(of: Tensor) -> Tensor:
        """Half of the variance is the cluster's, half the vector's own."""
        return (centres[of] + randn(len(of), dim)) * (scale * math.sqrt(0.5))

    keys = members(cluster)
    source = torch.randint(num_keys, (num_queries,), generator=generator, device=device)
    queries = traits.match * keys[source] + (1 - traits.match**2) ** 0.5 * members(cluster[source])

    key_mean, aside = torch.linalg.qr(randn(dim, 2))[0].T
    query_mean = traits.gap_cosine * key_mean + (1 - traits.gap_cosine**2) ** 0.5 * aside
    # The principal axes of a model are no coordinate axes; the outlier coordinates are.
    axes = torch.linalg.qr(randn(dim, dim))[0]
    outliers = torch.randperm(dim, generator=generator, device=device)[:OUTLIER_COORDINATES]

    def placed(vectors: Tensor, mean: Tensor) -> Tensor:
        vectors = (vectors @ axes).mul_((1 - traits.cone) ** 0.5).add_(mean, alpha=traits.cone**0.5)
        vectors[:, outliers] *= OUTLIER_SCALE
        unit: Tensor = vectors.div_(vectors.norm(dim=1, keepdim=True))
        return unit

    return placed(keys, key_mean), placed(queries, query_mean)


def batched_embeddings(batch: int, num_queries: int, num_keys: int, dim: int) -> tuple[Tensor, Tensor]:
    """Queries [Q, D] and keys [N, D] of `embedding_like`, or of every part of a batch; batch 0: no batch axis."""
    parts = max(1, batch)
    keys, queries = embedding_like(parts * num_keys, parts * num_queries, dim)
    return (queries.view(batch, -1, dim), keys.view(batch, -1, dim)) if batch else (queries, keys)


def num_held_out(num_rows: int) -> int:
    """How many rows of a file become queries: a tenth, at most MOST_HELD_OUT, at least one."""
    return min(MOST_HELD_OUT, max(1, num_rows // 10))


@lru_cache(maxsize=1)
def embeddings_from_file(path: Path, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Keys and held-out queries, float32 of unit norm, from the rows of a `.npy` file [N, D] of floats.

    `num_held_out` of the rows are drawn as queries and are not among the keys.

    Raises:
        ValueError: not a 2-D array of floats with at least two rows, or a row that is not finite.
    """
    rows = np.load(path, mmap_mode="r")
    if rows.ndim != 2 or rows.dtype.kind != "f" or len(rows) < 2:
        raise ValueError(f"embeddings: {path} must hold floats [N, D] with N >= 2, got {rows.dtype} {list(rows.shape)}")
    vectors = torch.from_numpy(rows.astype(np.float32))
    finite = vectors.isfinite().all(dim=1)
    if not finite.all():
        raise ValueError(f"embeddings: {path} must be finite, got NaN or infinity in row {int(finite.int().argmin())}")
    vectors = normalize(vectors, out=vectors)
    order = torch.randperm(len(vectors), generator=torch.Generator().manual_seed(seed))
    num_queries = num_held_out(len(vectors))
    return vectors[order[num_queries:]], vectors[order[:num_queries]]
