"""Jackknife error bars of the strongest correlations.

Pearson's and Spearman's are taken on the scale of Fisher's z, where their error
hardly depends on their value, and turned back. Their bias is small beside their error, so the interval is around the
value itself; that of information is not, where rows depend on one another, so it is around the jackknife's estimate.
Source: `featflow.measures.jackknife`.
"""

from __future__ import annotations

import numpy as np

from featflow.columns.values import divisor
from featflow.measures.effective_rows import whole_rows
from featflow.measures.information import expected_mutual_information, mutual_informations
from featflow.measures.jackknife import ErrorBars, clipped, entropy_limit, error_bars
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
    error, half_width = (
        np.array([(float(b.standard_error), float(b.high - b.low) / 2) for b in columns]).reshape(-1, 2).T
    )
    value, degrees = np.tanh(whole), max((bars.degrees for bars in columns), default=0)
    low, high = np.tanh(whole - half_width), np.tanh(whole + half_width)
    return ErrorBars((1 - value**2) * error, low, high, degrees, value)


def information_errors(table: np.ndarray, scale: float, confidence: float) -> ErrorBars:
    """Return estimate and error bars of a pair's information, without what chance makes of it.

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
    tables = np.concatenate([whole[None], whole - table])
    # The mean under independence falls as 1 / rows, so it is scaled to the rows that are left and not computed anew.
    corrected = mutual_informations(tables) - expected * rows.sum() / np.concatenate([[rows.sum()], left])
    # A column of one level says nothing, exactly: sums in another order would leave 1e-15.
    varies = np.minimum(*(np.count_nonzero(tables.sum(axis=axis), axis=1) for axis in (1, 2))) > 1
    corrected = np.where(varies, corrected, 0.0)
    bars = error_bars(corrected[0], corrected[1:], rows, confidence)
    most = min(entropy_limit(table.sum(axis=axis), confidence) for axis in (1, 2))
    # Nothing scores less than rows that say nothing; leaving out groups that are levels themselves would seem to.
    estimate = np.maximum(bars.estimate, -expected)
    low, high = clipped(bars.low, bars.high, estimate, most)
    return ErrorBars(bars.standard_error, low, high, bars.degrees, estimate)


def cramers_v_errors(table: np.ndarray, scale: float, confidence: float) -> ErrorBars:
    """Return the error bars of a pair's bias-corrected Cramer's V; parameters as in `information_errors`."""
    both = table[:, 1:, 1:]
    whole, rows = both.sum(axis=0), both.sum(axis=(1, 2))
    square, deleted = bergsma(whole * scale), bergsma((whole - both) * scale)
    bars = error_bars(square, deleted, rows, confidence)  # of V squared, which is not cut off at 0
    value = np.sqrt(np.maximum(square, 0.0))
    low, high = (np.sqrt(end) for end in clipped(bars.low, bars.high, value**2, 1.0))
    error = bars.standard_error / (2 * value) if square > 0 else np.array(np.nan)
    return ErrorBars(error, np.minimum(low, value), np.maximum(high, value), bars.degrees, value)


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
