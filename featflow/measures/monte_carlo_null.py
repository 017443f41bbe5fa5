"""Samples the null of tables with few rows outside one class, where the score takes few values and no gamma is close.

All but a few rows of one variable are of one class, and these few seldom meet in one level of the other: the score
depends on how many do. A draw places them among the rows and counts: no row is permuted. Cost: `DRAWN` placements, some
50 ms a table. `scipy.stats.random_table` draws the same tables cell by cell (Patefield 1981): it takes 4 times as long
for 64 to 100 levels, 12 times for 1,000 and 23 times for 5,000.
"""

from __future__ import annotations

import numpy as np

from featflow.measures.information import xlogx

__all__ = ["sampled_null"]

MOST_FEW = 200
"""Rows outside the largest class, at most: of so many `DRAWN` placements make the fewest draws."""
MEETINGS = (0.01, 5.0)
"""Pairs of these rows in one level, in the mean: fewer hardly ever happen, of more the score takes many values."""
DRAWN = 400_000
"""Placements in all draws together: they decide the cost, some 50 ms a table."""
DRAWS = (2_000, 10_000)
"""Fewest and most draws: a p-value of .05 has a standard error of .005 from the fewest."""
SEED = 20260101
"""Fixed, so that the same margins have the same p-value in every run."""
ATTEMPTS = 200
"""Times that draws with a repeated row are drawn again: one in eight at least has none, so none is left."""


def sampled_null(rows: np.ndarray, columns: np.ndarray) -> np.ndarray | None:
    """Return drawn values of the information of tables with these margins, None where a gamma is as good.

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
    minority = total - int(columns.max())
    share = rows / total
    meetings = minority * (minority - 1) / 2 * float(share @ share)
    if not 2 <= minority <= MOST_FEW or not MEETINGS[0] <= meetings <= MEETINGS[1] or minority**2 > 4 * total:
        return None
    draws = int(np.clip(DRAWN // minority, *DRAWS))
    level = np.searchsorted(np.cumsum(rows), _draw_rows(draws, minority, total), side="right")
    minor_classes = np.sort(columns)[:-1]
    cell = level * len(minor_classes) + np.repeat(np.arange(len(minor_classes)), minor_classes)
    occupied_cells, cell_counts = _counts_by_draw(cell, len(rows) * len(minor_classes))
    occupied_levels, level_counts = _counts_by_draw(level, len(rows))
    remaining = rows[occupied_levels % len(rows)] - level_counts
    gain = np.bincount(occupied_cells // (len(rows) * len(minor_classes)), xlogx(cell_counts), draws)
    loss = np.bincount(occupied_levels // len(rows), xlogx(remaining) - xlogx(rows[occupied_levels % len(rows)]), draws)
    return np.asarray((gain + loss - xlogx(columns).sum() + xlogx(total)) / total)


def _draw_rows(draws: int, minority: int, total: int) -> np.ndarray:
    """Return the rows of every draw, shape (draws, minority): a draw is repeated until its rows are distinct."""
    random = np.random.default_rng(SEED)
    rows = random.integers(0, total, (draws, minority))
    for _ in range(ATTEMPTS):
        repeated = (np.diff(np.sort(rows, axis=1), axis=1) == 0).any(axis=1)
        if not repeated.any():
            break
        rows[repeated] = random.integers(0, total, (int(repeated.sum()), minority))
    return rows


def _counts_by_draw(codes: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the codes that occur in each draw, draw by draw, and how often."""
    return np.unique(codes + width * np.arange(len(codes))[:, None], return_counts=True)
