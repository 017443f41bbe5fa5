"""Error bars and p-values of association against scipy, enumeration and permutations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special
from scipy.stats import f_oneway, pearsonr, random_table, spearmanr

from featflow.measures.association import (
    bonett_wright_error,
    chi_square_moments,
    chi_square_tail,
    correlation_ratio_tail,
    correlation_tail,
    fisher_end,
    fisher_error,
    rank_correlation_bound,
)


def sides(*margins):
    """What the moments take of each side's margins, one table."""
    return tuple((np.array(len(m)), (1 / np.array(m)).sum(), (1 / np.array(m) ** 2).sum()) for m in margins)


def chi_square(tables, rows, columns):
    rows, columns = np.asarray(rows, float), np.asarray(columns, float)
    return ((tables**2 / np.outer(rows, columns)).sum(axis=(-2, -1)) - 1) * rows.sum()


@pytest.mark.parametrize("n", [4, 7, 60, 3_000])
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.999])
def test_fisher_equals_scipy(n, confidence):
    random = np.random.default_rng(n)
    for slope in (-3.0, 0.0, 0.01, 1.0):
        x = random.normal(size=n)
        truth = pearsonr(x, slope * x + random.normal(size=n))
        value, rows = np.array(truth.statistic), np.array(n)
        low, high = (fisher_end(value, fisher_error(rows), confidence, side) for side in (-1, 1))
        interval = truth.confidence_interval(confidence)
        assert (float(low), float(high)) == pytest.approx((interval.low, interval.high), abs=1e-10)
        assert float(correlation_tail(value, rows)) == pytest.approx(truth.pvalue, rel=1e-9, abs=1e-300)


def test_t_of_ranks_equals_scipy():
    random = np.random.default_rng(0)
    for n in (5, 40, 1_000):
        x = random.normal(size=n)
        truth = spearmanr(x, 0.2 * x + random.normal(size=n))
        assert float(correlation_tail(np.array(truth.statistic), np.array(n))) == pytest.approx(truth.pvalue, rel=1e-9)


