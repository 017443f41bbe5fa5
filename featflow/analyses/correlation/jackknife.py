"""Jackknife error bars of the strongest correlations.

Pearson's and Spearman's are taken on the scale of Fisher's z, where their error
hardly depends on their value, and turned back. Source: `featflow.measures.jackknife`.
"""

from __future__ import annotations

import numpy as np

from featflow.columns.values import divisor
from featflow.measures.effective_rows import whole_rows
from featflow.measures.information import expected_mutual_information, mutual_information, mutual_informations
from featflow.measures.jackknife import ErrorBars, error_bars
from featflow.summaries import CoMoments

__all__ = ["bergsma", "cramers_v_errors", "information_errors", "moment_errors"]

NEAR_ONE = 1 - 1e-12
"""Correlation at which values are cut off, as Fisher's z is infinite at 1."""


@np.errstate(all="ignore")  # what overflows becomes null
def moment_errors(state: CoMoments, confidence: float) -> ErrorBars:
    """Return the error bars of every pair's correlation, shape (pairs,), from moments of shape (groups, pairs)."""
    state = state.full()
    total = state.total.astype(np.float64)
    rows = total.sum(axis=0)
    x, y = (total * state.left_mean, total * state.right_mean)
    xx, yy = state.left_m2 + x * state.left_mean, state.right_m2 + y * state.right_mean
    xy = state.c + x * state.right_mean
    # Sums are centred on the means of all groups first: else a large mean costs the digits of the differences below.
    mean_x, mean_y = x.sum(axis=0) / divisor(rows), y.sum(axis=0) / divisor(rows)
    xy = xy - x * mean_y - y * mean_x + total * mean_x * mean_y
    xx, yy = xx - 2 * x * mean_x + total * mean_x**2, yy - 2 * y * mean_y + total * mean_y**2
    x, y = x - total * mean_x, y - total * mean_y

    def z(x: np.ndarray, y: np.ndarray, xx: np.ndarray, yy: np.ndarray, xy: np.ndarray, n: np.ndarray) -> np.ndarray:
        n = divisor(n)
        r = (xy - x * y / n) / np.sqrt((xx - x * x / n) * (yy - y * y / n))
        return np.asarray(np.arctanh(np.clip(r, -NEAR_ONE, NEAR_ONE)))

    sums = (x, y, xx, yy, xy, total)
    whole = z(*(part.sum(axis=0) for part in sums))
    deleted = z(*(part.sum(axis=0) - part for part in sums))
    columns = [error_bars(whole[pair], deleted[:, pair], total[:, pair], confidence) for pair in range(total.shape[1])]
    error, low, high = (
        np.array([float(getattr(bars, name)) for bars in columns]) for name in ("standard_error", "low", "high")
    )
    value = np.tanh(whole)
    return ErrorBars((1 - value**2) * error, np.tanh(low), np.tanh(high), max((b.degrees for b in columns), default=0))


def information_errors(table: np.ndarray, scale: float, confidence: float) -> ErrorBars:
    """Return the error bars of a pair's information less its mean under independence.

    Parameters
    ----------
    table
        Counts, shape (groups, left levels, right levels).
    scale
        Rows of equal weight that a unit of weight is worth.
    """
    whole, rows = table.sum(axis=0), table.sum(axis=(1, 2))
    margins = whole_rows(whole.sum(axis=1), scale)
    expected = expected_mutual_information(margins, whole_rows(whole.sum(axis=0), scale, int(margins.sum())))
    left = np.maximum(rows.sum() - rows, 1e-300)
    # The mean under independence falls as 1 / rows, so it is scaled to the rows that are left and not computed anew.
    deleted = mutual_informations(whole - table) - expected * rows.sum() / left
    return error_bars(np.array(mutual_information(whole) - expected), deleted, rows, confidence)


def cramers_v_errors(table: np.ndarray, scale: float, confidence: float) -> ErrorBars:
    """Return the error bars of a pair's bias-corrected Cramer's V; parameters as in `information_errors`."""
    both = table[:, 1:, 1:]
    whole, rows = both.sum(axis=0), both.sum(axis=(1, 2))
    square, deleted = bergsma(whole * scale), bergsma((whole - both) * scale)
    bars = error_bars(square, deleted, rows, confidence)  # of V squared, which is not cut off at 0
    low, high = (np.sqrt(np.clip(end, 0.0, 1.0)) for end in (bars.low, bars.high))
    error = bars.standard_error / (2 * np.sqrt(square)) if square > 0 else np.array(np.nan)
    return ErrorBars(error, low, high, bars.degrees)


@np.errstate(divide="ignore", invalid="ignore")
def bergsma(table: np.ndarray) -> np.ndarray:
    """Return the bias-corrected square of Cramer's V (Bergsma 2013), below 0 for less than chance; NaN of one level.

    Parameters
    ----------
    table
        Counts or sums of weights, shape (..., left levels, right levels).

    Examples
    --------
    >>> float(bergsma(np.array([[50.0, 0.0], [0.0, 50.0]])).round(6))
    1.0
    """
    left, right = table.sum(axis=-1), table.sum(axis=-2)
    n = left.sum(axis=-1)
    expected = left[..., :, None] * right[..., None, :]
    phi2 = np.where(expected > 0, table**2 / expected, 0.0).sum(axis=(-2, -1)) - 1.0
    rows, columns = (np.count_nonzero(side > 0, axis=-1) for side in (left, right))
    bias = (rows - 1) * (columns - 1) / (n - 1)
    smaller = np.minimum(rows - (rows - 1) ** 2 / (n - 1), columns - (columns - 1) ** 2 / (n - 1)) - 1
    known = (np.minimum(rows, columns) > 1) & (n > 1) & (smaller > 0)
    return np.where(known, np.minimum((phi2 - bias) / smaller, 1.0), np.nan)
