from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"

import sys
from collections.abc import Iterator
from pathlib import Path

import datasets
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def pairs() -> datasets.Dataset:
    """60 rows of 40 queries, with up to four positives each, some of which others share; one row comes twice."""
    generator = torch.Generator().manual_seed(0)
    queries = torch.randint(0, 40, (59,), generator=generator).tolist()
    answers = torch.randint(0, 50, (59,), generator=generator).tolist()
    rows = [(f"query {q}", f"answer {a}") for q, a in zip(queries, answers, strict=True)]
    rows.append(rows[0])
    return datasets.Dataset.from_dict({"question": [q for q, _ in rows], "answer": [a for _, a in rows]})


@pytest.fixture
def corpus() -> list[str]:
    """Documents beyond the positives, and some of those."""
    return [f"answer {number}" for number in range(40, 90)]