def test_ends_that_are_exact_and_rows_that_are_too_few():
    value, n = np.array([1.0, -1.0, 0.5, 0.5, np.nan]), np.array([10, 10, 3, 2, 10])
    error = fisher_error(n)
    np.testing.assert_array_equal(fisher_end(value, error, 0.95, -1), [1.0, -1.0, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(fisher_end(value, error, 0.95, 1), [1.0, -1.0, np.nan, np.nan, np.nan])
    p = correlation_tail(value, n)
    assert p[:2].tolist() == [0.0, 0.0]
    assert p[2] == pytest.approx(2 / 3)
    assert np.isnan(p[3:]).all()
    assert float(bonett_wright_error(np.array(1.0), np.array(9))) == pytest.approx(0.5)


@pytest.mark.parametrize("n", [10, 1_000, 10**6])
def test_a_tail_is_nothing_only_where_no_float_is_as_small(n):
    """Values of all strengths against the incomplete beta function, which is the same probability."""
    value = np.sqrt(-np.expm1(np.linspace(-1_600, -0.1, 400) / (n / 2 - 1)))
    p, truth = correlation_tail(value, np.full(400, n)), special.betainc(n / 2 - 1, 0.5, (1 - value) * (1 + value))
    assert (p[truth < 1e-320] < 1e-300).all()
    np.testing.assert_allclose(p[truth > 1e-300], truth[truth > 1e-300], rtol=1e-9)


def test_no_turn_of_the_vectors_exceeds_the_bound():
    random = np.random.default_rng(1)
    unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)  # noqa: E731
    a, b, c, d = (random.normal(size=(5_000, 3)) for _ in range(4))
    a, b, turns = unit(a), unit(b), random.random((2, 5_000, 1))
    a2, b2 = unit(a + turns[0] * c), unit(b + turns[1] * d)
    angles = np.arccos(np.clip((a * a2).sum(1), -1, 1)) + np.arccos(np.clip((b * b2).sum(1), -1, 1))
    before, after = (a * b).sum(1), (a2 * b2).sum(1)
    assert (np.abs(after - before) <= rank_correlation_bound(before, angles) + 1e-12).all()


def test_f_equals_one_way_analysis_of_variance():
    random = np.random.default_rng(2)
    for n, k, shift in ((12, 2, 0.0), (50, 7, 0.3), (400, 3, 0.2)):
        groups = np.concatenate([np.arange(k), random.integers(0, k, n - k)])
        y = random.normal(size=n) + shift * groups
        parts = [y[groups == g] for g in range(k)]
        between = sum(len(p) * (p.mean() - y.mean()) ** 2 for p in parts)
        eta = np.sqrt(between / ((y - y.mean()) ** 2).sum())
        ours = correlation_ratio_tail(np.array([eta]), np.array([float(n)]), np.array([k]))
        assert ours[0] == pytest.approx(f_oneway(*parts).pvalue, rel=1e-8)


def test_f_without_degrees_of_freedom_is_nan():
    p = correlation_ratio_tail(np.array([0.5, 0.5, 1.0]), np.array([5.0, 3.0, 5.0]), np.array([1, 3, 2]))
    assert np.isnan(p[:2]).all()
    assert p[2] == 0.0


@pytest.mark.parametrize(
    ("rows", "columns"),
    [((2, 2), (2, 1, 1)), ((1, 4), (2, 2, 1)), ((3, 4), (1, 1, 5)), ((4, 4), (2, 3, 3)), ((2, 6), (1, 2, 5))],
)
def test_chi_square_moments_equal_those_of_all_tables(rows, columns):
    drawn = random_table(rows, columns)
    probable = {}
    for a in range(min(rows[0], columns[0]) + 1):  # all tables with these margins, each with its probability
        for b in range(min(rows[0] - a, columns[1]) + 1):
            first = np.array([a, b, rows[0] - a - b])
            table = np.stack([first, np.array(columns) - first])
            if (table >= 0).all():
                probable[chi_square(table, rows, columns), a, b] = drawn.pmf(table)
    value, weight = np.array([key[0] for key in probable]), np.array(list(probable.values()))
    mean = (weight * value).sum()
    ours = chi_square_moments(np.array(sum(rows)), *sides(rows, columns))
    assert weight.sum() == pytest.approx(1.0)
    assert (float(ours[0]), float(ours[1])) == pytest.approx((mean, (weight * (value - mean) ** 2).sum()), abs=1e-10)


@pytest.mark.parametrize(
    ("rows", "columns"), [((50, 30, 20), (60, 35, 5)), ((3, 197), (40,) * 5), ((20,) * 10, (100, 60, 38, 2))]
)
def test_chi_square_moments_equal_those_of_permutations(rows, columns):
    drawn = chi_square(random_table(rows, columns).rvs(40_000, random_state=0), rows, columns)
    mean, variance, third = (float(x) for x in chi_square_moments(np.array(sum(rows)), *sides(rows, columns)))
    assert drawn.mean() == pytest.approx(mean, rel=0.02)
    assert drawn.var() == pytest.approx(variance, rel=0.08)
    assert ((drawn - mean) ** 3).mean() == pytest.approx(third, rel=0.5)


@pytest.mark.parametrize(
    ("rows", "columns"),
    [((500, 500), (300, 300, 400)), ((900, 90, 10), (970, 25, 5)), ((995, 5), (100,) * 10), ((990, 7, 3), (50,) * 20)],
)
def test_chi_square_is_calibrated_however_rare_a_level(rows, columns):
    drawn = chi_square(random_table(rows, columns).rvs(20_000, random_state=1), rows, columns)
    p = chi_square_tail(drawn, np.array(1_000), *sides(rows, columns))
    assert 0.02 <= (p <= 0.05).mean() <= 0.09  # five rows have a handful of values
    assert (p <= 0.001).mean() <= 0.002


def test_a_null_of_one_value_says_nothing():
    p = chi_square_tail(np.array([12.0, np.nan]), np.array(4), *sides((1, 1, 1, 1), (1, 1, 1, 1)))
    assert p[0] == 1.0
    assert np.isnan(p[1])


def test_the_fisher_interval_covers():
    random = np.random.default_rng(3)
    rho, covered = 0.6, 0
    for _ in range(300):
        x = random.normal(size=40)
        value = np.corrcoef(x, rho * x + 0.8 * random.normal(size=40))[0, 1]
        low, high = (fisher_end(np.array(value), fisher_error(np.array(40)), 0.95, side) for side in (-1, 1))
        covered += low <= rho <= high
    assert 0.92 <= covered / 300 <= 0.98
