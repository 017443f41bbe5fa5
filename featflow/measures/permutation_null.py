"""Mean, variance and tail of mutual information under independence, with both margins fixed.

Under permutation of one variable the rows of the table are independent
Multinomial(a_i; q), conditioned on their column totals (Morris 1975, Annals of
Statistics 3; Holst 1979, Annals of Probability 7). In the limit the conditioning
removes what is linear in the cells. With h(k) = k log(k / l) - (k - l) and
l = a_i q_j, which differs from k log k by terms that the margins fix, the
variance of a row is written in the orthonormal Krawtchouk polynomials of its
cells: coefficients of degree m of two cells of one row have covariance
(-r_j r_l)^m with r_j^2 = q_j / (1 - q_j) (Lancaster 1958, Annals of Mathematical
Statistics 29). Rows of shares p_i and p_k add up as squares of normal deviations
do whose weighted sum is fixed: with correlation p_i p_k. No two large numbers are
subtracted. Cost: sums of at most 256 points for each pair of distinct margins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from featflow.measures.exact_null import enumerated_null
from featflow.measures.information import expected_xlogx, xlogx
from featflow.measures.krawtchouk_polynomials import DEGREES, coefficients_of_h
from featflow.measures.monte_carlo_null import sampled_null
from featflow.measures.multiple_testing import gamma_tail

__all__ = ["ClassNull", "NullTest", "null_test", "stratum_moments"]

DENSE = 50.0
"""Smallest mean count of a row's cells from which its variance is expanded to the order of 1 / rows: within 0.2 %."""
FEWEST_BEYOND = 9
"""Draws beyond a score from which their share is the p-value, with a standard error of a third; of fewer, a gamma's."""
SMALL = 12
"""Rows of a stratum up to which its variance is enumerated: the limit of many rows is far off, and tables are few."""
TIE = 1e-12
"""Difference of information, in nats, that rounding leaves between equal tables."""
NO_VARIANCE = 1e-9
"""Variance of N times the information below which the null is one value."""


@dataclass(frozen=True)
class NullTest:
    """A score against its null."""

    mean: float
    """Mean of the score under the null, nats."""
    std: float
    """Standard deviation of the score under the null, nats."""
    p_value: float
    """P(score >= observed) under the null."""
    method: str
    """exact, gamma, monte_carlo or degenerate."""


class ClassNull:
    """The null of all tables against the same classes; terms of a row depend on its margin alone and are kept.

    Parameters
    ----------
    classes
        Rows of every class, shape (classes,), integers.
    counted
        Whether rows were counted; sums of weights only stand for as many rows, and no table of rows scores the same.

    Examples
    --------
    >>> null = ClassNull(np.array([60, 40]))
    >>> mean, variance = null.moments(np.array([50, 30, 20]))
    >>> bool(abs(200 * mean / 2 - 1) < 0.05), bool(abs(200**2 * variance / 4 - 1) < 0.1)  # chi-square of 2
    (True, True)
    """

    def __init__(self, classes: np.ndarray, *, counted: bool = True) -> None:
        self.total, self.counted = int(classes.sum()), counted
        self.margins = classes[classes > 0]
        self.classes, self.times = np.unique(self.margins, return_counts=True)
        self._row_margins = np.empty(0, np.int64)
        self._terms = np.empty((3, 0))
        self._slopes = np.empty((0, len(self.classes)))

    @cached_property
    def shares(self) -> np.ndarray:
        """Share of every distinct class margin, shape (distinct,)."""
        return np.asarray(self.classes / max(self.total, 1))

    def prepare(self, margins: np.ndarray) -> None:
        """Compute and keep the terms of rows of these margins, those of many tables at once."""
        new = np.setdiff1d(margins[margins > 0], self._row_margins)
        if not len(new):
            return
        shape = (len(new), len(self.classes))
        classes = np.broadcast_to(self.classes, shape)
        mean_terms, within, slopes = _row_terms(np.full(len(new), self.total), new, classes, self.times)
        known = np.concatenate([self._row_margins, new])
        order = np.argsort(known)
        self._row_margins = known[order]
        self._terms = np.concatenate([self._terms, np.stack([new, mean_terms, within])], axis=1)[:, order]
        self._slopes = np.concatenate([self._slopes, slopes])[order]

    def moments(self, margins: np.ndarray) -> tuple[float, float]:
        """Return mean and variance of the information of a table with these row margins, shape (levels,)."""
        v, times = np.unique(margins[margins > 0], return_counts=True)
        if not len(v) or not self.total:
            return 0.0, 0.0
        self.prepare(v)
        index = np.searchsorted(self._row_margins, v)
        rows, mean_terms, within = self._terms[:, index]
        constant = self.times @ xlogx(self.classes) - xlogx(self.total)
        mean = max(0.0, float((times @ mean_terms - constant) / self.total))
        slopes, weight = self._slopes[index], times * rows
        deviations = slopes - weight @ slopes / weight.sum()
        shares = self.times * self.shares
        linear = weight @ (deviations**2 @ shares - (deviations @ shares) ** 2)
        share = rows / self.total
        curved = times @ (within * (1 - 2 * share)) + (times @ (share * np.sqrt(within))) ** 2
        variance = (curved + linear) / max(self.total - 1, 1) ** 2
        if self.total <= SMALL:
            variance = _small_variance(tuple(np.sort(margins[margins > 0])), tuple(np.sort(self.margins)), variance)
        if self.classes[-1] == 1:  # every permutation gives the entropy of the rows
            variance = 0.0
        return mean, max(0.0, float(variance))


