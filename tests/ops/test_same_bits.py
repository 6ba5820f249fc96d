"""The comparisons of this folder notice the smallest mistakes."""

from __future__ import annotations

import pytest
import torch
from hard_vectors import few_distinct_scores
from same_bits import assert_same_bits, check_everywhere
from torch import Generator, Tensor

import fastret
from fastret.ops import reference


@pytest.fixture
def answer(generator: Generator) -> tuple[Tensor, Tensor]:
    return reference.search(*few_distinct_scores(5, 60, 4, generator), 8, "ip")


def test_two_tied_ids_in_the_wrong_order(answer: tuple[Tensor, Tensor]) -> None:
    scores, ids = answer
    row, place = (scores[:, 1:] == scores[:, :-1]).nonzero()[0].tolist()
    wrong = ids.clone()
    wrong[row, place], wrong[row, place + 1] = ids[row, place + 1], ids[row, place]
    with pytest.raises(AssertionError, match=rf"2 of 40 differ, first at \({row}, {place}\)"):
        assert_same_bits(wrong, ids)


def test_a_neighbour_left_out(answer: tuple[Tensor, Tensor]) -> None:
    wrong = torch.cat([answer[1][:, 1:], torch.full((5, 1), -1)], dim=1)
    with pytest.raises(AssertionError, match="differ"):
        assert_same_bits(wrong, answer[1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_lowest_bit_of_one_score(answer: tuple[Tensor, Tensor], dtype: torch.dtype) -> None:
    scores = answer[0].to(dtype)
    wrong = scores.clone()
    wrong.view(torch.int32 if dtype == torch.float32 else torch.int16)[3, 2] ^= 1
    with pytest.raises(AssertionError, match=r"1 of 40 differ, first at \(3, 2\)"):
        assert_same_bits(wrong, scores)


def test_the_sign_of_zero_the_dtype_and_the_shape() -> None:
    zero = torch.zeros(2)
    for wrong in (-zero, zero.half(), zero[:1]):
        with pytest.raises(AssertionError):
            assert_same_bits(wrong, zero)


def test_any_nan_is_as_good_as_another() -> None:
    nan = torch.tensor([float("nan")])
    assert_same_bits(-nan, nan)
    with pytest.raises(AssertionError):
        assert_same_bits(nan, torch.ones(1))


def test_an_input_that_is_written_to(generator: Generator) -> None:
    values = torch.randn(2, 5, generator=generator)

    def careless() -> tuple[Tensor, ...]:
        result = fastret.select_k(values.clone(), 3)
        values.zero_()
        return result

    with pytest.raises(AssertionError):
        check_everywhere(careless, reference.select_k(values, 3), (values,))
