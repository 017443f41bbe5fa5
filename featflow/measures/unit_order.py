"""Tells columns that say which unit a row is of: a date, its month or day, a counter of rows, a user's name."""

from __future__ import annotations

import numpy as np

__all__ = ["follows_units"]

CONSTANT_FROM = 0.95
"""Share of rows in their unit's most frequent level from which the unit has one level: stretches of a counter may end
within a unit."""
FORETOLD_FROM = 0.9
"""Share of changes that the level before foretells, from which a column is of the calendar: of days of a month 94 %."""
LEAST_REGULAR = 0.35
"""Spread of the lengths of stretches, relative to their mean, up to which they are as regular as months and weekdays;
stretches of chance have about 1."""
TELLS_FROM = 0.9
"""Levels a unit from which they tell units apart that have no order."""
ROUNDS = 3
"""Times that the units outnumber the levels of a column that goes round: with fewer nothing has been seen twice."""


def follows_units(levels: np.ndarray, *, ordered: bool) -> bool:
    """Return whether a column says which unit a row is of.

    Parameters
    ----------
    levels
        Rows of every level in every unit, shape (units, levels), both in their order.
    ordered
        Whether units follow one another: then columns follow them that only rise or fall, that hold each level for one
        stretch, or that go round regularly, as weekdays do.

    Examples
    --------
    >>> days = np.arange(60)
    >>> weekdays, coins = np.eye(7)[days % 7], np.eye(2)[np.random.default_rng(0).integers(0, 2, 60)]
    >>> follows_units(weekdays, ordered=True), follows_units(coins, ordered=True)
    (True, False)
    """
    levels = levels[levels.any(axis=1)]
    most = levels.argmax(axis=1)
    found = len(np.unique(most))
    if found < 2 or levels.max(axis=1).sum() < CONSTANT_FROM * levels.sum():
        return False
    if not ordered:
        return found >= TELLS_FROM * len(most)
    steps = np.diff(most)
    if (steps >= 0).all() or (steps <= 0).all():
        return len(most) > ROUNDS
    return len(most) >= ROUNDS * found and (int(np.count_nonzero(steps)) < found or _goes_round(most, steps))


def _goes_round(most: np.ndarray, steps: np.ndarray) -> bool:
    """Whether levels come in a fixed order, each for about as many units."""
    starts = np.flatnonzero(np.concatenate([[True], steps != 0]))
    stretches, lengths = most[starts], np.diff(starts)[1:]  # the first stretch, and the last, may be cut
    if len(lengths) < 2 or lengths.std() > LEAST_REGULAR * lengths.mean():
        return False
    successions = np.zeros((most.max() + 1, most.max() + 1), np.int64)
    np.add.at(successions, (stretches[:-1], stretches[1:]), 1)
    return bool(successions.max(axis=1).sum() >= FORETOLD_FROM * (len(stretches) - 1))
