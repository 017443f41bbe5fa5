"""The variance of mutual information under independence, for all pairs of a block.

``N * MI`` is, margins apart, a sum over cells of ``phi(n_ij) = n_ij log n_ij``.
With both margins fixed a cell is hypergeometric, and its share of phi on the
m-th orthogonal polynomial of that law is

    a_ij = sqrt(v^(m) w^(m) / (N^m m!)) E[D^m phi(X)],  X ~ Hypergeometric(N - 2m, v - m, w - m),

``v^(m)`` falling factorials, D the forward difference. Standardised cells of one
table are correlated as the entries of ``(I - sqrt(p p')) x (I - sqrt(q q'))``,
p and q the shares of the levels, and polynomials of two cells as the m-th power
of that (Lancaster 1958, Annals of Mathematical Statistics 29). So

    Var(N MI) = sum_m a' (P_m x Q_m) a,  P_m and Q_m entry-wise m-th powers,

where m = 1 keeps of the slopes only what is no sum of a row's and a column's.
The expectation is taken over a Poisson and mended to first order for being
narrower; Poisson expectations are interpolated from a table made once. Of many
rows it is ``(R - 1)(C - 1) / 2``. Cost: six interpolations a pair of distinct
margins, three passes over a column's cells.
"""

from __future__ import annotations

from functools import cache
from math import factorial

import numpy as np
from scipy.special import gammaln, xlogy

from featflow.measures.information import xlogx

__all__ = ["information_variances"]

TERMS = 3
"""Polynomials kept; the fourth adds about 1 % where cells hold a few rows, and less elsewhere."""
NODES = 1024
"""Nodes of the table, even in mean / (1 + mean): interpolated to 1e-5."""
NO_VARIANCE = 1e-9
"""Variance of N MI that rounding can leave where the information is one value."""


def information_variances(left: np.ndarray, right: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return the null variance of the mutual information of every left with every right column, in nats squared.

    Parameters
    ----------
    left, right
        Rows of each level, one column's levels after another's, shapes (left levels,) and (right levels,).
    rows, columns
        First level of each column, shapes (left columns,) and (right columns,).

    Returns
    -------
    np.ndarray
        Shape (left columns, right columns), 0 where the information can have one value only.

    Examples
    --------
    >>> many = np.array([40_000, 60_000])
    >>> variance = information_variances(many, many, np.array([0]), np.array([0]))
    >>> float((variance[0, 0] * 100_000**2).round(4))  # one degree of freedom
    0.5
    """
    total = float(right[: columns[1]].sum() if len(columns) > 1 else right.sum())
    w, at_w = np.unique(right.astype(np.float64), return_inverse=True)
    result = np.zeros((len(rows), len(columns)))
    for index, levels in enumerate(np.split(left.astype(np.float64), rows[1:])):
        v, at_v = np.unique(levels, return_inverse=True)
        for m in range(1, TERMS + 1):
            expected = _expected_difference(m, total, v[:, None], w[None, :])[at_v][:, at_w]
            result[index] += _variance_of_term(m, expected, (levels, right.astype(np.float64)), columns, total)
    return np.where(result > NO_VARIANCE, result, 0.0) / total**2


def _variance_of_term(
    m: int, expected: np.ndarray, margins: tuple[np.ndarray, np.ndarray], columns: np.ndarray, total: float
) -> np.ndarray:
    """Return ``a' (P_m x Q_m) a`` of one left column with every right one, shape (right columns,).

    P_m is a diagonal plus the product of one vector with itself, so the form is four weighted sums of ``expected``.
    """
    sign = (-1) ** m
    diagonals, vectors = [], []
    for side in margins:
        share = side / total
        scale = np.prod([np.maximum(side - i, 0.0) / total for i in range(m)], axis=0)
        diagonals.append(((1 - share) ** m - sign * share**m) * scale)
        vectors.append(np.sqrt(share**m * scale))
    (x, y), (x_root, y_root) = diagonals, vectors

    def over_levels(array: np.ndarray) -> np.ndarray:
        return np.asarray(np.add.reduceat(array, columns, axis=-1))

    across = over_levels(expected * y_root)
    down = (x_root[:, None] * expected).sum(axis=0)
    form = over_levels((x[:, None] * expected**2).sum(axis=0) * y)
    form += sign * (x[:, None] * across**2).sum(axis=0) + sign * over_levels(down**2 * y)
    form += (x_root[:, None] * across).sum(axis=0) ** 2
    return np.asarray(form * total**m / factorial(m) * (total / max(total - 1, 1.0)) ** m)


def _expected_difference(m: int, total: float, v: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Return ``E[D^m phi(X)]`` of cells in rows of v and columns of w, less, for m = 1, ``1 + log(v w / N)``."""
    left, right = (np.maximum(side - m, 0.0) / max(total - 2 * m, 1.0) for side in (v, w))
    mean = left * right * max(total - 2 * m, 1.0)
    narrower = mean * np.minimum(left + right - left * right, 1.0)  # the Poisson's variance less the hypergeometric's
    expected = _poisson(m, mean) - narrower / 2 * _poisson(m + 2, mean)
    if m == 1:
        expected += np.log((1 + mean) / np.maximum(v * w / total, 1 / total))
    return np.asarray(expected)


def _poisson(m: int, mean: np.ndarray) -> np.ndarray:
    """Return ``E[D^m phi(Y)]`` for Y Poisson of this mean, less, for m = 1, ``1 + log(1 + mean)``."""
    nodes, values = _poisson_table()
    expected = np.interp(mean / (1 + mean), nodes, values[m - 1])
    return np.asarray(expected if m == 1 else expected / (1 + mean) ** (m - 1))


@cache
def _poisson_table() -> tuple[np.ndarray, list[np.ndarray]]:
    """Return nodes mean / (1 + mean) in [0, 1], and at them ``(1 + mean)^(m - 1) E[D^m phi(Y)]``, which is bounded."""
    nodes = np.arange(NODES) / NODES
    mean = nodes / (1 - nodes)
    k = np.arange(np.ceil(mean[-1] + 12 * np.sqrt(mean[-1]) + 40))
    probability = np.exp(xlogy(k, mean[:, None]) - mean[:, None] - gammaln(k + 1))
    values = []
    for m in range(1, TERMS + 3):
        expected = probability @ np.diff(xlogx(np.arange(len(k) + m)), m)
        if m == 1:
            values.append(np.append(expected - 1 - np.log1p(mean), 0.0))
        else:
            values.append(np.append(expected * (1 + mean) ** (m - 1), (-1) ** m * factorial(m - 2)))
    return np.append(nodes, 1.0), values
