"""What independence would score: mean, variance and tail of mutual information with both margins fixed.

Under permutation of one variable the rows of the table are independent
Multinomial(a_i; q), conditioned on their column totals (Morris 1975, Annals of
Statistics 3; Holst 1979, Annals of Probability 7). In the limit the conditioning
removes what is linear in the cells. With h(k) = k log(k / l) - (k - l) and
l = a_i q_j, which differs from k log k by terms that the margins fix, the
variance of a row is written in the orthonormal Krawtchouk polynomials of its
cells: coefficients of degree m of two cells of one row have covariance
(-r_j r_l)^m with r_j^2 = q_j / (1 - q_j) (Lancaster 1958, Annals of Mathematical
Statistics 29). Nothing is subtracted that is not small. Cost: one sum of at most
200 points for each pair of distinct margins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import comb, prod

import numpy as np
from scipy.special import gammaln, xlogy

from featflow.measures.information import expected_xlogx, xlogx
from featflow.measures.significance import gamma_tail

__all__ = ["ClassNull", "NullTest", "null_test"]

DEGREES = 8
"""Krawtchouk polynomials used for covariances; variances are whole."""
WIDTH, MARGIN = 8.0, 8.0
"""A cell is summed so many standard deviations and so many counts around its mean."""
STRIDE = 2.0
"""Points a standard deviation: a smooth sum at this step errs by exp(-2 (pi STRIDE)^2)."""
CHUNK = 2**19
"""Points evaluated at once."""
MOST_TABLES = 20_000
"""Tables enumerated for an exact p-value."""
NO_VARIANCE = 1e-9
"""Variance of N times the information below which the null is one value."""


@dataclass(frozen=True)
class NullTest:
    """A score against its null."""

    mean: float
    """Of the score under the null, nats."""
    std: float
    """Of the score under the null, nats."""
    p_value: float
    """P(score >= observed) under the null."""
    method: str
    """exact, gamma or degenerate."""


class ClassNull:
    """The null of all tables against the same classes; what it needs of a row depends on the row's margin alone.

    Parameters
    ----------
    classes
        Rows of every class, shape (classes,), integers.

    Examples
    --------
    >>> null = ClassNull(np.array([60, 40]))
    >>> mean, variance = null.moments(np.array([50, 30, 20]))
    >>> bool(abs(200 * mean / 2 - 1) < 0.05), bool(abs(200**2 * variance / 4 - 1) < 0.1)  # chi-square of 2
    (True, True)
    """

    def __init__(self, classes: np.ndarray) -> None:
        self.total = int(classes.sum())
        self.margins = classes[classes > 0]
        self.classes, self.times = np.unique(self.margins, return_counts=True)
        self._known = np.empty(0, np.int64)
        self._terms = np.empty((3, 0))
        self._slopes = np.empty((0, len(self.classes)))

    @cached_property
    def shares(self) -> np.ndarray:
        """Share of every distinct class margin, shape (distinct,)."""
        return np.asarray(self.classes / max(self.total, 1))

    def prepare(self, margins: np.ndarray) -> None:
        """Compute what rows of these margins need, those of many tables at once."""
        new = np.setdiff1d(margins[margins > 0], self._known)
        if not len(new):
            return
        cells = (expected_xlogx(float(self.total), new[:, None], self.classes[None, :]) * self.times).sum(axis=1)
        within, slopes = self._row_variance(new)
        known = np.concatenate([self._known, new])
        order = np.argsort(known)
        self._known = known[order]
        self._terms = np.concatenate([self._terms, np.stack([new, cells - xlogx(new), within])], axis=1)[:, order]
        self._slopes = np.concatenate([self._slopes, slopes])[order]

    def moments(self, margins: np.ndarray) -> tuple[float, float]:
        """Return mean and variance of the information of a table with these row margins, shape (levels,)."""
        v, times = np.unique(margins[margins > 0], return_counts=True)
        if not len(v) or not self.total:
            return 0.0, 0.0
        self.prepare(v)
        at = np.searchsorted(self._known, v)
        rows, mean_terms, within = self._terms[:, at]
        constant = self.times @ xlogx(self.classes) - xlogx(self.total)
        mean = max(0.0, float((times @ mean_terms - constant) / self.total))
        slopes, weight = self._slopes[at], times * rows
        away = slopes - weight @ slopes / weight.sum()
        shares = self.times * self.shares
        linear = weight @ (away**2 @ shares - (away @ shares) ** 2)
        levels = times.sum()
        variance = (times @ within + linear) * (levels - 1) / levels / self.total**2
        return mean, max(0.0, float(variance))

    def _row_variance(self, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the variance of a row's sum of h beyond its linear part, shape (v,), and slopes (v, classes)."""
        q = self.shares
        if len(q) == 1 and self.times[0] == 1:
            return np.zeros(len(v)), np.zeros((len(v), 1))
        cells_v, cells_q = (x.ravel() for x in np.broadcast_arrays(v[:, None], q[None, :]))
        coefficients, beyond = _coefficients(cells_v.astype(np.float64), cells_q)
        a = coefficients.reshape(len(v), len(q), DEGREES)
        own = (beyond.reshape(len(v), len(q)) * self.times).sum(axis=1)
        slopes = a[:, :, 0] / np.sqrt(v[:, None] * q * (1 - q))
        ratio = np.sqrt(q / (1 - q))
        large = q > 0.5  # one class at most: its ratio above 1 is only ever multiplied by another's below 1
        for m in range(2, DEGREES + 1):
            small = a[:, ~large, m - 1] * ratio[~large] ** m
            times = self.times[~large]
            cross = (small * times).sum(axis=1) ** 2 - (small**2 * times).sum(axis=1)
            if large.any():
                both = (ratio[~large] * ratio[large]) ** m
                cross = cross + 2 * a[:, large, m - 1][:, 0] * (a[:, ~large, m - 1] * (both * times)).sum(axis=1)
            own = own + (-1) ** m * cross
        return np.maximum(own, 0.0), slopes


