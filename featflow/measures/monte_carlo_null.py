"""The null of few rows among many, by drawing tables: where the score takes few values, a gamma is no good.

All but a few rows of one variable are of one class, and these few seldom meet in one level of the other: the score
hangs on how many do. A draw places them among the rows and counts: no row is permuted. Cost: `DRAWN` placements, some
50 ms a table. `scipy.stats.random_table` draws the same tables cell by cell (Patefield 1981): it takes 4 times as long
for 64 to 100 levels, 12 times for 1,000 and 23 times for 5,000.
"""

from __future__ import annotations

import numpy as np

from featflow.measures.information import xlogx

__all__ = ["sampled_null"]

MOST_FEW = 200
"""Rows outside the largest class, at most."""
MEETINGS = (0.01, 5.0)
"""Pairs of these rows in one level, in the mean: fewer hardly ever happen, of more the score takes many values."""
DRAWN = 400_000
"""Placements in all draws together."""
DRAWS = (2_000, 10_000)
"""Fewest and most draws."""
SEED = 20260101
ATTEMPTS = 200


def sampled_null(rows: np.ndarray, columns: np.ndarray) -> np.ndarray | None:
    """Return drawn values of the information of tables with these margins, None where a draw is no better than a gamma.

    Parameters
    ----------
    rows, columns
        Margins above 0, shapes (levels,) and (classes,); the same margins give the same draws.

    Examples
    --------
    >>> drawn = sampled_null(np.full(1_000, 1_000), np.array([999_980, 20]))
    >>> round(float((drawn > drawn.min() + 1e-9).mean()), 1)  # 20 rows of a million meet in a level
    0.2
    """
    if columns.max() < rows.max():
        rows, columns = columns, rows  # the fewest rows are outside the largest of all margins
    total = int(rows.sum())
    few = total - int(columns.max())
    share = rows / total
    meetings = few * (few - 1) / 2 * float(share @ share)
    if not 2 <= few <= MOST_FEW or not MEETINGS[0] <= meetings <= MEETINGS[1] or few**2 > 4 * total:
        return None
    draws = int(np.clip(DRAWN // few, *DRAWS))
    level = np.searchsorted(np.cumsum(rows), _placed(draws, few, total), side="right")
    others = np.sort(columns)[:-1]
    cell = level * len(others) + np.repeat(np.arange(len(others)), others)
    of_cell, taken = _counts(cell, len(rows) * len(others))
    of_level, left = _counts(level, len(rows))
    remaining = rows[of_level % len(rows)] - left
    gained = np.bincount(of_cell // (len(rows) * len(others)), xlogx(taken), draws)
    lost = np.bincount(of_level // len(rows), xlogx(remaining) - xlogx(rows[of_level % len(rows)]), draws)
    return np.asarray((gained + lost - xlogx(columns).sum() + xlogx(total)) / total)


def _placed(draws: int, few: int, total: int) -> np.ndarray:
    """Return distinct rows of every draw, shape (draws, few): drawn again until no two are one."""
    random = np.random.default_rng(SEED)
    placed = random.integers(0, total, (draws, few))
    for _ in range(ATTEMPTS):
        twice = (np.diff(np.sort(placed, axis=1), axis=1) == 0).any(axis=1)
        if not twice.any():
            break
        placed[twice] = random.integers(0, total, (int(twice.sum()), few))
    return placed


def _counts(codes: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the codes that occur in each draw, draw by draw, and how often."""
    return np.unique(codes + width * np.arange(len(codes))[:, None], return_counts=True)
