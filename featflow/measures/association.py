"""Error bars and p-values of measures of association.

Sources: Fisher (1915, Biometrika 10; 1921, Metron 1) for the interval of a
correlation, Bonett & Wright (2000, Psychometrika 65) for its variance on ranks;
Haldane (1940, Biometrika 31) and Lewis, Saunders & Westcott (1984, Biometrika
71) for the moments of chi-square when both margins are fixed, written here as
the moments of a sum over permutations (Kazi-Aoual et al. 1995, Computational
Statistics & Data Analysis 20). Every function takes arrays with one entry a pair.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from featflow.measures.multiple_testing import gamma_tail

__all__ = [
    "Margins",
    "bonett_wright_error",
    "chi_square_moments",
    "chi_square_tail",
    "correlation_ratio_tail",
    "correlation_tail",
    "fisher_end",
    "fisher_error",
    "moment_tail",
    "rank_correlation_bound",
]

UNDERFLOWS = -746.0
"""Logarithm below which a float64 is 0: the smallest one, 2^-1074, is exp(-744.4)."""
NO_VARIANCE = 1e-9
"""Variance of a null, relative to the square of its mean, that rounding can leave where there is one value."""


# --- correlation ----------------------------------------------------------------------------------------------------


@np.errstate(divide="ignore", invalid="ignore")
def fisher_error(n: np.ndarray) -> np.ndarray:
    """Return the standard error of Fisher's z of Pearson's correlation, NaN of three rows or fewer.

    Examples
    --------
    >>> fisher_error(np.array([3.0, 28.0])).tolist()
    [nan, 0.2]
    """
    return np.where(n > 3, 1 / np.sqrt(n - 3.0), np.nan)


def bonett_wright_error(value: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Return the standard error of Fisher's z of a rank correlation: its square is ``(1 + value^2 / 2) / (n - 3)``."""
    return np.asarray(np.sqrt(1 + value**2 / 2) * fisher_error(n))


@np.errstate(divide="ignore", invalid="ignore")
def fisher_end(value: np.ndarray, error: np.ndarray, confidence: float, side: int) -> np.ndarray:
    """Return an end of the confidence interval of a correlation.

    Parameters
    ----------
    error
        Standard error of its z.
    side
        -1 for the lower end, 1 for the upper.

    Examples
    --------
    >>> float(fisher_end(np.array(0.5), np.array(0.2), 0.95, -1).round(3))
    0.156
    """
    return np.asarray(np.tanh(np.arctanh(value) + side * special.ndtri((1 + confidence) / 2) * error))