def null_test(
    observed: float, rows: Sequence[np.ndarray], nulls: Sequence[ClassNull], design_effect: float = 1.0
) -> NullTest:
    """Return the null of a table's information, or of the mean over strata, and where the observed one lies in it.

    Parameters
    ----------
    observed
        Plug-in information, the mean over strata weighted by their rows.
    rows
        Row margins within every stratum, shapes (levels,).
    nulls
        Nulls of the class totals within every stratum.
    design_effect
        Factor by which clusters inflate a score (Rao & Scott 1981, JASA 76, first-order correction).

    Examples
    --------
    >>> null_test(np.log(9), [np.ones(9, int)], [ClassNull(np.ones(9, int))]).p_value  # an id: all permutations alike
    1.0
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
    if len(nulls) == 1 and design_effect == 1.0:
        exact = _enumerated(rows[0][rows[0] > 0], nulls[0].margins, observed)
        if exact is not None:
            return exact
    p_value = float(gamma_tail(np.array(observed / design_effect), np.array(mean), np.array(variance)))
    return NullTest(mean, float(np.sqrt(variance)), p_value, "gamma")


def _coefficients(v: np.ndarray, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return coefficients of h of degrees 1 to `DEGREES`, shape (cells, DEGREES), and the variance beyond degree 1."""
    mean = v * q
    deviation = np.sqrt(mean * (1 - q))
    step = np.maximum(1.0, np.floor(deviation / STRIDE))
    low = np.maximum(0.0, np.floor(mean - WIDTH * deviation - MARGIN))
    points = np.floor((np.minimum(v, np.ceil(mean + WIDTH * deviation + MARGIN)) - low) / step).astype(np.int64) + 1
    order = np.argsort(points, kind="stable")
    coefficients, beyond = np.zeros((len(v), DEGREES)), np.zeros(len(v))
    start = 0
    while start < len(order):
        stop = start + max(1, CHUNK // int(points[order[min(start + CHUNK // 256, len(order) - 1)]]))
        some = order[start:stop]
        cells = (x[some, None] for x in (v, q, low, step, points))
        coefficients[some], beyond[some] = _projected(*cells, width=int(points[some].max()))
        start = stop
    return coefficients, beyond


def _projected(
    v: np.ndarray, q: np.ndarray, low: np.ndarray, step: np.ndarray, points: np.ndarray, *, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Project h onto the orthonormal polynomials of Binomial(v, q), by sums over its points; all shapes (cells, 1)."""
    index = np.arange(width)[None, :]
    k = np.minimum(low + index * step, v)
    log_p = xlogy(k, q) + xlogy(v - k, 1 - q) - gammaln(k + 1) - gammaln(v - k + 1)
    log_p[index >= points] = -np.inf
    p = np.exp(log_p - log_p.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    mean = v * q
    h = xlogy(k, k / mean) - (k - mean)
    h -= (p * h).sum(axis=1, keepdims=True)
    before, now = np.zeros_like(k), np.ones_like(k)
    coefficients = np.zeros((len(v), DEGREES))
    off = np.zeros_like(v)
    for m in range(DEGREES):  # x K_m = off_(m+1) K_(m+1) + (q (v - m) + m (1 - q)) K_m + off_m K_(m-1)
        following = np.sqrt(np.maximum((m + 1) * q * (1 - q) * (v - m), 0.0))
        exists = following > 0
        raised = (k - (q * (v - m) + m * (1 - q))) * now - off * before
        before, now, off = now, np.where(exists, raised / np.where(exists, following, 1.0), 0.0), following
        coefficients[:, m] = (p * h * now).sum(axis=1)
    variance = (p * h**2).sum(axis=1)
    return coefficients, np.maximum(variance - coefficients[:, 0] ** 2, 0.0)


def _enumerated(rows: np.ndarray, columns: np.ndarray, observed: float) -> NullTest | None:
    """Return the test over all tables with these margins, None if there are too many to go through."""
    if min(len(rows), len(columns)) < 2:
        return None
    rows, columns = np.sort(rows)[::-1], np.sort(columns)[::-1]  # the largest of each follows from the others
    bounds = [prod(comb(int(a) + len(y) - 1, len(y) - 1) for a in x[1:]) for x, y in ((rows, columns), (columns, rows))]
    if min(bounds) > MOST_TABLES:
        return None
    if bounds[1] < bounds[0]:
        rows, columns = columns, rows
    left, log_p, score = columns[None, :], np.zeros(1), np.zeros(1)
    for a in rows[1:].tolist():
        parts = np.array([(*p, a - sum(p)) for p in product(range(a + 1), repeat=len(columns) - 1) if sum(p) <= a])
        cells, log_parts = np.repeat(parts, len(left), axis=0), np.tile(log_p, len(parts))
        after = np.tile(left, (len(parts), 1)) - cells
        fits = (after >= 0).all(axis=1)
        left, cells = after[fits], cells[fits]
        log_p = log_parts[fits] - gammaln(cells + 1.0).sum(axis=1)
        score = np.tile(score, len(parts))[fits] + xlogx(cells).sum(axis=1)
    log_p = log_p - gammaln(left + 1.0).sum(axis=1)
    score = score + xlogx(left).sum(axis=1)
    total = float(rows.sum())
    information = (score - xlogx(rows).sum() - xlogx(columns).sum() + xlogx(total)) / total
    p = np.exp(log_p - log_p.max())
    p /= p.sum()
    mean = float(p @ information)
    std = float(np.sqrt(p @ (information - mean) ** 2))
    return NullTest(mean, std, min(1.0, float(p[information >= observed - 1e-12].sum())), "exact")
