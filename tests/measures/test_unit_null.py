"""The null on units against permutations of rows within units and of whole units."""

from __future__ import annotations

import numpy as np
import pytest

from featflow.measures.information import corrected_mutual_information, mutual_information
from featflow.measures.permutation_null import ClassNull, null_test
from featflow.measures.unit_null import unit_null


def counts(first, second, shape):
    return np.bincount(first * shape[1] + second, minlength=shape[0] * shape[1]).reshape(shape)


def measured(unit, x, y, *, ordered=False):
    levels, classes, units = int(x.max()) + 1, int(y.max()) + 1, int(unit.max()) + 1
    table = counts(x, y, (levels, classes))
    _, expected = corrected_mutual_information(table[table.any(axis=1)][:, table.any(axis=0)])

    def of_rows(score):
        return null_test(score, [table.sum(axis=1)], [ClassNull(table.sum(axis=0))]).p_value

    sides = counts(unit, x, (units, levels)), counts(unit, y, (units, classes))
    return unit_null(table, *sides, expected, of_rows, ordered=ordered)


def information(x, y):
    return mutual_information(counts(x, y, (int(x.max()) + 1, int(y.max()) + 1)).astype(float))


def leaning(random, units, rows, spread):
    """A column of two levels whose shares differ between units."""
    lean = np.clip(0.5 + spread * random.normal(size=units), 0.02, 0.98)
    return (random.random((units, rows)) < lean[:, None]).astype(np.int64)


def reassigned(x, y, draws, seed=0):
    """Information where whole units of the target are permuted, and rows within each: both sides say nothing."""
    random = np.random.default_rng(seed)
    return np.array(
        [information(x.ravel(), random.permuted(y[random.permutation(len(y))], axis=1).ravel()) for _ in range(draws)]
    )


@pytest.mark.parametrize("spread", [0.0, 0.1, 0.3])
@pytest.mark.parametrize(("units", "rows"), [(30, 40), (200, 8)])
def test_the_mean_under_the_null_is_that_of_permuted_units_and_rows(units, rows, spread):
    random = np.random.default_rng((units, int(10 * spread)))
    x, y = leaning(random, units, rows, spread), leaning(random, units, rows, spread)
    null = measured(np.repeat(np.arange(units), rows), x.ravel(), y.ravel())
    found = reassigned(x, y, 2_000)
    assert null.expected == pytest.approx(found.mean(), rel=0.2)  # 200 drawn assignments are off by 7 %
    assert null.std == pytest.approx(found.std(), rel=0.35)
    critical = np.quantile(found, 0.9)
    assert (found >= critical).mean() == pytest.approx(0.1, abs=0.01)
    assert null.within + null.between == pytest.approx(information(x.ravel(), y.ravel()) - null.expected, abs=1e-9)


def test_columns_of_units_are_compared_with_permuted_units():
    random = np.random.default_rng(8)
    x = np.repeat(random.integers(0, 3, (40, 1)), 25, axis=1)
    y = leaning(random, 40, 25, 0.25)
    null = measured(np.repeat(np.arange(40), 25), x.ravel(), y.ravel())
    found = reassigned(x, y, 2_000)
    observed = information(x.ravel(), y.ravel())
    assert null.varies_within == 0
    assert np.isnan(null.within_p)
    assert null.p_value == pytest.approx((found >= observed).mean(), abs=0.15)  # 200 drawn assignments
    assert null.design_effect > 3


@pytest.mark.parametrize(("kind", "ordered"), [("row", False), ("unit", False), ("mixed", False), ("drifting", True)])
def test_p_values_of_noise_are_uniform(kind, ordered):
    random = np.random.default_rng(len(kind))
    unit, p_values = np.repeat(np.arange(60), 20), np.zeros(300)
    for draw in range(300):
        y = leaning(random, 60, 20, 0.2)
        if kind == "drifting":
            drifts = series(random, 60), series(random, 60)
            x = np.repeat((drifts[0] > np.median(drifts[0])).astype(np.int64)[:, None], 20, axis=1)
            y = (random.normal(size=(60, 20)) + drifts[1][:, None] > 0).astype(np.int64)
        elif kind == "unit":
            x = np.repeat(random.integers(0, 2, (60, 1)), 20, axis=1)
        else:
            x = leaning(random, 60, 20, 0.2 if kind == "mixed" else 0.0)
        p_values[draw] = measured(unit, x.ravel(), y.ravel(), ordered=ordered).p_value
    assert 0.01 <= (p_values <= 0.05).mean() <= 0.1
    assert (p_values <= 0.5).mean() == pytest.approx(0.5, abs=0.16 if ordered else 0.12)


def series(random, steps):
    """An autoregression whose neighbours correlate by .9."""
    values = random.normal(size=steps + 100)
    for step in range(1, len(values)):
        values[step] = 0.9 * values[step - 1] + np.sqrt(0.19) * values[step]
    return values[100:]


@pytest.mark.parametrize("effect", ["row", "unit"])
def test_what_is_true_is_found(effect):
    random = np.random.default_rng(5)
    unit = np.repeat(np.arange(100), 20)
    x = random.normal(size=(100, 20)) if effect == "row" else np.repeat(random.normal(size=(100, 1)), 20, axis=1)
    y = random.normal(size=(100, 1)) + x + random.normal(size=(100, 20))
    null = measured(unit, (x > 0).astype(np.int64).ravel(), (y > 0).astype(np.int64).ravel())
    assert null.p_value < 0.01
    assert (null.within > null.between) == (effect == "row")


def test_a_level_of_its_own_in_every_unit_says_nothing_of_units():
    unit, random = np.repeat(np.arange(30), 20), np.random.default_rng(6)
    null = measured(unit, unit, random.integers(0, 2, 600))
    assert np.isnan(null.p_value)
    assert np.isnan(null.within_p)
    assert np.isnan(null.between_p)


def test_too_few_rows_of_a_class_have_no_p_value():
    unit, random = np.repeat(np.arange(30), 20), np.random.default_rng(7)
    x = random.integers(0, 2, 30)[unit]  # a column of units, whose test is not that of rows
    y = np.zeros(600, np.int64)
    y[[0, 1, 2, 3, 4, 45, 46, 47, 48]] = 1
    assert np.isnan(measured(unit, x, y).p_value)
    y[random.permutation(600)[:30]] = 1
    assert 0 < measured(unit, x, y).p_value <= 1


@pytest.mark.parametrize("constant", ["level", "class"])
def test_one_value_has_no_p_value(constant):
    unit, other = np.repeat(np.arange(10), 20), np.arange(200) % 2
    one = np.zeros(200, np.int64)
    null = measured(unit, *((one, other) if constant == "level" else (other, one)))
    assert np.isnan(null.p_value)
    assert null.within == null.between == 0


def test_units_without_rows_change_nothing():
    random = np.random.default_rng(9)
    unit, x, y = np.repeat(np.arange(20), 30), random.integers(0, 3, 600), random.integers(0, 2, 600)
    assert measured(2 * unit + 1, x, y) == measured(unit, x, y)
