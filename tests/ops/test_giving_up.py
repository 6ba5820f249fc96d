"""First passes that give up some queries, or that cannot hold some keys, lose nothing."""

from __future__ import annotations

import torch

import fastret
from fastret.ops import reference


def test_a_key_beyond_float32_is_found_though_other_queries_give_up() -> None:
    generator = torch.Generator().manual_seed(0)
    keys = torch.randn(8000, 1100, generator=generator)  # too many bytes to be packed before the queries are shared out
    keys[40] *= 1e19
    queries = torch.randn(200, 1100, generator=generator)
    queries[:100] = 0  # every score is 0: nothing can be excluded
    _, ids = fastret.search(queries, keys, 5, first_pass="float32")
    best = queries[100:].double() @ keys[40].double() > 0
    assert best.any()
    assert torch.equal((ids[100:] == 40).any(1), best)
    _, ids = fastret.search(queries, keys, 5, "cosine")
    assert torch.equal(ids[100:], reference.search(queries[100:], keys, 5, "cosine")[1])


def test_a_range_search_that_int8_cannot_decide_is_decided_canonically() -> None:
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(2, 64, generator=generator) * 10
    keys = centres.repeat_interleave(4000, 0) + 1e-4 * torch.randn(8000, 64, generator=generator)
    queries = torch.randn(90, 64, generator=generator)
    scores = reference.cosine_scores(queries, keys, "ip")
    threshold = float(scores.median(1).values.median())
    for first_pass in ("int8", "int16", "float32"):
        lims, found, ids = fastret.range_search(queries, fastret.pack(keys, first_pass), threshold)
        assert torch.equal(ids, (scores > threshold).nonzero()[:, 1])
        assert torch.equal(found, scores[scores > threshold])
        assert torch.equal(lims.diff(), (scores > threshold).sum(1))


def test_many_dimensions_leave_int8_for_float32() -> None:
    generator = torch.Generator().manual_seed(0)
    keys, queries = torch.randn(300, 70_000, generator=generator), torch.randn(3, 70_000, generator=generator)
    explained = fastret.explain_search(queries, keys, 4, first_pass="int8")
    assert explained.answered_by == {"float32": 3}
    assert torch.equal(explained.ids, reference.search(queries, keys, 4)[1])
