"""extra_scores returns what the definitions of its metrics do, on every instruction set."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from same_bits import assert_same_bits, check_everywhere
from torch import Generator, Tensor

from fastret.ops.extra_scores import EXTRA_METRICS, extra_scores
from fastret.ops.extra_scores_reference import extra_scores as by_definition

METRICS = pytest.mark.parametrize("metric", EXTRA_METRICS)
SPECIALS = torch.tensor([torch.nan, torch.inf, -torch.inf, 0.0, -0.0, 1e-45, 3e38, -1e-38, 1.0, -1.0])


def rows(n: int, dim: int, generator: Generator) -> Tensor:
    return torch.rand(n, dim, generator=generator)


def with_specials(x: Tensor, share: float, generator: Generator) -> Tensor:
    """`x` with a share of its elements replaced, and some of its rows left alone."""
    chosen = torch.rand(x.shape, generator=generator) < share
    chosen[::3] = False
    return x.where(~chosen, SPECIALS[torch.randint(len(SPECIALS), x.shape, generator=generator)])


def check(queries: Tensor, keys: Tensor, metric: str) -> Tensor:
    want = by_definition(queries, keys, metric)
    check_everywhere(lambda: (extra_scores(queries, keys, metric),), (want,), (queries, keys))
    return want


@METRICS
@pytest.mark.parametrize("dim", [0, 1, 3, 4, 7, 33, 130])
@pytest.mark.parametrize(("num_queries", "num_keys"), [(1, 1), (2, 33), (3, 95), (17, 32), (0, 5), (3, 0)])
def test_shapes_off_the_tiles(num_queries: int, num_keys: int, dim: int, metric: str, generator: Generator) -> None:
    check(rows(num_queries, dim, generator), rows(num_keys, dim, generator), metric)


@METRICS
def test_more_queries_than_are_scored_at_once(metric: str, generator: Generator) -> None:
    check(rows(1027, 5, generator), rows(70, 5, generator), metric)


@METRICS
@pytest.mark.parametrize("share", [0.02, 0.5])
def test_nan_infinities_zeros_and_subnormals(share: float, metric: str, generator: Generator) -> None:
    queries, keys = (with_specials(torch.randn(n, 9, generator=generator), share, generator) for n in (21, 150))
    check(queries, keys, metric)
    check(with_specials(rows(21, 9, generator), share, generator), keys.abs(), metric)


@METRICS
def test_sums_that_cancel_or_round(metric: str, generator: Generator) -> None:
    scales = 10.0 ** torch.randint(-8, 8, (60,), generator=generator)
    check(torch.randn(5, 60, generator=generator) * scales, torch.randn(99, 60, generator=generator) * scales, metric)


def test_categories_and_missing_numbers_of_gower(generator: Generator) -> None:
    queries, keys = rows(20, 12, generator), rows(100, 12, generator)
    for x in (queries, keys):
        x[:, ::2] = -torch.randint(1, 4, x[:, ::2].shape, generator=generator).float()
        x[torch.rand(x.shape, generator=generator) < 0.2] = torch.nan
    keys[3, 2], keys[4, 5] = 0.5, 1.5  # a number for a category, and one out of range
    queries[0] = keys[0] = 0.25
    scores = check(queries, keys, "gower")
    assert scores[0, 0] == 0
    # Categories of the query stand beside numbers of the key; NaN beside either would be passed over.
    assert scores[:, 3][~queries[:, 2].isnan()].isnan().all()
    assert scores[:, 4][~queries[:, 5].isnan()].isnan().all()


# Each metric of [1, 2] float64 rows in numbers that can be checked by hand.
@pytest.mark.parametrize(
    ("metric", "query", "key", "score"),
    [
        ("l1", [1.0, 2.0], [4.0, -2.0], 7.0),
        ("linf", [1.0, 2.0], [4.0, -2.0], 4.0),
        ("canberra", [1.0, 2.0], [3.0, 6.0], 1.0),
        ("bray_curtis", [1.0, 2.0], [3.0, 4.0], 0.4),
        ("jaccard", [1.0, 4.0], [3.0, 2.0], 3 / 7),
        ("nan_euclidean", [1.0, torch.nan], [4.0, 2.0], 18.0),
        ("gower", [0.25, -1.0], [0.75, -2.0], 0.75),
    ],
)
def test_scores_by_hand(metric: str, query: list[float], key: list[float], score: float) -> None:
    assert check(torch.tensor([query]), torch.tensor([key]), metric).item() == np.float32(score)


@METRICS
def test_strided_rows_of_numpy(metric: str, generator: Generator) -> None:
    queries, keys = rows(40, 18, generator)[::2, ::2], rows(18, 70, generator).T[:, :9]
    scores = extra_scores(queries.numpy(), keys.numpy(), metric)
    assert isinstance(scores, np.ndarray)
    assert_same_bits(torch.from_numpy(scores), by_definition(queries, keys, metric))


def test_a_caller_who_flushes_subnormals_gets_the_same_bits(generator: Generator) -> None:
    queries, keys = (torch.rand(n, 6, generator=generator) * 1e-40 for n in (4, 40))
    want = extra_scores(queries, keys, "canberra")
    torch.set_flush_denormal(True)
    assert_same_bits(extra_scores(queries, keys, "canberra"), want)


@METRICS
def test_opcheck(metric: str, generator: Generator) -> None:
    arguments = (rows(3, 8, generator), rows(40, 8, generator), EXTRA_METRICS.index(metric))
    torch.library.opcheck(torch.ops.fastret.extra_scores.default, arguments)


def test_bad_arguments_are_told_in_one_sentence(generator: Generator) -> None:
    queries, keys = rows(3, 8, generator), rows(5, 8, generator)
    with pytest.raises(ValueError, match=r"^extra_scores: queries and keys must share D, got \[3, 8\] and \[5, 7\]$"):
        extra_scores(queries, keys[:, :7], "l1")
    with pytest.raises(TypeError, match=r"^extra_scores: keys must be float32, got float64$"):
        extra_scores(queries, keys.double(), "l1")
    with pytest.raises(ValueError, match=r"^extra_scores: metric must be one of l1, linf, .*, got 'l3'$"):
        extra_scores(queries, keys, "l3")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^extra_scores: queries and keys must both be 2-D, got \[8\] and \[5, 8\]$"):
        extra_scores(queries[0], keys, "l1")
    for metric in (-1, 7):
        with pytest.raises(RuntimeError, match=rf"extra_scores: metric must be in \[0, 7\), got {metric}"):
            torch.ops.fastret.extra_scores(queries, keys, metric)
    with pytest.raises(RuntimeError, match="extra_scores: queries and keys must be float32"):
        torch.ops.fastret.extra_scores(queries.half(), keys, 0)
