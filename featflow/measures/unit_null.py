"""Nulls of a table whose rows come in units: what rows of one day, user or machine share is no evidence of its own.

A table of counts O, shape (levels, classes), has units u of n_u rows with margins N_ux and N_uy. What the units'
margins alone predict is E, the sum over units of N_ux N_uy / n_u. Information splits into I(E), which is between
units, and I(O) - I(E), which is within them. Each has a null of its own:

- within units every permutation of the target is as likely: O - E has mean 0 and a covariance that is a sum over units
  (generalised Mantel-Haenszel; Landis, Heyman & Koch 1978, International Statistical Review 46);
- between units, every assignment of the units' target shares to units is as likely. Where units follow one another in
  time and both sides drift, only shifts around the calendar are.

Where feature and target do not both differ between units, rows are as good as independent, and the test is that of
rows. What chooses the test are the margins of units alone, which no permutation changes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from featflow.measures.information import mutual_information, mutual_informations
from featflow.measures.within_units import FEWEST_ROWS, NONE, NullPart, exact_product, within_units

__all__ = ["FEWEST_UNITS", "UnitNull", "unit_null"]

Floats = NDArray[np.float64]

DRAWS = 200
"""Assignments of units that are drawn: their mean is off by 7 % of the null's spread, their variance by 10 %."""
CELLS_AT_ONCE = 2**21
"""Numbers of drawn tables, or of the shares that they are made of, that are held at once."""
FEWEST_UNITS = 8
"""Units below which nothing is said of what is between them: of 7 there are 6 shifts, and gammas rest on 6 degrees."""
LEAST_WEIGHT = 0.05
"""Share of the error that each of two tests gets at least: what it costs the other is little."""
DRIFTS = 2.0
"""Standard errors of the correlation of two series without drift, from which only shifts are trusted."""
AS_ROWS = 1.05
"""Design effect up to which the null of rows, which is exact, says more than moments of the one on units."""


@dataclass(frozen=True)
class UnitNull:
    """A table against its null on units; p-values are NaN where a null has one value only."""

    expected: float
    """Mean of the information under the null, nats."""
    std: float
    """Standard deviation of the information under the null, nats."""
    within: float
    """Information within units less its mean under the null, nats; with ``between`` it adds up to mi - expected."""
    within_p: float
    """P(association within units >= observed) under the null."""
    between: float
    """Information between units less its mean under the null, nats."""
    between_p: float
    """P(information between units >= observed) under the null."""
    p_value: float
    """Both together."""
    varies_within: float
    """Share of the feature's variation that lies within units, 0 to 1."""
    design_effect: float
    """Mean of the null on units over that on rows."""


def unit_null(
    table: np.ndarray,
    features: np.ndarray,
    targets: np.ndarray,
    expected_of_rows: float,
    p_value_of_rows: Callable[[float], float],
    *,
    ordered: bool,
) -> UnitNull:
    """Return the null on units of a table of counts.

    Parameters
    ----------
    table
        Counts, shape (levels, classes).
    features, targets
        Rows of each level and class in every unit, shapes (units, levels) and (units, classes).
    expected_of_rows
        Mean of the information were rows independent, nats.
    p_value_of_rows
        Returns the p-value of an information, were rows independent.
    ordered
        Whether units follow one another, as days do.

    Examples
    --------
    A column that is one number a day says nothing of a target by row, though days have 50 rows:

    >>> random = np.random.default_rng(0)
    >>> day, x, y = np.repeat(np.arange(40), 50), np.repeat(random.integers(0, 2, 40), 50), random.integers(0, 2, 2000)
    >>> def counts(a, b, shape):
    ...     return np.bincount(a * shape[1] + b, minlength=shape[0] * shape[1]).reshape(shape)
    >>> sides = counts(day, x, (40, 2)), counts(day, y, (40, 2))
    >>> null = unit_null(counts(x, y, (2, 2)), *sides, 0.00025, lambda mi: 1.0, ordered=False)
    >>> null.varies_within, null.p_value > 0.05
    (0.0, True)
    """
    rows = features.sum(axis=1)
    held, levels, classes = rows > 0, table.any(axis=1), table.any(axis=0)
    table, rows = table[levels][:, classes].astype(np.float64), rows[held].astype(np.float64)
    x, y = features[held][:, levels].astype(np.float64), targets[held][:, classes].astype(np.float64)
    mi = mutual_information(table)
    if min(table.shape) < 2 or len(rows) < 2:
        nan = float("nan")
        return UnitNull(expected_of_rows, 0.0, mi - expected_of_rows, nan, 0.0, nan, nan, 0.0, 1.0)
    null = _Null(table, x, y, rows)
    return null.test(mi, expected_of_rows, p_value_of_rows, ordered=ordered)


