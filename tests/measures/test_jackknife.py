"""Error bars against closed forms, and their coverage of known truths."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from featflow.measures.jackknife import FEWEST_GROUPS, clipped, error_bars


def test_equal_groups_give_the_usual_formula():
    random = np.random.default_rng(0)
    deleted, estimate = random.normal(size=(32, 5)), random.normal(size=5)
    deleted += estimate - deleted.mean(axis=0)
    bars = error_bars(estimate, deleted, np.full(32, 7), 0.9)
    usual = np.sqrt(31 / 32 * ((deleted - deleted.mean(axis=0)) ** 2).sum(axis=0))
    np.testing.assert_allclose(bars.standard_error, usual)
    np.testing.assert_allclose(bars.high - estimate, stats.t.ppf(0.95, 31) * usual)
    np.testing.assert_allclose(estimate - bars.low, bars.high - estimate)


def test_unequal_groups_of_a_mean():
    """The mean of groups of unequal size: the error is that of a weighted mean of independent group means."""
    random = np.random.default_rng(1)
    errors, found = [], []
    sizes = np.array([50] * 20 + [400] * 10 + [0] * 3)
    for _ in range(200):
        groups = [random.normal(size=size) for size in sizes]
        sums = np.array([group.sum() for group in groups])
        total = sums.sum()
        deleted = (total - sums) / (sizes.sum() - sizes)
        bars = error_bars(total / sizes.sum(), deleted, sizes, 0.95)
        errors.append(float(bars.standard_error))
        found.append(total / sizes.sum())
        assert bars.degrees == 29
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(1 / np.sqrt(sizes.sum()), rel=0.05)
    assert np.std(found) == pytest.approx(1 / np.sqrt(sizes.sum()), rel=0.2)


def test_too_few_groups_give_no_number():
    rows = np.array([5] * (FEWEST_GROUPS - 1) + [0] * 9)
    bars = error_bars(np.array([1.0, 2.0]), np.ones((len(rows), 2)), rows, 0.95)
    assert np.isnan([bars.standard_error, bars.low, bars.high]).all()
    assert bars.degrees == FEWEST_GROUPS - 2


def test_clipped_intervals_are_possible_and_hold_their_estimate():
    random = np.random.default_rng(2)
    low, high = np.sort(random.normal(0, 1, (2, 1000)), axis=0)
    estimate = random.normal(0, 1, 1000)
    clipped_low, clipped_high = clipped(low, high, estimate, 0.5)
    assert (clipped_low <= estimate).all()
    assert (clipped_high >= estimate).all()
    possible = (estimate >= 0) & (estimate <= 0.5)
    assert (clipped_low[possible] >= 0).all()
    assert (clipped_high[possible] <= 0.5).all()
    np.testing.assert_array_equal(clipped_low[estimate < 0], estimate[estimate < 0])
    inside = possible & (low >= 0) & (high <= 0.5) & (low <= estimate) & (estimate <= high)
    np.testing.assert_array_equal(clipped_low[inside], low[inside])
    np.testing.assert_array_equal(clipped_high[inside], high[inside])


def test_clipped_intervals_of_a_signed_score_and_of_too_few_groups():
    low, high = clipped(np.array([-2.0, np.nan]), np.array([2.0, np.nan]), np.array([0.1, 0.1]), 0.5, least=-0.7)
    np.testing.assert_array_equal([low, high], [[-0.7, np.nan], [0.5, np.nan]])
