"""select_k on each of its paths: against the CPU op and the definition."""

from __future__ import annotations

from functools import partial
from itertools import product

import torch
from torch import Tensor

import fastret
from fastret.ops import reference

from .comparing import DTYPES, Checks, generator, on_gpu, same


def check_select(values: Tensor, k: int, largest: bool, device: torch.device) -> None:
    got = fastret.select_k(values.to(device), k, largest)
    same(got, fastret.select_k(values, k, largest), "the CPU op")
    same(got, reference.select_k(values, k, largest), "the definition")


def hard_rows(columns: int, dtype: torch.dtype) -> Tensor:
    """[8, columns]: NaN, one value, both zeros, infinities, few values, rising and falling ones, lone peaks."""
    g = generator(22)
    values = torch.randn(8, columns, generator=g)
    values[0, ::3], values[1], values[2, ::2], values[3, ::5] = float("nan"), 0.25, -0.0, float("inf")
    values[2, 1::2] = 0.0
    values[4] = torch.randint(3, (columns,), generator=g).float()
    values[5] = torch.linspace(-1, 1, columns)
    values[6] = torch.linspace(1, -1, columns)
    values[7] = 0.0  # what samples of the row see
    values[7, torch.randint(columns, (max(1, columns // 50),), generator=g)] = 1.0
    return values.to(dtype)


def checks(device: torch.device) -> Checks:
    # Shorter than a sort, held in shared memory, and longer than that: 256, 2048 and 4096 columns are the edges.
    lengths = on_gpu(device, 1, 0) and (1, 2, 31, 255, 256, 257, 1000, 2048, 2049, 4096, 4097, 9000, 70_000)
    for columns, dtype in product(lengths or (1, 31, 257, 2049, 4200), DTYPES):
        values = hard_rows(columns, dtype)
        for k in sorted({1, 50, columns // 4, columns // 2, columns - 1, columns, columns + 9}):
            for largest in (True, False):
                name = f"select_k, {columns} columns, {dtype}, k={k}, {'largest' if largest else 'smallest'}"
                yield name, partial(check_select, values, k, largest, device)
    for rows, columns in ((0, 5), (3, 0), (600, 7)):
        values = torch.randn(rows, columns, generator=generator(23))
        yield f"select_k, {rows} x {columns}", partial(check_select, values, 3, True, device)

    def of_strided_rows() -> None:
        values = torch.randn(5, 3, 5000, generator=generator(24))
        got = fastret.select_k(values.to(device)[:, 1, 7:4900], 40)
        same(got, fastret.select_k(values[:, 1, 7:4900], 40), "the CPU op")

    yield "select_k of strided rows", of_strided_rows


def large_checks(device: torch.device) -> Checks:
    for rows, columns, k in (
        *((1, 2_000_000, 100), (1, 5_000_000, 2048), (3, 500_000, 5000), (2000, 300, 20), (1000, 100_000, 10)),
        *((1, 1_000_000, 1_000_000), (7, 200_000, 200_000)),
    ):
        values = torch.randint(-(1 << 20), 1 << 20, (rows, columns), generator=generator(6)).float()
        yield f"select_k, {rows} x {columns}, k={k}", partial(check_select, values, k, True, device)
