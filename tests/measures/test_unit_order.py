"""Columns that say which unit a row is of, on the calendar itself, and columns that do not."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest

from featflow.measures.unit_order import follows_units

DAYS = [date(2021, 1, 1) + timedelta(days=day) for day in range(4 * 365 + 1)]
CALENDAR = {
    "weekday": [day.weekday() for day in DAYS],
    "day of month": [day.day - 1 for day in DAYS],
    "month": [day.month - 1 for day in DAYS],
    "year": [day.year - 2021 for day in DAYS],
    "weekend": [int(day.weekday() > 4) for day in DAYS],
    "counter": [place // 23 for place in range(len(DAYS))],
    "falling counter": [63 - place // 23 for place in range(len(DAYS))],
}
UNITS = len(DAYS)


def by_unit(levels, rows=20):
    """Rows of every level in every unit, where units have one level each."""
    levels = np.asarray(levels)
    table = np.zeros((len(levels), int(levels.max()) + 1), np.int64)
    table[np.arange(len(levels)), levels] = rows
    return table


@pytest.mark.parametrize("name", sorted(set(CALENDAR) - {"weekend"}))
def test_the_calendar_follows_days(name):
    assert follows_units(by_unit(CALENDAR[name]), ordered=True)


@pytest.mark.parametrize("name", ["weekday", "month", "year"])
def test_the_calendar_does_not_tell_users_apart(name):
    assert not follows_units(by_unit(CALENDAR[name]), ordered=False)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("levels", [2, 7, 30])
def test_what_is_drawn_by_day_does_not_follow_days(levels, seed):
    random = np.random.default_rng((levels, seed))
    assert not follows_units(by_unit(random.integers(0, levels, UNITS)), ordered=True)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("levels", [2, 8, 64])
@pytest.mark.parametrize("units", [60, 365])
def test_a_series_does_not_follow_days(levels, seed, units):
    random = np.random.default_rng((levels, seed))
    values = random.normal(size=units)
    for day in range(1, units):
        values[day] = 0.9 * values[day - 1] + np.sqrt(0.19) * values[day]
    ranks = np.argsort(np.argsort(values))
    assert not follows_units(by_unit(ranks * levels // units), ordered=True)


def test_one_random_number_a_day_does_not_follow_days():
    order = np.random.default_rng(1).permutation(365)
    assert not follows_units(by_unit(order), ordered=True)
    assert follows_units(by_unit(order), ordered=False)  # but it tells users apart


@pytest.mark.parametrize("ordered", [False, True])
def test_what_varies_within_units_does_not_follow_them(ordered):
    assert not follows_units(np.full((50, 7), 3), ordered=ordered)
    assert not follows_units(np.full((50, 1), 3), ordered=ordered)


def test_a_counter_of_rows_may_go_on_within_a_day():
    row = np.arange(365 * 40)
    day, level = row // 40, row // 1_300
    table = np.bincount(day * 12 + level, minlength=365 * 12).reshape(365, 12)
    assert (np.count_nonzero(table, axis=1) > 1).any()
    assert follows_units(table, ordered=True)


def test_a_name_of_every_user_follows_users():
    assert follows_units(by_unit(np.random.default_rng(2).permutation(200)), ordered=False)
    assert not follows_units(by_unit(np.random.default_rng(2).integers(0, 100, 200)), ordered=False)
