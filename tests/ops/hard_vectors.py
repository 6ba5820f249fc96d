"""Vectors that make exact search hard, and memory layouts that make reading them hard."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor

Family = Callable[[int, int, int, Generator], tuple[Tensor, Tensor]]  # Q, N, D -> [Q, D], [N, D]

METRICS = ("ip", "cosine", "l2")
DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def normal(num_queries: int, num_keys: int, dim: int, g: Generator) -> tuple[Tensor, Tensor]:
    return torch.randn(num_queries, dim, generator=g), torch.randn(num_keys, dim, generator=g)


def few_distinct_scores(num_queries: int, num_keys: int, dim: int, g: Generator) -> tuple[Tensor, Tensor]:
    def ternary(rows: int) -> Tensor:
        return torch.randint(-1, 2, (rows, dim), generator=g).float()

    return ternary(num_queries), ternary(num_keys)


def one_key_repeated(num_queries: int, num_keys: int, dim: int, g: Generator) -> tuple[Tensor, Tensor]:
    queries, keys = normal(num_queries, num_keys, dim, g)
    return queries, keys[:1].repeat(num_keys, 1)


def duplicates_in_random_order(num_queries: int, num_keys: int, dim: int, g: Generator) -> tuple[Tensor, Tensor]:
    queries, keys = normal(num_queries, max(1, num_keys // 8), dim, g)
    return queries, keys[torch.randint(len(keys), (num_keys,), generator=g)]


def some_zero_rows(num_queries: int, num_keys: int, dim: int, g: Generator) -> tuple[Tensor, Tensor]:
    queries, keys = normal(num_queries, num_keys, dim, g)
    queries[::2], keys[::3] = 0.0, -0.0
    return queries, keys


def within_a_few_ulps(num_queries: int, num_keys: int, dim: int, g: Generator) -> tuple[Tensor, Tensor]:
    queries, keys = normal(num_queries, 1, dim, g)
    steps = torch.randint(-2, 3, (num_keys, dim), generator=g)
    return queries, keys * (1 + steps * 2.0**-23)


def far_from_the_origin(num_queries: int, num_keys: int, dim: int, g: Generator) -> tuple[Tensor, Tensor]:
    queries, keys = normal(num_queries, num_keys, dim, g)
    return queries + 1e5, keys + 1e5


def orthogonal_up_to_rounding(num_queries: int, num_keys: int, dim: int, g: Generator) -> tuple[Tensor, Tensor]:
    queries, keys = normal(1, num_keys, dim, g)
    keys -= (keys @ queries.T) / queries.square().sum() * queries
    return queries * torch.linspace(1, 2, num_queries)[:, None], keys


def products_that_cancel(num_queries: int, num_keys: int, dim: int, g: Generator) -> tuple[Tensor, Tensor]:
    """Sums whose float32 score shows in which order float64 rounded: large terms cancel, small ones remain."""
    queries, keys = normal(1, num_keys, dim, g)
    half = dim // 2
    keys[:, :half] *= 2.0 ** torch.randint(-20, 30, (num_keys, half), generator=g)
    keys[:, half : 2 * half] = -keys[:, torch.randperm(half, generator=g)]
    order = torch.randperm(dim, generator=g)
    return torch.ones_like(queries) * 2.0 ** torch.arange(num_queries)[:, None], keys[:, order]


def squares_at_a_rounding_boundary(num_queries: int, num_keys: int, dim: int, g: Generator) -> tuple[Tensor, Tensor]:
    """The same for sums of squares: 1 + 2^-24 lies halfway between two float32, and terms near 2^-56 decide."""
    steps = 2.0**-28 * (0.5 + torch.rand(num_keys, dim, generator=g))
    for at, value in enumerate((1.0, 2.0**-12)):
        places = torch.randint(0, max(1, dim // 2), (num_keys,), generator=g) + at * (dim // 2)
        steps[torch.arange(num_keys), places.clamp_max(dim - 1)] = value
    return torch.zeros(num_queries, dim), steps


def beyond_the_float32_norm(num_queries: int, num_keys: int, dim: int, g: Generator) -> tuple[Tensor, Tensor]:
    queries, keys = normal(num_queries, num_keys, dim, g)
    norms = torch.tensor([1.0, 1e17, 1e18, 1e19, 1e30, 3e38])

    def scaled(rows: Tensor) -> Tensor:
        unit = rows / rows.norm(dim=1, keepdim=True).clamp_min(1e-3)
        return unit * norms[torch.randint(len(norms), (len(rows), 1), generator=g)]

    return scaled(queries), scaled(keys)


def only_huge_norms(num_queries: int, num_keys: int, dim: int, g: Generator) -> tuple[Tensor, Tensor]:
    queries, keys = normal(num_queries, num_keys, dim, g)
    return queries, keys * 1e19


def subnormal(num_queries: int, num_keys: int, dim: int, g: Generator) -> tuple[Tensor, Tensor]:
    queries, keys = normal(num_queries, num_keys, dim, g)
    return queries * 1e-38, keys * 1e-40


def scores_underflow(num_queries: int, num_keys: int, dim: int, g: Generator) -> tuple[Tensor, Tensor]:
    queries, keys = normal(num_queries, num_keys, dim, g)
    return queries * 1e-20, keys * 1e-21


def norms_from_1e_minus_20_to_1e20(num_queries: int, num_keys: int, dim: int, g: Generator) -> tuple[Tensor, Tensor]:
    queries, keys = normal(num_queries, num_keys, dim, g)
    return queries, keys * 10 ** (40 * torch.rand(num_keys, 1, generator=g) - 20)


def nan_and_inf(num_queries: int, num_keys: int, dim: int, g: Generator) -> tuple[Tensor, Tensor]:
    def sprinkled(rows: Tensor) -> Tensor:
        values = torch.tensor([float("nan"), float("inf"), float("-inf"), 0.0])
        chosen = values[torch.randint(4, rows.shape, generator=g)]
        hit = torch.rand(rows.shape, generator=g) < 0.3 / max(1, dim)
        return torch.where(hit, chosen, rows)

    queries, keys = (sprinkled(rows) for rows in normal(num_queries, num_keys, dim, g))
    queries[::5], keys[::7] = 0.0, 0.0  # a zero vector meets NaN and inf
    return queries, keys


def better_and_better(num_queries: int, num_keys: int, dim: int, g: Generator) -> tuple[Tensor, Tensor]:
    queries, keys = normal(num_queries, num_keys, dim, g)
    direction = torch.randn(1, dim, generator=g)
    return direction + queries / 100, direction * torch.linspace(-1, 1, num_keys)[:, None] + keys / 100


def worse_and_worse(num_queries: int, num_keys: int, dim: int, g: Generator) -> tuple[Tensor, Tensor]:
    queries, keys = better_and_better(num_queries, num_keys, dim, g)
    return queries, keys.flip(0)


FAMILIES: tuple[Family, ...] = (
    normal,
    few_distinct_scores,
    one_key_repeated,
    duplicates_in_random_order,
    some_zero_rows,
    within_a_few_ulps,
    far_from_the_origin,
    orthogonal_up_to_rounding,
    products_that_cancel,
    squares_at_a_rounding_boundary,
    beyond_the_float32_norm,
    only_huge_norms,
    subnormal,
    scores_underflow,
    norms_from_1e_minus_20_to_1e20,
    nan_and_inf,
    better_and_better,
    worse_and_worse,
)


def transposed(rows: Tensor) -> Tensor:
    return rows.T.contiguous().T


def every_second_element(rows: Tensor) -> Tensor:
    return _inside(rows, (len(rows), 2 * rows.shape[1] + 1))[:, : 2 * rows.shape[1] : 2].copy_(rows)


def every_third_row(rows: Tensor) -> Tensor:
    return _inside(rows, (3 * len(rows) + 2, rows.shape[1]))[2::3][: len(rows)].copy_(rows)


def columns_of_a_wider_matrix(rows: Tensor) -> Tensor:
    return _inside(rows, (len(rows), rows.shape[1] + 4))[:, 3:-1].copy_(rows)


def _inside(rows: Tensor, shape: tuple[int, int]) -> Tensor:
    return rows.new_full(shape, float("nan"))  # a read of a wrong place shows


LAYOUTS: tuple[Callable[[Tensor], Tensor], ...] = (
    torch.clone,
    transposed,
    every_second_element,
    every_third_row,
    columns_of_a_wider_matrix,
)
