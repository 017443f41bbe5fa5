"""Error bars against closed forms, and their coverage of known truths."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from featflow.measures.jackknife import FEWEST_GROUPS, error_bars


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
