"""Intervals that cover, p-values that are the exact ones where they can be enumerated."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from fastret.evaluate.significance import bootstrap_intervals, holm, randomisation_p_value


def test_intervals_of_a_share_have_the_width_of_the_normal_approximation():
    values = np.repeat([0.0, 1.0], [300, 700])
    interval = bootstrap_intervals({"recall@1": values}, np.mean)["recall@1"]
    half_width = 1.96 * np.sqrt(0.7 * 0.3 / 1000)
    # 2,000 resamples place a quantile within about 0.05 standard errors x 2 (5 sigma of the Monte Carlo error).
    assert interval == pytest.approx((0.7 - half_width, 0.7 + half_width), abs=0.2 * half_width)


def test_intervals_cover_the_truth_about_95_times_in_100():
    rng = np.random.default_rng(0)
    samples = {str(i): rng.normal(0.4, 1, 200) for i in range(100)}
    covered = sum(low <= 0.4 <= high for low, high in bootstrap_intervals(samples, np.mean).values())
    assert 87 <= covered <= 100


def test_intervals_are_seeded_and_shared_by_all_columns():
    rng = np.random.default_rng(1)
    values = {"a": rng.random(50), "b": rng.random(50)}
    first, again = bootstrap_intervals(values, np.mean, seed=3), bootstrap_intervals(values, np.mean, seed=3)
    assert first == again != bootstrap_intervals(values, np.mean, seed=4)
    assert bootstrap_intervals({"b": values["b"]}, np.mean, seed=3)["b"] == pytest.approx(first["b"])


def test_degenerate_columns():
    intervals = bootstrap_intervals({"all": np.ones(9), "lost": np.array([1, np.inf] + [2.0] * 7)}, np.mean)
    assert intervals == {"all": (1.0, 1.0), "lost": None}
    assert bootstrap_intervals({"one": np.ones(1)}, np.median) == {"one": None}


def test_the_median_has_an_interval():
    low, high = bootstrap_intervals({"rank": np.arange(1.0, 102.0)}, np.median)["rank"]
    assert 30 < low < 51 < high < 72


@pytest.mark.parametrize("seed", range(3))
def test_few_queries_are_tested_exactly(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 2, 11).astype(float), rng.integers(0, 2, 11).astype(float)
    observed = abs(np.sum(a - b))
    flips = np.array(list(product([-1, 1], repeat=11)))
    expected = np.mean(np.abs(flips @ (a - b)) >= observed - 1e-12)
    assert randomisation_p_value(a, b) == pytest.approx(expected)


def test_p_values_of_no_difference_and_of_a_clear_one():
    rng = np.random.default_rng(0)
    a = rng.random(300)
    assert randomisation_p_value(a, a) == 1.0
    assert randomisation_p_value(a, np.where(np.arange(300) == 7, 0.0, a)) == 1.0
    assert randomisation_p_value(a + 0.2, rng.random(300)) == pytest.approx(1 / 5000)  # the least that 9,999 can give
    assert randomisation_p_value(a, rng.permutation(a), seed=1) > 0.9


def test_p_values_under_no_effect_are_uniform():
    rng = np.random.default_rng(5)
    p_values = [randomisation_p_value(rng.random(13), rng.random(13), seed=i) for i in range(60)]
    assert 0.3 < np.mean(p_values) < 0.7 and min(p_values) > 0.0005


def test_holm_adjusts_step_by_step():
    # Worked by hand: 4 * .005, 3 * .01, then 2 * .03 = .06 and 1 * .04 lifted to it.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([]) == [] and holm([0.2]) == [0.2]
