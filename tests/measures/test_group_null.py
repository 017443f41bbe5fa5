"""Groups of units: rates of noise, and the design effect of Kish (1965), 1 + (rows a unit - 1) times correlation."""

from __future__ import annotations

import numpy as np
import pytest

from featflow.measures.group_null import FEWEST_GROUPS, group_null

GROUPS = 32


def drawn(random, units, rows, between):
    """Two columns of two levels, each with so much of its variance between units, as tables by group."""
    unit = np.repeat(np.arange(units), rows)
    group = random.integers(0, GROUPS, units)[unit]
    x, y = (
        (np.sqrt(b) * random.normal(size=units)[unit] + np.sqrt(1 - b) * random.normal(size=len(unit)) > 0).astype(int)
        for b in between
    )
    return np.bincount((group * 2 + x) * 2 + y, minlength=GROUPS * 4).reshape(GROUPS, 2, 1, 2)


def tetrachoric(share):
    """Correlation of two signs of normals that correlate by ``share``."""
    return 2 / np.pi * np.arcsin(share)


@pytest.mark.parametrize("between", [(0.0, 0.0), (0.0, 0.5), (1.0, 0.1), (1.0, 0.5), (0.5, 0.5)])
def test_rates_of_noise_and_the_design_effect(between):
    random = np.random.default_rng(int(10 * sum(between)))
    nulls = [group_null(drawn(random, 2_000, 10, between)) for _ in range(300)]
    rate = np.mean([null.p_value <= 0.05 for null in nulls])
    kish = 1 + 9 * tetrachoric(between[0]) * tetrachoric(between[1])
    assert 0.01 <= rate <= 0.1
    assert np.mean([null.design_effect for null in nulls]) == pytest.approx(kish, rel=0.1)  # 4 standard errors


def test_an_association_is_found_and_is_no_design_effect():
    random = np.random.default_rng(1)
    tables = drawn(random, 2_000, 10, (0.0, 0.0)).astype(np.float64)
    tables[:, 0, 0, 0] += 25
    tables[:, 1, 0, 1] += 25
    null = group_null(tables)
    assert null.p_value < 1e-3
    assert null.design_effect < 3


def test_too_few_groups_have_no_p_value():
    tables = np.random.default_rng(2).multinomial(100, np.full(4, 0.25), GROUPS).reshape(GROUPS, 2, 1, 2)
    tables[FEWEST_GROUPS - 1 :] = 0
    assert np.isnan(group_null(tables).p_value)


@pytest.mark.parametrize("axis", [1, 3])
def test_one_level_or_class_has_no_p_value(axis):
    tables = np.random.default_rng(3).multinomial(100, np.full(4, 0.25), GROUPS).reshape(GROUPS, 2, 1, 2)
    null = group_null(tables.sum(axis=axis, keepdims=True))
    assert np.isnan(null.p_value)
    assert null.degrees == 0


def test_what_groups_alone_differ_in_is_no_association():
    """Both sides lean by group, and say nothing of one another within any."""
    random, lean = np.random.default_rng(5), np.linspace(0.2, 0.8, GROUPS)
    sides = np.stack([1 - lean, lean], axis=1)
    shares = (sides[:, :, None] * sides[:, None, :]).reshape(GROUPS, 4)
    nulls = [group_null(random.multinomial(1_000, shares).reshape(GROUPS, 2, 1, 2)) for _ in range(200)]
    assert np.mean([null.p_value <= 0.05 for null in nulls]) <= 0.1
    assert np.mean([null.design_effect for null in nulls]) < 1.1


def test_rows_of_half_the_weight_are_half_as_many():
    tables = drawn(np.random.default_rng(4), 500, 4, (0.0, 0.0))
    doubled, same = group_null(2.0 * tables, 0.5), group_null(tables)
    assert doubled.p_value == pytest.approx(same.p_value, rel=1e-12)
    assert doubled.design_effect == pytest.approx(same.design_effect, rel=1e-12)


def test_strata_without_rows_change_nothing():
    """Of levels of strata that never meet, or of a missing stratum, there is nothing to count."""
    tables = np.random.default_rng(5).multinomial(200, np.full(12, 1 / 12), GROUPS).reshape(GROUPS, 3, 2, 2)
    empty = np.zeros((GROUPS, 3, 5, 2), tables.dtype)
    found, expected = group_null(np.concatenate([empty, tables], axis=2)), group_null(tables)
    assert found.degrees == expected.degrees == 4
    assert found.p_value == pytest.approx(expected.p_value, rel=1e-12)
    assert found.design_effect == pytest.approx(expected.design_effect, rel=1e-12)
    constant = np.concatenate([empty, tables], axis=2).sum(axis=1, keepdims=True)
    assert group_null(constant).degrees == 0