def stratum_moments(margins: np.ndarray, starts: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance of the information within each of many strata, shape (strata,).

    Parameters
    ----------
    margins
        Rows of every level in every stratum, stratum by stratum, shape (cells,).
    starts
        First cell of every stratum, shape (strata,).
    classes
        Class totals in every stratum, shape (strata, classes).

    Examples
    --------
    >>> mean, variance = stratum_moments(np.array([50, 30, 20, 9]), np.array([0, 3]), np.array([[60, 40], [5, 4]]))
    >>> null = ClassNull(np.array([60, 40])).moments(np.array([50, 30, 20]))
    >>> bool(np.allclose([mean[0], variance[0]], null)), float(abs(mean[1]).round(12)), float(variance[1])
    (True, 0.0, 0.0)
    """
    sizes = np.diff([*starts, len(margins)])
    strata = np.repeat(np.arange(len(starts)), sizes)
    totals = classes.sum(axis=1)
    occupied = margins > 0
    terms = np.zeros((2, len(margins)))
    slopes = np.zeros((len(margins), classes.shape[1]))
    terms[0, occupied], terms[1, occupied], slopes[occupied] = _row_terms(
        totals[strata[occupied]], margins[occupied], classes[strata[occupied]], np.ones(classes.shape[1])
    )
    sums = np.add.reduceat(terms, starts, axis=1)
    n = np.maximum(totals, 1)
    mean = np.maximum((sums[0] - xlogx(classes).sum(axis=1) + xlogx(totals)) / n, 0.0)
    shares = classes / n[:, None]
    deviations = slopes - (np.add.reduceat(slopes * margins[:, None], starts) / n[:, None])[strata]
    shares_of_cell = shares[strata]
    linear = margins * ((deviations**2 * shares_of_cell).sum(axis=1) - (deviations * shares_of_cell).sum(axis=1) ** 2)
    share = margins / n[strata]
    curved = np.add.reduceat(terms[1] * (1 - 2 * share), starts)
    curved += np.add.reduceat(share * np.sqrt(terms[1]), starts) ** 2
    variance = (curved + np.add.reduceat(linear, starts)) / np.maximum(n - 1, 1) ** 2
    for stratum in np.flatnonzero((totals > 0) & (totals <= SMALL)):
        row, column = margins[starts[stratum] : starts[stratum] + sizes[stratum]], classes[stratum]
        keys = (tuple(np.sort(margin[margin > 0])) for margin in (row, column))
        variance[stratum] = _small_variance(*keys, float(variance[stratum]))
    variance[classes.max(axis=1) <= 1] = 0.0  # every permutation gives the entropy of the rows
    return mean, np.maximum(variance, 0.0)


@lru_cache(maxsize=2**14)
def _small_variance(rows: tuple[int, ...], columns: tuple[int, ...], limit: float) -> float:
    """Return the exact variance of a small table's information, ``limit`` where there are too many tables."""
    exact = enumerated_null(np.array(rows), np.array(columns)) if min(len(rows), len(columns)) > 1 else None
    if exact is None:
        return limit
    information, p = exact
    return float(p @ (information - p @ information) ** 2)


def _row_terms(
    totals: np.ndarray, v: np.ndarray, classes: np.ndarray, times: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what rows add to mean and variance, shapes (rows,), and slopes, shape (rows, classes).

    Parameters
    ----------
    totals
        Rows of each row's table, shape (rows,).
    v
        Margins above 0, shape (rows,).
    classes
        Class totals of each row's table, shape (rows, classes).
    times
        How many classes have such a total, shape (classes,).
    """
    mean_terms = (expected_xlogx(totals[:, None], v[:, None], classes) * times).sum(axis=1) - xlogx(v)
    q = classes / totals[:, None]
    slopes, within = np.zeros(q.shape), np.zeros(len(v))
    varied = ((q > 0) * times).sum(axis=1) > 1
    dense = varied & (np.where(q > 0, q, 1.0).min(axis=1) * v >= DENSE)
    with np.errstate(divide="ignore"):
        inverse = np.where(q > 0, 1 / q, 0.0)
    # A dense row has equal slopes in all classes: they multiply its margin, which is fixed, and add nothing.
    within[dense] = ((((q > 0) * times).sum(axis=1) - 1) / 2 + ((inverse * times).sum(axis=1) - 1) / (6 * v))[dense]
    sparse = varied & ~dense
    if sparse.any():
        within[sparse], slopes[sparse] = _row_variance(v[sparse], q[sparse], times)
    return mean_terms, within, slopes


def _row_variance(v: np.ndarray, q: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the variance of a row's sum of h beyond its linear part, shape (rows,), and slopes (rows, classes)."""
    present = q > 0
    row, column = np.nonzero(present)
    coefficients, beyond = coefficients_of_h(v[row].astype(np.float64), q[present])
    a = np.zeros((*q.shape, DEGREES))
    a[row, column] = coefficients
    variances = np.zeros(q.shape)
    variances[row, column] = beyond
    variance = (variances * times).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        slopes = np.where(present, a[:, :, 0] / np.sqrt(v[:, None] * q * (1 - q)), 0.0)
        ratio = np.where(present & (q < 1), np.sqrt(q / (1 - q)), 0.0)
    large = (q > 0.5).astype(np.float64)  # one class at most: its ratio is only ever multiplied by those below 1
    large_ratio, small = (ratio * large).sum(axis=1), ratio * (1 - large)
    for m in range(2, DEGREES + 1):
        degree = a[:, :, m - 1]
        powers = small**m * degree
        cross = (powers * times).sum(axis=1) ** 2 - (powers**2 * times).sum(axis=1)
        with_large = (large_ratio[:, None] * small) ** m * degree
        cross += 2 * (degree * large).sum(axis=1) * (with_large * times).sum(axis=1)
        variance += (-1) ** m * cross
    return np.maximum(variance, 0.0), slopes


def null_test(observed: float, rows: Sequence[np.ndarray], nulls: Sequence[ClassNull]) -> NullTest:
    """Return the null of a table's information, or of the mean over strata, and where the observed one lies in it.

    Parameters
    ----------
    observed
        Plug-in information, the mean over strata weighted by their rows.
    rows
        Row margins within every stratum, shapes (levels,).
    nulls
        Nulls of the class totals within every stratum.

    Examples
    --------
    >>> null_test(np.log(9), [np.ones(9, int)], [ClassNull(np.ones(9, int))]).p_value  # an id: all permutations alike
    1.0
    >>> null_test(np.log(3), [np.full(3, 3)], [ClassNull(np.ones(9, int))]).method  # and so is one as the target
    'degenerate'
    >>> from featflow.measures.information import mutual_information
    >>> table = np.array([[8, 2], [1, 5]])
    >>> test = null_test(mutual_information(table), [table.sum(axis=1)], [ClassNull(table.sum(axis=0))])
    >>> test.method, round(test.p_value, 6)  # as Fisher's exact test
    ('exact', 0.034965)
    """
    total = sum(null.total for null in nulls)
    share = np.array([null.total for null in nulls]) / max(total, 1)
    moments = np.array([null.moments(margins) for margins, null in zip(rows, nulls, strict=True)]).reshape(-1, 2)
    mean, variance = float(share @ moments[:, 0]), float(share**2 @ moments[:, 1])
    if variance * total**2 < NO_VARIANCE:
        return NullTest(mean, 0.0, 1.0, "degenerate")
    if len(nulls) == 1 and nulls[0].counted:
        exact = enumerated_null(rows[0][rows[0] > 0], nulls[0].margins)
        if exact is not None:
            information, p = exact
            std = float(np.sqrt(p @ (information - p @ information) ** 2))
            return NullTest(mean, std, min(1.0, float(p[information >= observed - TIE].sum())), "exact")
        drawn = sampled_null(rows[0][rows[0] > 0], nulls[0].margins)
        if drawn is not None:
            beyond = int(np.count_nonzero(drawn >= observed - TIE))
            if beyond >= FEWEST_BEYOND:
                return NullTest(mean, float(np.sqrt(variance)), (beyond + 1) / (len(drawn) + 1), "monte_carlo")
    p_value = float(gamma_tail(np.array(observed), np.array(mean), np.array(variance)))
    return NullTest(mean, float(np.sqrt(variance)), p_value, "gamma")
