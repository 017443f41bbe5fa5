"""Exact test of tables of two levels a side whose rare cell is expected to hold few rows.

With both margins fixed such a table is one number, the rows k of its rarest cell,
which is hypergeometric; the p-value is the probability of all k whose statistic is
at least the table's. Where k has a handful of values no gamma is close. Cost: a
sum of at most 150 terms for each such pair.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import gammaln

from featflow.measures.information import xlogx

__all__ = ["chi_square_of_cell", "exact_where_few", "information_of_cell", "minor_level"]

FEW = 25.0
"""Expected rows of the rarest cell from which the gamma is used: a nominal .05 is .04 to .07 there, .001 as named."""

MOST = int(FEW + 10 * np.sqrt(FEW) + 75)
"""Rows of the rarest cell that a sum runs over: ten standard deviations and 75 rows above the largest mean."""

Statistic = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""Of a table: from the rows of its rarest cell, all rows, and the rows of the rarer level on either side."""


def minor_level(margins: np.ndarray, starts: np.ndarray, axis: int) -> np.ndarray:
    """Return the rows of the rarer of a column's two levels, NaN where it has not two.

    Examples
    --------
    >>> minor_level(np.array([0.0, 7.0, 3.0, 5.0, 5.0, 1.0]), np.array([0, 3]), 0).tolist()
    [3.0, nan]
    """
    rarest = np.minimum.reduceat(np.where(margins > 0, margins, np.inf), starts, axis=axis)
    levels = np.add.reduceat((margins > 0).astype(np.int64), starts, axis=axis)
    return np.where(levels == 2, rarest, np.nan)


def exact_where_few(
    p_value: np.ndarray, value: np.ndarray, n: np.ndarray, minors: tuple[np.ndarray, np.ndarray], statistic: Statistic
) -> np.ndarray:
    """Return the p-values, exact ones in place of those of tables of two levels a side with a rare cell.

    Parameters
    ----------
    value
        The statistic, shape of ``p_value``.
    n
        Rows of each table.
    minors
        Rows of the rarer level on either side, NaN where there are not two levels.

    Examples
    --------
    >>> two = np.array([5.0]), np.array([5.0])
    >>> exact_where_few(np.array([0.5]), np.array([10.0]), np.array([10.0]), two, chi_square_of_cell).round(6).tolist()
    [0.007937]
    """
    with np.errstate(invalid="ignore"):
        few = ~np.isnan(p_value) & (minors[0] * minors[1] < FEW * n)
    result = p_value.copy()
    if few.any():
        result[few] = _exact_tail(value[few], n[few], (minors[0][few], minors[1][few]), statistic)
    return result


def chi_square_of_cell(k: np.ndarray, n: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return chi-square of the table with k rows in its rarest cell."""
    return np.asarray((k - a * b / n) ** 2 * n / (a * (1 - a / n)) / (b * (1 - b / n)))


def information_of_cell(k: np.ndarray, n: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return n times the mutual information of the table with k rows in its rarest cell, in nats."""
    k, n, a, b = (x.astype(np.int64) for x in (k, n, a, b))  # whole numbers, whose logarithms are known
    cells = xlogx(k) + xlogx(a - k) + xlogx(b - k) + xlogx(n - a - b + k)
    return np.asarray(cells - xlogx(a) - xlogx(b) - xlogx(n - a) - xlogx(n - b) + xlogx(n))


def _exact_tail(
    value: np.ndarray, n: np.ndarray, minors: tuple[np.ndarray, np.ndarray], statistic: Statistic
) -> np.ndarray:
    a, b = minors
    low, high = _tail_bounds(value, n, minors, statistic)
    probability = np.exp(gammaln(n - a + 1) + gammaln(n - b + 1) - gammaln(n + 1) - gammaln(n - a - b + 1))
    tail, norm = np.zeros_like(n), np.zeros_like(n)
    for k in range(MOST):
        tail += np.where((low >= k) | (high <= k), probability, 0.0)
        norm += probability
        probability = probability * ((a - k) / (k + 1)) * ((b - k) / (n - a - b + k + 1))
        probability = np.where(k + 1 > np.minimum(a, b), 0.0, probability)
    return np.asarray(np.minimum(tail / norm, 1.0))


def _tail_bounds(
    value: np.ndarray, n: np.ndarray, minors: tuple[np.ndarray, np.ndarray], statistic: Statistic
) -> tuple[np.ndarray, np.ndarray]:
    """Return up to and from which k the statistic is at least ``value``: it grows away from the mean, to both sides."""
    a, b = minors
    threshold = value - 1e-6 - 1e-14 * n  # what rounding may take from a table as extreme as this one
    first_above = np.ceil(a * b / n)
    low, too_high = np.full_like(n, -1.0), first_above
    too_low, high = first_above - 1.0, np.full_like(n, float(MOST))
    for _ in range(int(MOST).bit_length()):
        k = np.floor((low + too_high) / 2)
        beyond = statistic(np.maximum(k, 0.0), n, a, b) >= threshold
        low, too_high = np.where(beyond, np.maximum(k, low), low), np.where(beyond, too_high, k)
        k = np.ceil((too_low + high) / 2)
        beyond = statistic(np.minimum(k, np.minimum(a, b)), n, a, b) >= threshold  # more than these have probability 0
        high, too_low = np.where(beyond, k, high), np.where(beyond, too_low, k)
    return low, high