class _Null:
    """The margins of one table's units; see the module."""

    def __init__(self, table: Floats, x: Floats, y: Floats, rows: Floats) -> None:
        self.table, self.x, self.y, self.rows, self.n = table, x, y, rows, float(rows.sum())
        self.level_shares, self.class_shares = x.sum(axis=0) / self.n, y.sum(axis=0) / self.n
        self.shares = y / rows[:, None]
        self.degrees = (len(self.level_shares) - 1) * (len(self.class_shares) - 1) * self.n / (self.n - 1)

    def test(self, mi: float, expected: float, p_of_rows: Callable[[float], float], *, ordered: bool) -> UnitNull:
        drift = self._drift() if ordered else 1.0
        drifts = bool(drift > 1 + DRIFTS / np.sqrt(len(self.rows)))
        constant = bool((self.x.max(axis=1) == self.rows).all() or (self.y.max(axis=1) == self.rows).all())
        predicted = self.table if constant else self._reassigned(np.arange(len(self.rows))[None])[0]
        between = self._between(predicted, drift, drifts=drifts)
        between_p = between.p_value
        if drifts and not np.isnan(between_p):
            shifted = mutual_informations(self._reassigned(_shifts(len(self.rows))))
            between_p = (1 + np.count_nonzero(shifted >= between.observed * (1 - NONE))) / (1 + len(shifted))
        few = len(self.rows) < FEWEST_UNITS
        between_p = float("nan") if few else between_p
        within = within_units(self.table, predicted, self.x, self.y)
        effect = (within.mean + self._spread() * drift) / self.degrees
        inside, outside = within.mean / self.degrees, max(1 - within.mean / self.degrees, NONE)
        pooled = inside > 0 and not drifts and not few and effect - inside < outside * (1 + 1 / inside)
        of_both = expected * effect if pooled else between.mean + expected * inside
        varies = self._varies_within()
        variance = (within.variance + 4 * within.mean * (effect - inside)) / (2 * self.n) ** 2 + between.variance
        if pooled and effect <= AS_ROWS:
            p_value = p_of_rows(mi / max(effect, 1.0))
        elif self.n * (1 - max(self.level_shares.max(), self.class_shares.max())) < FEWEST_ROWS:
            p_value = float("nan")
        elif not pooled:
            p_value = _together(within.p_value, between_p, varies)
        else:
            p_value = NullPart(mi, of_both, variance).p_value
        return UnitNull(
            expected=of_both,
            std=float(np.sqrt(variance)),
            within=mi - between.observed - (of_both - between.mean),
            within_p=within.p_value,
            between=between.observed - between.mean,
            between_p=between_p,
            p_value=p_value,
            varies_within=varies,
            design_effect=effect,
        )

    def _varies_within(self) -> float:
        """Return how often two rows of a unit differ in the feature, over how often any two rows do."""
        several = self.rows > 1
        x, rows, totals = self.x[several], self.rows[several], self.n * self.level_shares
        overall = 1 - float((totals * (totals - 1)).sum()) / (self.n * (self.n - 1))
        if overall <= 0 or not len(rows):
            return 0.0
        alike = float(((x * (x - 1)).sum(axis=1) / (rows - 1)).sum() / rows.sum())
        return min(1.0, max(0.0, (1 - alike) / overall))

    # --- between units -----------------------------------------------------------------------------------------------

    def _between(self, predicted: Floats, drift: float, *, drifts: bool) -> NullPart:
        """Return the information that margins predict, and its moments over assignments of shares to units."""
        orders = _shifts(len(self.rows)) if drifts else _permutations(len(self.rows))
        drawn = mutual_informations(self._reassigned(orders))
        part = NullPart(mutual_information(predicted), float(drawn.mean()), float(drawn.var()))
        if np.isnan(part.p_value):  # every assignment says the same
            return replace(part, mean=part.observed)
        if drifts:
            return part
        most = max(part.observed, mutual_information(self.y))  # no column of units says more than which unit it is
        return NullPart(part.observed, min(part.mean * drift, most), part.variance * drift**2)

    def _reassigned(self, orders: np.ndarray) -> Floats:
        """Return the tables that units' margins predict once shares are reassigned, shape (orders, levels, classes)."""
        units, classes = self.shares.shape
        step = max(1, CELLS_AT_ONCE // (max(self.x.shape) * classes))
        pieces = []
        for start in range(0, len(orders), step):
            some = orders[start : start + step]
            product = exact_product(self.x.T, self.shares[some.T].reshape(units, -1), self.shares.max())
            pieces.append(product.reshape(-1, len(some), classes).transpose(1, 0, 2))
        return np.concatenate(pieces)

    def _spread(self) -> float:
        """Return the mean of chi-square between units over assignments of shares to units."""
        beyond = self.x - self.rows[:, None] * self.level_shares
        apart = self.shares - self.shares.mean(axis=0)
        left, right = (beyond**2 / self.level_shares).sum(), (apart**2 / self.class_shares).sum()
        return float(left * right / (len(self.rows) - 1) / self.n)

    def _drift(self) -> float:
        """Return by how much drift of both sides multiplies the variance between them, at least 1 (Bartlett 1946)."""
        units = len(self.rows)
        left = _autocorrelations(self.x / self.rows[:, None], self.level_shares)
        right = _autocorrelations(self.shares, self.class_shares)
        if min(left[1], right[1]) <= 0:  # one side does not drift: its units can be permuted
            return 1.0
        return max(1.0, float(left @ right) * (units - 1) / units)


def _together(within_p: float, between_p: float, varies: float) -> float:
    """Return the p-value of two tests; each may err in proportion to where the feature varies (Bonferroni)."""
    if np.isnan(within_p) or np.isnan(between_p):
        return between_p if np.isnan(within_p) else within_p
    weight = min(max(varies, LEAST_WEIGHT), 1 - LEAST_WEIGHT)
    return min(1.0, within_p / weight, between_p / (1 - weight))


def _autocorrelations(series: Floats, shares: Floats) -> Floats:
    """Return the autocorrelations of a series around the calendar, its levels together, shape (units,)."""
    power = (np.abs(np.fft.fft(series - series.mean(axis=0), axis=0)) ** 2 / shares).sum(axis=1)
    products = np.fft.ifft(power).real
    return np.asarray(products / products[0]) if products[0] > NONE else np.zeros(len(products))


@lru_cache(maxsize=8)
def _permutations(units: int) -> np.ndarray:
    """Return `DRAWS` permutations, always the same ones, shape (draws, units)."""
    random = np.random.Generator(np.random.PCG64(units))
    return random.permuted(np.tile(np.arange(units), (DRAWS, 1)), axis=1)


@lru_cache(maxsize=8)
def _shifts(units: int) -> np.ndarray:
    """Return up to `DRAWS` shifts around the calendar, shape (shifts, units)."""
    distances = np.unique(np.linspace(1, units - 1, min(DRAWS, units - 1)).round().astype(np.int64))
    return (np.arange(units) + distances[:, None]) % units