@np.errstate(divide="ignore", invalid="ignore")
def correlation_tail(value: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Return the probability of a correlation at least this strong under independence; NaN below three rows.

    Student's t of n - 2 degrees, two-sided: exact when one of the columns is normal.

    Examples
    --------
    >>> correlation_tail(np.array([0.5, 0.5, 1.0]), np.array([2.0, 27.0, 27.0])).round(4).tolist()
    [nan, 0.0079, 0.0]
    """
    degrees = np.where(n > 2, n - 2.0, np.nan)
    t = np.abs(value) * np.sqrt(degrees / ((1 - value) * (1 + value)))
    # The tail is below (1 - value^2)^(degrees / 2): where that is no float64 any more, it need not be computed.
    t = np.where(degrees * np.log1p(-(value**2)) < 2 * UNDERFLOWS, np.inf, t)
    return np.asarray(2 * special.stdtr(degrees, -t))


def rank_correlation_bound(value: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Return the most that a correlation can be off when its unit vectors are off by these angles, taken together.

    On the sphere the angle between the vectors changes by no more than the two are turned.

    Examples
    --------
    >>> rank_correlation_bound(np.array([0.0, 1.0]), np.array([0.1, 0.1])).round(4).tolist()
    [0.0998, 0.005]
    """
    angle = np.arccos(np.clip(value, -1.0, 1.0))
    highest, lowest = np.cos(np.maximum(angle - angles, 0.0)), np.cos(np.minimum(angle + angles, np.pi))
    return np.where(angles > 0, np.maximum(highest - value, value - lowest), 0.0)


# --- categories -----------------------------------------------------------------------------------------------------


@np.errstate(divide="ignore", invalid="ignore")
def correlation_ratio_tail(value: np.ndarray, n: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Return P(eta >= value) when the number has one mean in all levels: F of one-way analysis of variance.

    NaN where F has no degrees of freedom: one level, or no more rows than levels.

    Examples
    --------
    >>> correlation_ratio_tail(np.array([0.5, 0.5]), np.array([30.0, 3.0]), np.array([3, 3])).round(4).tolist()
    [0.0206, nan]
    """
    df_between, df_within = levels - 1.0, n - levels
    f = value**2 / df_between / ((1 - value) * (1 + value) / df_within)
    return np.where((df_between > 0) & (df_within > 0), special.fdtrc(df_between, df_within, f), np.nan)


Margins = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Of one side of each table: levels present, and over them the sums of 1 / margin and of 1 / margin^2."""


@np.errstate(divide="ignore", invalid="ignore")
def chi_square_moments(n: np.ndarray, left: Margins, right: Margins) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean, variance and third cumulant of chi-square over all permutations, both margins fixed.

    Chi-square is n times the trace of the product of two centred projections. Mean and variance are exact. The
    third cumulant is that of the squared length of a random matrix whose joint cumulants are the products of both
    sides' over powers of n, in the limit of many rows; a projection's own are sums over its entries.

    Parameters
    ----------
    n
        Rows of each table; the variance is 0 below four.

    Examples
    --------
    >>> side = np.array(2), np.array(1 / 2 + 1 / 2), np.array(1 / 4 + 1 / 4)
    >>> [round(float(x), 6) for x in chi_square_moments(np.array(4), side, side)[:2]]  # 4 in a third of them, else 0
    [1.333333, 3.555556]
    """
    n = np.asarray(n, np.float64)
    (a, fourth_a, sixth_a, cubes_a, skew_a), (b, fourth_b, sixth_b, cubes_b, skew_b) = (
        _projection_cumulants(n, *side) for side in (left, right)
    )
    spherical = 2 * (a * (n - 1 - a) / (n - 1)) * (b * (n - 1 - b) / (n - 1)) / ((n + 1) * (n - 2))
    cumulants = [(n + 1) * fourth + 2 * trace * (trace + 2) / n for fourth, trace in ((fourth_a, a), (fourth_b, b))]
    variance = spherical + cumulants[0] / (n + 1) * (cumulants[1] * n / (n - 1)) / ((n - 2) * (n - 3))
    third = 8 * a * b + n * (12 * fourth_a * fourth_b + 4 * cubes_a * cubes_b + 6 * skew_a * skew_b)
    third += n**2 * sixth_a * sixth_b
    return n * a * b / (n - 1), np.where(n > 3, np.maximum(n**2 * variance, 0.0), 0.0), np.asarray(third)


def _projection_cumulants(n: np.ndarray, *side: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return trace and cumulants of the centred projection on levels, whose diagonal is h = 1 / margin - 1 / n.

    Contracted: the fourth (sum of h^2) and the sixth (of h^3), less what a sphere gives; of the third with itself
    the sum of cubes of all entries, and of h_i h_j times them.
    """
    levels, reciprocals, squares = side
    trace = levels - 1.0
    second = reciprocals - (2.0 * levels - 1) / n
    sixth = squares - 3 * reciprocals / n + (3.0 * levels - 1) / n**2
    sixth = sixth - 3 * (trace + 4) / n * second + 2 * trace * (trace + 2) * (trace + 4) / n**2
    cubes, skew = reciprocals - (3.0 * levels - 2) / n, second - trace**2 / n
    return trace, second - trace * (trace + 2) / n, sixth, cubes, skew


@np.errstate(divide="ignore", invalid="ignore")
def chi_square_tail(value: np.ndarray, n: np.ndarray, left: Margins, right: Margins) -> np.ndarray:
    """Return P(chi-square >= value) with both margins fixed: the larger of two gammas'; 1 where there is no variance.

    One gamma has the mean and the variance. A single cell of a rare level with a rare level makes the far tail
    heavier than that: the other is shifted, and has the third cumulant too.
    """
    mean, variance, third = chi_square_moments(n, left, right)
    deviation = np.sqrt(variance)
    skewness = np.maximum(third / deviation**3, 2 * deviation / mean)  # the first gamma's at least
    shape = 4 / skewness**2
    by_three_moments = special.gammaincc(shape, np.maximum(shape + (value - mean) / deviation * np.sqrt(shape), 0.0))
    by_two_moments = moment_tail(value, mean, variance)
    return np.where(by_two_moments < 1, np.maximum(by_two_moments, by_three_moments), by_two_moments)


@np.errstate(divide="ignore", invalid="ignore")
def moment_tail(value: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Return `gamma_tail`, and 1 where the null has no variance, as it has one value then; NaN where value is.

    Examples
    --------
    >>> moment_tail(np.array([3.0, 3.0]), np.array([1.0, 3.0]), np.array([1.0, 0.0])).round(6).tolist()
    [0.049787, 1.0]
    """
    varies = variance > NO_VARIANCE * mean**2
    return np.where(np.isnan(value), np.nan, np.where(varies, gamma_tail(value, mean, variance), 1.0))
