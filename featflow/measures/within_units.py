"""The null of association within units: generalised Mantel-Haenszel, one chi-square with its exact mean and variance.

Under permutations of the target within units, the table less what margins predict has mean 0 and a covariance that is
a sum over units (Landis, Heyman & Koch 1978, International Statistical Review 46).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from featflow.measures.multiple_testing import gamma_tail

__all__ = ["FEWEST_ROWS", "NONE", "NullPart", "exact_product", "within_units"]

Floats = NDArray[np.float64]

BITS = 18
"""Bits that factors of a product are rounded to: sums of up to 2^17 products are then exact, in any order."""
PROBES = 64
"""Random matrices from which the variance within units is estimated where cells are more: off by less than 3 %."""
FEWEST_ROWS = 10
"""Rows beyond the most frequent level, and class, below which moments do not describe the null: there is no p-value."""
NONE = 1e-9
"""Share of a mean or a variance below which there is none but for rounding."""


@dataclass(frozen=True)
class NullPart:
    """A statistic, and its mean and variance under its null."""

    observed: float
    mean: float
    variance: float

    @property
    def p_value(self) -> float:
        """P(statistic >= observed) by a gamma; NaN where the null has one value."""
        if self.mean <= 0 or self.variance <= NONE * self.mean**2:
            return float("nan")
        return float(gamma_tail(np.array(self.observed), np.array(self.mean), np.array(self.variance)))


def within_units(table: Floats, predicted: Floats, x: Floats, y: Floats) -> NullPart:
    """Return chi-square of what units' margins do not predict, and its moments over permutations within units.

    Parameters
    ----------
    table, predicted
        Counts, and what the margins of units predict, shape (levels, classes).
    x, y
        Rows of each level and class in every unit, shapes (units, levels) and (units, classes).

    Examples
    --------
    >>> x, y = np.array([[5.0, 5.0], [5.0, 5.0]]), np.array([[5.0, 5.0], [5.0, 5.0]])
    >>> part = within_units(np.array([[8.0, 2.0], [2.0, 8.0]]), np.full((2, 2), 5.0), x, y)
    >>> part.observed, round(part.mean, 2), round(part.p_value, 3)
    (7.2, 1.11, 0.011)
    """
    n, rows = float(table.sum()), x.sum(axis=1)
    level_shares, class_shares = x.sum(axis=0) / n, y.sum(axis=0) / n
    degrees = (len(level_shares) - 1) * (len(class_shares) - 1) * n / (n - 1)
    x, y, rows = x[rows > 1], y[rows > 1], rows[rows > 1]
    left, right = x / level_shares, y / class_shares
    left_root, right_root = x / np.sqrt(level_shares), y / np.sqrt(class_shares)
    spread = left.sum(axis=1) - (left_root**2).sum(axis=1) / rows
    spread *= right.sum(axis=1) - (right_root**2).sum(axis=1) / rows
    weight = 1 / ((rows - 1) * n)
    mean = float((weight * spread).sum())
    if mean <= NONE * degrees:
        return NullPart(0.0, 0.0, 0.0)
    independent = n * np.outer(level_shares, class_shares)
    observed = float(((table - predicted) ** 2 / independent).sum())
    # Covariance times a matrix Z is a sum over units of w (D_x - r_x r_x'/n) Z (D_y - r_y r_y'/n), D diagonal.
    probes, weighted = _probes(len(level_shares), len(class_shares)), weight[:, None]
    both, total = exact_product((left * weighted).T, right), 0.0
    for z in probes:
        by_class, by_level = exact_product(left_root, z), exact_product(right_root, z.T)
        inner = (by_class * right_root).sum(axis=1)[:, None] / rows[:, None]
        image = both * z
        image -= exact_product((left_root * weighted).T, by_class * right / rows[:, None])
        image -= exact_product((left * by_level * weighted).T, right_root / rows[:, None])
        image += exact_product((left_root * weighted).T, inner * right_root / rows[:, None])
        total += float((image**2).sum())
    if len(probes) < table.size:
        total /= len(probes)
    return NullPart(observed, mean, 2 * total + mean / degrees * _sparseness(n, level_shares, class_shares))


def _sparseness(n: float, level_shares: Floats, class_shares: Floats) -> float:
    """Return what small expected counts add to the variance of chi-square (Haldane 1940; Dawson 1954)."""
    sums = [((1 / s).sum() - len(s) ** 2) / n for s in (level_shares, class_shares)]
    return float(n * max(sums[0], 0.0) * max(sums[1], 0.0))


def exact_product(left: Floats, right: Floats, most_right: float | None = None) -> Floats:
    """Return a matrix product of factors rounded to `BITS`: no thread or block of others changes its last bit."""
    return np.asarray(_rounded(left, None) @ _rounded(right, most_right))


def _rounded(values: Floats, most: float | None) -> Floats:
    largest = float(np.abs(values).max()) if most is None else most
    unit = 2.0 ** (np.frexp(largest)[1] - BITS)
    return np.asarray(np.rint(values / unit) * unit)


@lru_cache(maxsize=32)
def _probes(levels: int, classes: int) -> Floats:
    """Return all unit matrices, or random signs where they would be more than `PROBES`, shape (probes, l, c)."""
    if levels * classes <= PROBES:
        return np.eye(levels * classes).reshape(-1, levels, classes)
    random = np.random.Generator(np.random.PCG64(levels * classes))
    count = max(8, min(PROBES, 2**13 // (levels * classes)))
    return np.asarray(random.integers(0, 2, (count, levels, classes)) * 2.0 - 1.0)
