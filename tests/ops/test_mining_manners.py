"""mine_hard_negatives and pair_scores as ops: errors, compiled, traced for a device, on numpy arrays."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from hard_vectors import LAYOUTS, METRICS, nan_and_inf, normal
from same_bits import assert_same_bits, check_everywhere, every_way
from torch import Generator, Tensor

import fastret
from fastret.ops import reference
from fastret.ops.mine_hard_negatives import _mine

LIMITS: dict[str, Any] = {"absolute_margin": 0.1, "relative_margin": 0.05, "min_score": -9.0, "max_score": 9.0}


def labels_of(queries: Tensor, keys: Tensor) -> dict[str, Tensor]:
    return {"query_labels": torch.arange(len(queries)) % 3, "key_labels": torch.arange(len(keys)) % 3}


@pytest.mark.parametrize("metric", METRICS)
def test_search_takes_labels_and_ceilings(metric: str, generator: Generator) -> None:
    queries, keys = nan_and_inf(12, 700, 40, generator)
    scores = reference.cosine_scores(queries, keys, metric)
    ceilings = scores.gather(1, torch.randint(700, (12, 1), generator=generator))[:, 0]
    ceilings[1], ceilings[2], ceilings[3] = torch.nan, torch.inf, -torch.inf
    excluded = torch.randint(-1, 700, (12, 9), generator=generator)
    filters = {"excluded": excluded, **labels_of(queries, keys), "ceilings": ceilings}
    want = reference.search(queries, keys, 10, metric, **filters)
    number = METRICS.index(metric)

    def search() -> tuple[Tensor, ...]:
        for way, arguments in every_way(keys, metric):
            packed = arguments["keys"] if isinstance(arguments["keys"], fastret.PackedKeys) else None
            first_pass = ("float32", "int16", "int8", "auto").index(packed.first_pass if packed else way)
            packing = packed.packing.arguments if packed and packed.packing else ()
            found = torch.ops.fastret.explained_search(
                queries, keys, 10, number, -1 if first_pass == 3 else first_pass, *packing, **filters
            )
            assert_same_bits(found[1], want[1], f"{fastret._C.get_isa()}, {way}")
        return torch.ops.fastret.search(queries, keys, 10, number, None, *filters.values())

    check_everywhere(search, want, (queries, keys, ceilings))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_own_pairs_have_the_scores_of_all_pairs(dtype: torch.dtype, metric: str, generator: Generator) -> None:
    queries, keys = (rows.to(dtype) for rows in nan_and_inf(9, 60, 37, generator))
    ids = torch.randint(-1, 60, (9, 6), generator=generator)
    all_scores = torch.cat([reference.cosine_scores(queries, keys, metric), torch.full((9, 1), torch.nan)], 1)
    want = all_scores.gather(1, ids % 61)  # -1: the last column
    for layout in LAYOUTS:
        rows = layout(queries), layout(keys)
        number = METRICS.index(metric)
        check_everywhere(lambda rows=rows, n=number: (torch.ops.fastret.pair_scores(*rows, ids, n),), (want,), rows)


def test_opcheck(generator: Generator) -> None:
    queries, keys = normal(5, 40, 16, generator)
    positives, excluded = torch.arange(10).view(5, 2), torch.full((5, 1), 20)
    labels = labels_of(queries, keys)
    ops = torch.ops.fastret
    torch.library.opcheck(ops.pair_scores.default, (queries, keys, positives, 1))
    packing = fastret.pack(keys, "int8").packing
    assert packing is not None
    for packed in ((), (2, *packing.arguments)):
        for ranks in ({}, {"range_min": 2}, {"range_min": 1, "range_max": 9}):
            named = {"positives": positives, "excluded": excluded, **labels, **LIMITS, **ranks}
            torch.library.opcheck(ops.mine_hard_negatives.default, (queries, keys, 3, 0, *packed), named)
    ceilings = torch.zeros(5)
    torch.library.opcheck(ops.search.default, (queries, keys, 3, 0, None, excluded, *labels.values(), ceilings))


def test_compile_without_a_graph_break(generator: Generator) -> None:
    torch._dynamo.reset()

    def mine(queries: Tensor, keys: Tensor, positives: Tensor, limit: float) -> tuple[Tensor, ...]:
        labels = {"query_labels": queries[:, 0] > 0, "key_labels": keys[:, 0] > 0}
        integers = {name: part.long() for name, part in labels.items()}
        near = fastret.mine_hard_negatives(queries, keys, 5, positives, "cosine", relative_margin=limit, **integers)
        limits = {"absolute_margin": limit, "max_score": 2 * limit}
        near = (*near, *fastret.mine_hard_negatives(queries, keys, 5, positives, **limits))
        return (*near, *fastret.mine_hard_negatives(queries, keys, 5, positives, range_min=2, range_max=9))

    compiled = torch.compile(mine, fullgraph=True, dynamic=True, backend="aot_eager")
    for num_queries, num_keys, limit in ((6, 40, 0.05), (9, 70, 0.5)):
        inputs = (*normal(num_queries, num_keys, 8, generator), torch.arange(num_queries), limit)
        for got, want in zip(compiled(*inputs), mine(*inputs), strict=True):
            assert_same_bits(got, want)


@pytest.mark.parametrize("ranks", [{}, {"range_min": 2}, {"range_min": 1, "range_max": 9}])
def test_no_branch_asks_for_data_of_a_device(ranks: dict[str, int]) -> None:
    queries, keys = torch.empty(6, 40, device="meta"), torch.empty(90, 40, device="meta")  # there is no data
    positives = torch.empty(6, 2, dtype=torch.int64, device="meta")
    for metric in range(3):
        found = _mine(queries, keys, 5, metric, positives=positives, **LIMITS, **ranks)
        assert [(part.shape, part.dtype) for part in found] == [((6, 5), torch.float32), ((6, 5), torch.int64)]


def test_numpy_in_numpy_out_and_any_integers(generator: Generator) -> None:
    queries, keys = normal(6, 80, 32, generator)
    positives, labels = torch.arange(6), labels_of(queries, keys)
    want = fastret.mine_hard_negatives(queries, keys, 5, positives, absolute_margin=0.5, **labels)
    for dtype in (np.int64, np.int32, np.uint8):
        got = fastret.mine_hard_negatives(
            queries.numpy(),
            keys.numpy(),
            5,
            positives.numpy().astype(dtype),
            absolute_margin=np.float32(0.5),
            **{name: part.numpy().astype(dtype) for name, part in labels.items()},
        )
        assert all(isinstance(part, np.ndarray) for part in got)
        for part, wanted in zip(got, want, strict=True):
            assert_same_bits(torch.from_numpy(part), wanted)
    assert_same_bits(
        fastret.mine_hard_negatives(queries, keys, 5, positives[:, None])[1],
        fastret.mine_hard_negatives(queries, keys, 5, positives)[1],
    )


def test_no_gradient_is_asked_for(generator: Generator) -> None:
    queries, keys = (rows.requires_grad_() for rows in normal(6, 40, 8, generator))
    assert not fastret.mine_hard_negatives(queries, keys, 5, torch.arange(6), absolute_margin=0.0)[0].requires_grad


Q, X, OWN = torch.zeros(8, 4), torch.zeros(100, 4), torch.zeros(8, dtype=torch.int64)
OF_KEYS = torch.zeros(100, dtype=torch.int64)


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"k": -1}, ValueError, "k must not be negative, got -1"),
        ({"range_min": -2}, ValueError, "range_min must not be negative, got -2"),
        ({"range_max": 1.5}, TypeError, "range_max must be an integer, got float"),
        ({"range_min": 3, "range_max": 2}, ValueError, "range_max must be at least range_min, got 2 and 3"),
        ({"absolute_margin": 0.1}, ValueError, "margins need positives, got absolute_margin=0.1 and none"),
        ({"relative_margin": 0.1}, ValueError, "margins need positives, got relative_margin=0.1 and none"),
        ({"positives": OWN, "relative_margin": torch.inf}, ValueError, "relative_margin must be finite, got inf"),
        ({"positives": OWN, "absolute_margin": torch.nan}, ValueError, "absolute_margin must not be NaN"),
        ({"positives": OWN, "absolute_margin": "a"}, TypeError, "absolute_margin must be a number, got str"),
        ({"min_score": torch.nan}, ValueError, "min_score must not be NaN"),
        ({"max_score": None, "min_score": "a"}, TypeError, "min_score must be a number, got str"),
        ({"positives": OWN[:5]}, ValueError, "positives must be [8] or [8, P], a row per query, got [5]"),
        ({"positives": OWN.float()}, TypeError, "positives must be integers, got float32"),
        ({"positives": OWN + 100}, ValueError, "positives must be ids below 100, got 100"),
        ({"query_labels": OWN}, ValueError, "query_labels and key_labels belong together, got no key_labels"),
        ({"key_labels": OF_KEYS}, ValueError, "query_labels and key_labels belong together, got no query_labels"),
        ({"query_labels": OWN, "key_labels": OWN}, ValueError, "key_labels must be [100], one per row, got [8]"),
        ({"query_labels": OF_KEYS, "key_labels": OWN}, ValueError, "query_labels must be [8], one per row, got [100]"),
        ({"query_labels": Q[:, 0], "key_labels": OF_KEYS}, TypeError, "query_labels must be integers, got float32"),
        ({"queries": Q[:, :3]}, ValueError, "queries and keys must share D, got [8, 3] and [100, 4]"),
        ({"metric": "dot"}, ValueError, 'metric must be "ip", "cosine" or "l2", got \'dot\''),
    ],
)  # fmt: skip
def test_errors_are_one_sentence(arguments: dict[str, Any], error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(f'mine_hard_negatives: {sentence}')}$"):
        fastret.mine_hard_negatives(**{"queries": Q, "keys": X, "k": 3, **arguments})


@pytest.mark.parametrize(
    ("filters", "sentence"),
    [
        ({"query_labels": OWN}, "query_labels and key_labels belong together"),
        ({"query_labels": OWN[:7], "key_labels": OF_KEYS}, "query_labels must be [8] int64, contiguous, got [7]"),
        ({"query_labels": OWN, "key_labels": OF_KEYS.int()}, "key_labels must be [100] int64, contiguous, got [100]"),
        ({"ceilings": OWN}, "ceilings must be [8] float32, contiguous, got [8]"),
    ],
)  # fmt: skip
def test_direct_calls_are_checked_too(filters: dict[str, Tensor], sentence: str) -> None:
    with pytest.raises(RuntimeError, match=re.escape(f"search: {sentence}")):
        torch.ops.fastret.search(Q, X, 3, 0, **filters)


def test_direct_calls_with_bad_ids() -> None:
    with pytest.raises(RuntimeError, match=re.escape("pair_scores: ids must be [8, P] int64, got [8]")):
        torch.ops.fastret.pair_scores(Q, X, OWN, 0)
