from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

import fastret


@pytest.fixture(autouse=True)
def restored_settings() -> Iterator[None]:
    """Puts back the instruction set and the threads that a test may change."""
    isa, threads = fastret._C.get_isa(), torch.get_num_threads()
    yield
    fastret._C.set_isa(isa)
    torch.set_num_threads(threads)
