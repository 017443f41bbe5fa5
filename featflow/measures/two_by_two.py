"""The exact test of tables of two levels a side whose rare cell is expected to hold few rows.

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
        result[few] = _tail(value[few], n[few], (minors[0][few], minors[1][few]), statistic)
    return result


def chi_square_of_cell(k: np.ndarray, n: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return chi-square of the table with k rows in its rarest cell."""
    return np.asarray((k - a * b / n) ** 2 * n / (a * (1 - a / n)) / (b * (1 - b / n)))


def information_of_cell(k: np.ndarray, n: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return n times the mutual information of the table with k rows in its rarest cell, in nats."""
    cells = xlogx(k) + xlogx(a - k) + xlogx(b - k) + xlogx(n - a - b + k)
    return np.asarray(cells - xlogx(a) - xlogx(b) - xlogx(n - a) - xlogx(n - b) + xlogx(n))


def _tail(value: np.ndarray, n: np.ndarray, minors: tuple[np.ndarray, np.ndarray], statistic: Statistic) -> np.ndarray:
    a, b = minors
    least = value - 1e-6 - 1e-14 * n  # what rounding may take from a table as extreme as this one
    probability = np.exp(gammaln(n - a + 1) + gammaln(n - b + 1) - gammaln(n + 1) - gammaln(n - a - b + 1))
    tail, whole = np.zeros_like(n), np.zeros_like(n)
    for k in range(int(FEW + 10 * np.sqrt(FEW) + 75)):
        possible = np.minimum(k, np.minimum(a, b))  # beyond, the probability is 0
        tail += np.where(statistic(possible, n, a, b) >= least, probability, 0.0)
        whole += probability
        probability = probability * ((a - k) / (k + 1)) * ((b - k) / (n - a - b + k + 1))
        probability = np.where(k + 1 > np.minimum(a, b), 0.0, probability)
    return np.asarray(np.minimum(tail / whole, 1.0))
