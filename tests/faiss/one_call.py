"""What tests of searches by one native call share."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from fastret.faiss.arrays import padded


def assert_one_call_finds_the_same(index: Any, queries: Any) -> None:
    """As the general way, bit for bit, of all queries and of one after the other."""
    for k in (1, 10, 40):
        assert index._search_at_once(queries, k) is not None
        scores, ids = index._search(torch.from_numpy(queries), k, None)
        wanted = padded(scores, ids, index.metric_type).numpy(), ids.numpy()
        alone = [index.search(queries[q : q + 1], k) for q in range(len(queries))]
        for got in (index.search(queries, k), tuple(map(np.concatenate, zip(*alone, strict=True)))):
            for column, whole in zip(got, wanted, strict=True):
                assert column.dtype == whole.dtype
                np.testing.assert_array_equal(column.view(np.uint8), whole.view(np.uint8))
