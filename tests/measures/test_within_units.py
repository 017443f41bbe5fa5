"""Association within units against enumeration and permutations within units."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from featflow.measures.within_units import exact_product, within_units


def counts(first, second, shape):
    return np.bincount(first * shape[1] + second, minlength=shape[0] * shape[1]).reshape(shape)


def margins(unit, x, y):
    units, levels, classes = int(unit.max()) + 1, int(x.max()) + 1, int(y.max()) + 1
    sides = counts(unit, x, (units, levels)), counts(unit, y, (units, classes))
    return tuple(side.astype(float) for side in sides)


def measured(unit, x, y):
    """The library's test of rows."""
    by_level, by_class = margins(unit, x, y)
    table = counts(x, y, (by_level.shape[1], by_class.shape[1])).astype(float)
    return within_units(table, predicted(by_level, by_class), by_level, by_class)


def predicted(by_level, by_class):
    return by_level.T @ (by_class / by_level.sum(axis=1, keepdims=True))


def chi_squares(unit, x, labelings):
    """Chi-square of what margins do not predict, of every labeling."""
    by_level, by_class = margins(unit, x, labelings[0])
    apart, n = predicted(by_level, by_class), len(unit)
    independent = np.outer(by_level.sum(axis=0), by_class.sum(axis=0)) / n
    return np.array([((counts(x, y, apart.shape) - apart) ** 2 / independent).sum() for y in labelings])


def within(unit, y, draws, seed=0):
    """Labels permuted within units; rows of a unit are neighbours."""
    random = np.random.default_rng(seed)
    order = np.argsort(unit + random.random((draws, len(unit))), axis=1)
    return y[order]


def test_mean_and_p_value_are_those_of_all_permutations():
    unit = np.array([0, 0, 0, 1, 1, 1, 1, 2, 2, 3])  # one unit has a row of its own and says nothing
    x, y = np.array([0, 1, 1, 0, 0, 1, 2, 2, 1, 0]), np.array([0, 1, 1, 0, 1, 1, 0, 1, 0, 1])
    of_units = [sorted(set(itertools.permutations(y[unit == each]))) for each in range(4)]
    every = np.array([np.concatenate(parts) for parts in itertools.product(*of_units)])
    found = chi_squares(unit, x, every)
    part = measured(unit, x, y)
    assert part.observed == pytest.approx(chi_squares(unit, x, y[None])[0], rel=1e-4)
    assert part.mean == pytest.approx(found.mean(), rel=1e-4)  # all labelings are as likely: units are permuted alone


@pytest.mark.parametrize(("units", "rows"), [(5, 40), (60, 6), (200, 3)])
@pytest.mark.parametrize(("levels", "classes"), [(2, 2), (4, 3), (12, 9)])
def test_moments_are_those_of_permutations(units, rows, levels, classes):
    random = np.random.default_rng(units + levels)
    unit = np.repeat(np.arange(units), rows)
    lean = random.dirichlet(np.full(levels, 2.0), units), random.dirichlet(np.full(classes, 2.0), units)
    x, y = (np.array([random.choice(side.shape[1], p=side[u]) for u in unit]) for side in lean)
    x[:levels], y[:classes] = np.arange(levels), np.arange(classes)
    part, found = measured(unit, x, y), chi_squares(unit, x, within(unit, y, 3_000))
    assert abs(found.mean() - part.mean) < 4.5 * found.std() / np.sqrt(3_000) + 1e-3 * part.mean
    assert found.var() == pytest.approx(part.variance, rel=0.25)


def test_unequal_units_count_by_their_rows():
    random = np.random.default_rng(4)
    unit = np.repeat(np.arange(12), random.integers(1, 60, 12))
    x, y = random.integers(0, 3, len(unit)), (random.random(len(unit)) < 0.1 + 0.06 * unit).astype(np.int64)
    part, found = measured(unit, x, y), chi_squares(unit, x, within(unit, y, 5_000))
    assert abs(found.mean() - part.mean) < 4.5 * found.std() / np.sqrt(5_000)
    assert found.var() == pytest.approx(part.variance, rel=0.15)
    for share in (0.1, 0.05):
        critical = np.quantile(found, 1 - share)
        p_value = type(part)(critical, part.mean, part.variance).p_value
        assert p_value == pytest.approx(share, rel=0.3)


@pytest.mark.parametrize("side", ["x", "y"])
def test_what_is_constant_within_units_has_no_association_there(side):
    unit, random = np.repeat(np.arange(30), 10), np.random.default_rng(1)
    of_units, of_rows = random.integers(0, 2, 30)[unit], random.integers(0, 2, 300)
    part = measured(unit, of_units, of_rows) if side == "x" else measured(unit, of_rows, of_units)
    assert part.observed == 0
    assert np.isnan(part.p_value)


def test_what_units_share_is_no_association_within_them():
    unit, random = np.repeat(np.arange(50), 40), np.random.default_rng(2)
    lean = random.random(50)[unit]
    x, y = (random.random((2, 2_000)) < lean).astype(np.int64)
    assert np.corrcoef(x, y)[0, 1] > 0.2
    assert measured(unit, x, y).p_value > 0.01


def test_products_are_the_same_bits_in_any_order():
    random = np.random.default_rng(3)
    left, right = random.random((7, 5_000)) * 1e3, random.normal(size=(5_000, 4))
    product = exact_product(left, right)
    np.testing.assert_allclose(product, left @ right, rtol=1e-4, atol=1e-3 * np.abs(product).max())
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(5_000)
        np.testing.assert_array_equal(exact_product(left[:, order], right[order]), product)
    halves = [
        exact_product(left, right[:, :2], np.abs(right).max()),
        exact_product(left, right[:, 2:], np.abs(right).max()),
    ]
    np.testing.assert_array_equal(np.hstack(halves), product)
