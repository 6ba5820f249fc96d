"""Iterations of k-means give the bits of their definition, under every instruction set and thread count."""

from __future__ import annotations

import math

import pytest
import torch
from same_bits import check_everywhere
from torch import Generator, Tensor

from fastret.ops import kmeans_steps_reference as reference
from fastret.ops.kmeans_steps import KMeansSteps, kmeans_steps


def check(rows: Tensor, centroids: Tensor, weights: Tensor | None = None, *further: float) -> KMeansSteps:
    want = reference.kmeans_steps(rows, centroids, weights, *further)  # type: ignore[arg-type]
    check_everywhere(lambda: kmeans_steps(rows, centroids, weights, *further), want, (rows, centroids))
    return want


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("n", "k", "dim"), [(700, 256, 4), (66, 16, 8), (131, 10, 16), (90, 49, 33), (80, 20, 100), (5, 1, 1)]
)
def test_bits_of_the_definition(n: int, k: int, dim: int, weighted: bool, generator: Generator) -> None:
    rows = torch.randn(n, dim, generator=generator)
    step = check(rows, torch.randn(k, dim, generator=generator), torch.rand(n) if weighted else None)
    assert int(step.sizes.sum()) == n


def test_rows_go_to_their_nearest_centroid_far_from_the_origin(generator: Generator) -> None:
    check(1e5 + torch.randn(300, 6, generator=generator), 1e5 + torch.randn(20, 6, generator=generator))


def test_of_equally_near_centroids_the_first(generator: Generator) -> None:
    step = check(torch.randn(40, 4, generator=generator), torch.ones(100, 4))
    assert step.sizes.tolist() == [[40] + [0] * 99]
    assert (step.means[1:] == 0).all()


def test_equally_near_centroids_of_whole_numbers_stay_so(generator: Generator) -> None:
    rows = torch.randint(0, 2, (300, 24), generator=generator) * 2.0 - 1
    centroids = rows[:20].contiguous()
    distances = (rows[:, None] - centroids).square().sum(2)
    expected = torch.where(distances == distances.amin(1, keepdim=True), torch.arange(20), 20).amin(1)
    assert torch.equal(kmeans_steps(rows, centroids).sizes[0], torch.bincount(expected, minlength=20))


@pytest.mark.parametrize("weighted", [False, True])
def test_iterations_go_on_from_the_means(weighted: bool, generator: Generator) -> None:
    rows = torch.randn(200, 5, generator=generator)
    weights = torch.rand(200, generator=generator) if weighted else None
    steps = check(rows, rows[:7].contiguous(), weights, 4)
    assert steps.objectives.shape == (4,) and steps.sizes.shape == (4, 7)
    first = kmeans_steps(rows, rows[:7], weights, 3)
    last = kmeans_steps(rows, first.means, weights)
    assert torch.equal(last.means, steps.means) and torch.equal(last.objectives[0], steps.objectives[3])


def test_iterations_end_where_the_objective_settles(generator: Generator) -> None:
    rows = torch.randn(60, 3, generator=generator)
    objectives = check(rows, rows[:4].contiguous(), None, 40).objectives
    assert 2 < len(objectives) < 40
    assert objectives[-1] == objectives[-2] < objectives[-3]
    assert len(check(rows, rows[:4].contiguous(), None, 40, math.nan, 0.5).objectives) == 2
    assert len(check(rows, rows[:4].contiguous(), None, 40, float(objectives[0])).objectives) == 1


def test_iterations_end_where_a_cluster_is_empty(generator: Generator) -> None:
    rows = torch.randn(50, 2, generator=generator)
    centroids = torch.cat([rows[:3], torch.full((1, 2), 100.0)])
    assert check(rows, centroids, None, 10).sizes[:, 3].tolist() == [0]


def test_without_rows_and_without_weight(generator: Generator) -> None:
    centroids = torch.randn(17, 4, generator=generator)
    check(torch.empty(0, 4), centroids)
    check(torch.randn(30, 4, generator=generator), centroids, torch.zeros(30))


def test_values_that_overflow_float32_have_their_nearest() -> None:
    rows = torch.tensor([[3e38, 3e38], [-3e38, -3e38], [3e38, -3e38]])
    assert check(rows[:2], rows[:2].flip(0)).sizes.tolist() == [[1, 1]]
    with pytest.raises(RuntimeError, match="kmeans_steps: found no centroid for some of the vectors"):
        kmeans_steps(rows, rows[:2])
    with pytest.raises(RuntimeError, match="kmeans_steps: found no centroid for some of the vectors"):
        kmeans_steps(torch.full((1, 2), math.nan), rows)


@pytest.mark.parametrize("scale", [1e-30, 1e-22, 1.0, 1e15])
def test_what_float32_cannot_tell_apart_is_told_apart(scale: float, generator: Generator) -> None:
    rows = scale * torch.randn(200, 20, generator=generator)
    # Pairs of centroids about as far from a row as each other, beside one that is far from all.
    near = rows[:8] + scale * 0.5 * torch.nn.functional.normalize(torch.randn(8, 20, generator=generator), dim=1)
    far = 1000 * rows[8:9]
    centroids = torch.cat([near, 2 * rows[:8] - near, far])
    step = check(rows, centroids)
    assert int(step.sizes.sum()) == 200


def test_bad_input_is_named() -> None:
    rows = torch.zeros(9, 4)
    with pytest.raises(RuntimeError, match=r"kmeans_steps: centroids must be \[K > 0, 4\], got \[3, 5\]"):
        kmeans_steps(rows, torch.zeros(3, 5))
    with pytest.raises(RuntimeError, match=r"kmeans_steps: weights must be \[9\], got \[8\]"):
        kmeans_steps(rows, torch.zeros(3, 4), torch.zeros(8))
    with pytest.raises(RuntimeError, match="kmeans_steps: max_iterations must be positive, got 0"):
        kmeans_steps(rows, torch.zeros(3, 4), None, 0)
    with pytest.raises(RuntimeError, match="kmeans_steps: rows must be contiguous float32 of 2 axes"):
        kmeans_steps(rows.double(), torch.zeros(3, 4))


def test_torch_compile_knows_the_shapes(generator: Generator) -> None:
    rows, centroids = torch.randn(20, 4, generator=generator), torch.randn(5, 4, generator=generator)
    torch.library.opcheck(torch.ops.fastret.kmeans_steps, (rows, centroids, torch.ones(20), 2, math.nan, 0.0))
