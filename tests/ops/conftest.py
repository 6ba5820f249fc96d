from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

import fastret

ISAS = fastret.build_info()["isas"]


@pytest.fixture(autouse=True)
def restored_settings() -> Iterator[None]:
    """Puts back the instruction set, the threads and the float mode that a test may change."""
    isa, threads = fastret._C.get_isa(), torch.get_num_threads()
    yield
    fastret._C.set_isa(isa)
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)


@pytest.fixture(params=ISAS)
def isa(request: pytest.FixtureRequest) -> str:
    fastret._C.set_isa(request.param)
    return request.param


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(20261)
