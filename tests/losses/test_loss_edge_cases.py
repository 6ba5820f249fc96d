"""Where contrastive losses go wrong: duplicates, filters, extreme temperatures, rows without or with many positives."""

from __future__ import annotations

import pytest
import torch
from batches import unit_rows
from torch import Tensor
from torch.autograd import grad
from torch.nn import functional as F

import fastret
from fastret.losses import reference

TEMPERATURE = 0.1


def pair(queries: int = 12, keys: int = 12, dim: int = 8, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    return (
        unit_rows(queries, dim, seed=1, dtype=dtype).requires_grad_(),
        unit_rows(keys, dim, seed=2, dtype=dtype).requires_grad_(),
    )


def test_a_duplicate_of_the_positive_is_no_negative_by_its_id() -> None:
    queries, keys = pair()
    doubled = torch.cat([keys, keys[:5]])
    ids = torch.cat([torch.arange(12), torch.arange(5)])
    plain = fastret.info_nce(queries, doubled, temperature=TEMPERATURE)
    masked = fastret.info_nce(queries, doubled, temperature=TEMPERATURE, key_ids=ids)
    assert masked < plain
    # What is masked from every query that it is a duplicate for still is a negative of the others.
    first = grad(masked, doubled)[0]
    alone = fastret.info_nce(queries[:1], doubled, torch.tensor([0]), temperature=TEMPERATURE, key_ids=ids)
    assert (grad(alone, doubled)[0][12] == 0).all() and (first[12] != 0).any()


@pytest.mark.parametrize("mode", ["absolute", "relative"])
@pytest.mark.parametrize("symmetric", [False, True])
def test_a_filter_that_drops_everything_keeps_the_positive(mode: str, symmetric: bool) -> None:
    queries, keys = pair()
    loss = fastret.info_nce(
        queries,
        keys,
        temperature=TEMPERATURE,
        symmetric=symmetric,
        false_negative_margin=1e3,
        false_negative_mode=mode,
    )
    assert loss == 0
    for gradient in grad(loss, (queries, keys)):
        assert (gradient == 0).all()


def test_a_filtered_key_has_no_gradient_from_that_query() -> None:
    queries, keys = pair(1, 6)
    scores = (queries @ keys.T).detach()[0]
    margin = 0.05
    loss = fastret.info_nce(queries, keys, temperature=TEMPERATURE, false_negative_margin=margin)
    dropped = scores > scores[0] - margin
    dropped[0] = False
    gradient = grad(loss, keys)[0].abs().sum(1)
    assert dropped.any() and not dropped[1:].all()
    assert torch.equal(gradient == 0, dropped)


def test_a_relative_margin_lowers_a_negative_score_too() -> None:
    # -0.5 - 0.1 * 0.5 = -0.55: -0.52 is above and dropped; -0.5 * 0.9 = -0.45 would have kept it.
    queries = torch.tensor([[1.0, 0.0]], requires_grad=True)
    keys = torch.tensor([[-0.5, 0.1], [-0.52, 0.2], [-0.9, 0.3]])
    loss = fastret.info_nce(queries, keys, temperature=1.0, false_negative_margin=0.1, false_negative_mode="relative")
    torch.testing.assert_close(loss, torch.log1p(torch.tensor(-0.9 + 0.5).exp()))


@pytest.mark.parametrize("temperature", [1e-3, 1e-2, 1.0, 10.0])
def test_extreme_temperatures_stay_finite_and_exact(temperature: float) -> None:
    queries, keys = pair(40, 40, 16)
    exact = [one.detach().double().requires_grad_() for one in (queries, keys)]
    tau, exact_tau = (torch.tensor(temperature, dtype=one.dtype, requires_grad=True) for one in (queries, exact[0]))
    loss = fastret.info_nce(queries, keys, temperature=tau, symmetric=True)
    wanted = reference.info_nce(*exact, temperature=exact_tau, symmetric=True)
    found, expected = grad(loss, (queries, keys, tau)), grad(wanted, (*exact, exact_tau))
    # float32 scores are wrong by 2^-24 or so, which 1 / temperature enlarges.
    bound = 16 * 2**-24 * max(1, 1 / temperature)
    assert abs(float(loss.detach()) - float(wanted.detach())) <= bound * max(1, float(wanted.detach()))
    for one, other in zip(found, expected, strict=True):
        assert (one - other).norm() <= bound * other.norm() + 1e-9


def test_loss_is_never_negative() -> None:
    rows = torch.eye(64)
    for temperature in (1e-3, 0.05, 1.0):
        for dtype in (torch.float32, torch.bfloat16, torch.float16):
            assert fastret.info_nce(rows.to(dtype), rows.to(dtype), temperature=temperature) >= 0
            assert fastret.sigmoid_loss(rows.to(dtype), rows.to(dtype), temperature=temperature, bias=-10.0) >= 0


def test_rows_without_positives_count_for_nothing() -> None:
    queries, keys = pair()
    labels = torch.arange(12)
    labels[::2] = -1
    loss = fastret.info_nce(queries, keys, labels, temperature=TEMPERATURE)
    half = fastret.info_nce(queries[1::2], keys, labels[1::2], temperature=TEMPERATURE)
    torch.testing.assert_close(loss, half)
    assert (grad(loss, queries)[0][::2] == 0).all()


def test_no_positives_at_all_are_a_loss_of_zero() -> None:
    queries, keys = pair()
    for symmetric in (False, True):
        loss = fastret.info_nce(queries, keys, torch.full((12,), -1), temperature=TEMPERATURE, symmetric=symmetric)
        assert loss == 0
        assert all((gradient == 0).all() for gradient in grad(loss, (queries, keys)))


def test_a_positive_named_twice_counts_once() -> None:
    queries, keys = pair()
    twice = torch.tensor([[i, i, (i + 1) % 12] for i in range(12)])
    once = torch.tensor([[i, -1, (i + 1) % 12] for i in range(12)])
    losses = [fastret.info_nce(queries, keys, labels, temperature=TEMPERATURE) for labels in (twice, once)]
    assert torch.equal(*losses)


def test_many_positives_are_those_of_cross_entropy_with_shares() -> None:
    queries, keys = pair(12, 20)
    labels = torch.arange(20).repeat(12, 1)
    loss = fastret.info_nce(queries, keys, labels, temperature=TEMPERATURE)
    wanted = F.cross_entropy(queries @ keys.T / TEMPERATURE, torch.full((12, 20), 1 / 20))
    torch.testing.assert_close(loss, wanted)


@pytest.mark.parametrize(("queries", "keys", "dim"), [(0, 0, 8), (0, 5, 8), (1, 1, 8), (3, 5, 0)])
def test_nothing_to_compare(queries: int, keys: int, dim: int) -> None:
    vectors = torch.randn(queries, dim, requires_grad=True), torch.randn(keys, dim, requires_grad=True)
    for loss in (
        fastret.info_nce(*vectors, temperature=1.0, hard_negatives=torch.zeros(queries, 0, dtype=torch.int64)),
        fastret.info_nce(*vectors, temperature=1.0, symmetric=True, query_query=True, key_key=True),
        fastret.sigmoid_loss(*vectors, temperature=1.0),
    ):
        assert loss.isfinite() and loss >= 0
        assert all(one.isfinite().all() for one in grad(loss, vectors))


def test_chosen_negatives_that_are_all_padding_change_nothing() -> None:
    queries, keys = pair()
    padding = torch.full((12, 3), -1)
    with_padding = fastret.info_nce(queries, keys, temperature=TEMPERATURE, hard_negatives=padding)
    assert torch.equal(with_padding, fastret.info_nce(queries, keys, temperature=TEMPERATURE))


def test_mined_negatives_can_be_handed_on() -> None:
    queries, keys = pair(12, 30)
    _, mined = fastret.mine_hard_negatives(queries.detach(), keys.detach(), 4, torch.arange(12), relative_margin=0.05)
    loss = fastret.info_nce(queries, keys, temperature=TEMPERATURE, hard_negatives=mined)
    assert loss > fastret.info_nce(queries, keys, temperature=TEMPERATURE)


def test_nan_is_not_hidden() -> None:
    queries, keys = pair()
    broken = keys.detach().clone()
    broken[3, 2] = torch.nan
    assert fastret.info_nce(queries, broken, temperature=TEMPERATURE).isnan()
    assert fastret.sigmoid_loss(queries, broken, temperature=TEMPERATURE).isnan()


def test_inputs_stay_as_they_are_and_need_not_be_contiguous() -> None:
    queries, keys = (one.detach() for one in pair(12, 12))
    columns = [torch.stack([one, one], 2)[..., 0].requires_grad_() for one in (queries, keys)]
    before = [one.detach().clone() for one in columns]
    loss = fastret.info_nce(*columns, temperature=TEMPERATURE, symmetric=True)
    found = grad(loss, columns)
    plain = [one.clone().requires_grad_() for one in (queries, keys)]
    wanted = grad(fastret.info_nce(*plain, temperature=TEMPERATURE, symmetric=True), plain)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other)
    assert all(torch.equal(one.detach(), copy) for one, copy in zip(columns, before, strict=True))


def test_none_with_symmetric_is_the_mean_of_both_losses_of_each_pair() -> None:
    queries, keys = pair(dtype=torch.float64)
    weights = torch.linspace(-1, 1, 12, dtype=torch.float64)
    found, wanted = (
        one(queries, keys, temperature=TEMPERATURE, symmetric=True, reduction="none")
        for one in (fastret.info_nce, reference.info_nce)
    )
    torch.testing.assert_close(found, wanted)
    for one, other in zip(grad(found @ weights, (queries, keys)), grad(wanted @ weights, (queries, keys)), strict=True):
        torch.testing.assert_close(one, other)
