"""select_k returns the values and columns of its definition, and its gradient."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hard_vectors import DTYPES, LAYOUTS
from hypothesis import given, settings
from hypothesis import strategies as st
from same_bits import assert_same_bits, check_everywhere
from torch import Generator, Tensor

import fastret
from fastret.ops import reference

INF = float("inf")


def check_select_k(values: Tensor, k: int, largest: bool = True) -> tuple[Tensor, Tensor]:
    want = reference.select_k(values, k, largest)
    check_everywhere(lambda: fastret.select_k(values, k, largest), want, (values,))
    return want


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("columns", [1, 7, 63, 64, 65, 128, 1000])
def test_shapes_and_k(columns: int, dtype: torch.dtype, largest: bool, generator: Generator) -> None:
    values = torch.randn(3, columns, generator=generator).to(dtype)
    for k in {0, 1, 2, columns // 8, columns - 1, columns, columns + 3}:
        check_select_k(values, k, largest)


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
def test_thousands_of_ties(dtype: torch.dtype, largest: bool, generator: Generator) -> None:
    values = torch.randint(-2, 3, (4, 6000), generator=generator).to(dtype)
    for k in (1, 10, 700, 3000):
        check_select_k(values, k, largest)
    _, columns = fastret.select_k(torch.zeros(2, 6000, dtype=dtype), 500, largest)
    assert columns.tolist() == [list(range(500))] * 2


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_inf_and_signed_zero(dtype: torch.dtype, largest: bool, generator: Generator) -> None:
    specials = torch.tensor([float("nan"), -float("nan"), INF, -INF, 0.0, -0.0, 1.0, -1.0])
    for columns in (5, 300, 5000):
        values = specials[torch.randint(8, (4, columns), generator=generator)].to(dtype)
        for k in (1, 30, columns, columns + 2):
            check_select_k(values, k, largest)


def test_a_stored_minus_zero_is_returned_and_ties_with_zero() -> None:
    selected, columns = fastret.select_k(torch.tensor([[-0.0, 0.0, -0.0]]), 3)
    assert columns.tolist() == [[0, 1, 2]]
    assert_same_bits(selected, torch.tensor([[-0.0, 0.0, -0.0]]))


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_without_enough_numbers_are_padded(dtype: torch.dtype) -> None:
    values = torch.tensor([[float("nan")] * 3, [float("nan"), -INF, INF]], dtype=dtype)
    selected, columns = fastret.select_k(values, 4)
    assert columns.tolist() == [[-1] * 4, [2, 1, -1, -1]]
    assert selected.tolist() == [[-INF] * 4, [INF, -INF, -INF, -INF]]
    selected, columns = fastret.select_k(values, 4, largest=False)
    assert columns.tolist() == [[-1] * 4, [1, 2, -1, -1]]
    assert selected.tolist() == [[INF] * 4, [-INF, INF, INF, INF]]


@pytest.mark.parametrize("largest", [True, False])
def test_infinitely_bad_values_fill_the_places_that_are_left(largest: bool) -> None:
    values = torch.full((2, 3000), -INF if largest else INF)
    values[0, 2000], values[1, ::2] = 1.0, float("nan")
    _, columns = check_select_k(values, 4, largest)
    assert columns.tolist() == [[2000, 0, 1, 2], [1, 3, 5, 7]]


@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (0, 0)])
def test_empty_axes_are_answered(shape: tuple[int, int]) -> None:
    selected, columns = check_select_k(torch.zeros(shape), 2)
    assert selected.shape == columns.shape == (shape[0], 2)


@pytest.mark.parametrize("order", ["rising", "falling"])
def test_sorted_rows(order: str) -> None:
    values = torch.arange(4000.0).repeat(2, 1)
    check_select_k(values if order == "rising" else values.flip(1), 17)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_memory_layouts(layout: Callable[[Tensor], Tensor], dtype: torch.dtype, generator: Generator) -> None:
    values = torch.randn(5, 300, generator=generator).to(dtype)
    check_select_k(layout(values), 12)
    check_select_k(layout(values), 12, largest=False)


def test_expanded_rows_and_columns(generator: Generator) -> None:
    check_select_k(torch.randn(1, 200, generator=generator).expand(6, 200), 9)
    check_select_k(torch.randn(6, 1, generator=generator).expand(6, 200), 9)


def test_flushing_subnormals_in_the_caller_changes_nothing(generator: Generator) -> None:
    values = torch.randn(3, 400, generator=generator) * 1e-40
    wants = {largest: reference.select_k(values, 50, largest) for largest in (True, False)}
    assert torch.set_flush_denormal(True)
    gots = {largest: fastret.select_k(values, 50, largest) for largest in wants}
    torch.set_flush_denormal(False)
    for largest, want in wants.items():
        for got, wanted in zip(gots[largest], want, strict=True):
            assert_same_bits(got, wanted)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_values_at_all(data: st.DataObject) -> None:
    columns = data.draw(st.integers(1, 200))
    numbers = st.one_of(st.floats(width=16), st.sampled_from([0.0, -0.0, 1.0]))
    few = data.draw(st.lists(numbers, min_size=1, max_size=20))
    generator = Generator().manual_seed(data.draw(st.integers(0, 2**32)))
    values = torch.tensor(few)[torch.randint(len(few), (3, columns), generator=generator)]
    values = data.draw(st.sampled_from(LAYOUTS))(values.to(data.draw(st.sampled_from(DTYPES))))
    check_select_k(values, data.draw(st.integers(0, 210)), data.draw(st.booleans()))


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_gradient_goes_to_the_selected_places(dtype: torch.dtype, largest: bool) -> None:
    ties = torch.tensor([[3.0, 1.0, 3.0, 2.0], [0.0, float("nan"), float("nan"), 5.0]], dtype=dtype)
    values = ties.requires_grad_()
    selected, columns = fastret.select_k(values, 3, largest)
    assert selected.requires_grad and not columns.requires_grad
    weights = torch.tensor([[10.0, 20.0, 30.0], [40.0, 50.0, 60.0]], dtype=dtype)
    selected.backward(weights)
    want = [[10.0, 0, 20, 30], [50, 0, 0, 40]] if largest else [[30.0, 10, 0, 20], [40, 0, 0, 50]]
    assert values.grad is not None and values.grad.dtype == dtype
    assert values.grad.tolist() == want  # the padded place, weight 60, has no source


def test_the_gradient_of_values_selected_by_k_beyond_the_columns() -> None:
    values = torch.tensor([[1.0, 2.0]], requires_grad=True)
    selected, _ = fastret.select_k(values, 5)
    selected[:, :2].sum().backward()
    assert values.grad is not None and values.grad.tolist() == [[1.0, 1.0]]


@pytest.mark.parametrize("shape", [(2, 0), (0, 2)])
def test_the_gradient_of_nothing(shape: tuple[int, int]) -> None:
    values = torch.zeros(shape, requires_grad=True)
    fastret.select_k(values, 1)[0].nan_to_num(0, 0, 0).sum().backward()
    assert values.grad is not None and values.grad.shape == shape
