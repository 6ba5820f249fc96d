from __future__ import annotations

import numpy as np
import pytest
import torch  # noqa: F401  # before faiss: the first OpenMP runtime that is loaded serves both


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(0)
