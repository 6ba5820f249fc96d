"""An iteration of k-means gives the bits of its definition, under every instruction set and thread count."""

from __future__ import annotations

import math
import struct
from fractions import Fraction

import pytest
import torch
from same_bits import check_everywhere
from torch import Generator, Tensor

from fastret.ops import kmeans_step_reference as reference
from fastret.ops.kmeans_step import KMeansStep, kmeans_step


def check(rows: Tensor, centroids: Tensor, weights: Tensor | None = None) -> KMeansStep:
    want = reference.kmeans_step(rows, centroids, weights)
    check_everywhere(lambda: kmeans_step(rows, centroids, weights), want, (rows, centroids))
    return want


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("n", "k", "dim"), [(700, 256, 4), (66, 16, 8), (131, 10, 16), (90, 49, 3), (5, 1, 1)])
def test_bits_of_the_definition(n: int, k: int, dim: int, weighted: bool, generator: Generator) -> None:
    rows = torch.randn(n, dim, generator=generator)
    step = check(rows, torch.randn(k, dim, generator=generator), torch.rand(n) if weighted else None)
    assert int(step.sizes.sum()) == n


def test_rows_go_to_their_nearest_centroid_far_from_the_origin(generator: Generator) -> None:
    centroids = 1e5 + torch.randn(20, 6, generator=generator)
    rows = 1e5 + torch.randn(300, 6, generator=generator)
    step = check(rows, centroids)
    nearest = torch.cdist(rows.double(), centroids.double(), compute_mode="donot_use_mm_for_euclid_dist").argmin(1)
    assert torch.equal(step.sizes, torch.bincount(nearest, minlength=20))


def test_of_equally_near_centroids_the_first(generator: Generator) -> None:
    step = check(torch.randn(40, 4, generator=generator), torch.ones(100, 4))
    assert step.sizes.tolist() == [40] + [0] * 99
    assert (step.means[1:] == 0).all()


def test_equally_near_centroids_of_whole_numbers_stay_so(generator: Generator) -> None:
    rows = torch.randint(0, 2, (300, 24), generator=generator) * 2.0 - 1
    centroids = rows[:20].contiguous()
    distances = (rows[:, None] - centroids).square().sum(2)
    expected = torch.where(distances == distances.amin(1, keepdim=True), torch.arange(20), 20).amin(1)
    assert torch.equal(kmeans_step(rows, centroids).sizes, torch.bincount(expected, minlength=20))


def test_without_rows_and_without_weight(generator: Generator) -> None:
    centroids = torch.randn(17, 4, generator=generator)
    check(torch.empty(0, 4), centroids)
    check(torch.randn(30, 4, generator=generator), centroids, torch.zeros(30))


def test_values_that_overflow_go_to_the_first() -> None:
    rows = torch.tensor([[3e38, 3e38], [-3e38, -3e38]])
    step = check(rows, rows.flip(0))
    assert step.sizes.tolist() == [2, 0]


def test_the_definition_rounds_a_fused_multiply_add_once(generator: Generator) -> None:
    x, y, z = torch.randn(3, 500, generator=generator)
    z *= 2.0 ** torch.randint(-40, 40, (500,), generator=generator)
    z[:100] = -(x * y)[:100]
    for a, b, c, got in zip(x.tolist(), y.tolist(), z.tolist(), reference.fused_multiply_add(x, y, z), strict=True):
        exact = Fraction(a) * Fraction(b) + Fraction(c)
        near = float(got)
        for step in (-math.inf, math.inf):
            neighbour = struct.unpack("f", struct.pack("f", near))[0]
            neighbour = float(torch.nextafter(torch.tensor(neighbour), torch.tensor(step)))
            assert abs(Fraction(near) - exact) <= abs(Fraction(neighbour) - exact)


def test_bad_input_is_named() -> None:
    rows = torch.zeros(9, 4)
    with pytest.raises(RuntimeError, match=r"kmeans_step: centroids must be \[K > 0, 4\], got \[3, 5\]"):
        kmeans_step(rows, torch.zeros(3, 5))
    with pytest.raises(RuntimeError, match=r"kmeans_step: weights must be \[9\], got \[8\]"):
        kmeans_step(rows, torch.zeros(3, 4), torch.zeros(8))
    with pytest.raises(RuntimeError, match="kmeans_step: rows must be contiguous float32 of 2 axes"):
        kmeans_step(rows.double(), torch.zeros(3, 4))


def test_torch_compile_knows_the_shapes(generator: Generator) -> None:
    rows, centroids = torch.randn(20, 4, generator=generator), torch.randn(5, 4, generator=generator)
    torch.library.opcheck(torch.ops.fastret.kmeans_step, (rows, centroids, torch.ones(20)))
