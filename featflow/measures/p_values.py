"""Merges p-values block by block, as a multiset, and computes q-values of all.

Sources: Benjamini & Hochberg (1995, JRSS B 57); Benjamini & Yekutieli (2001, Annals of Statistics 29). The q-value of
p is the smallest of ``m p' / rank(p')`` over all p' of at least p, m the number of tests. Exact up to `EXACT` distinct
values. Of more, p-values are rounded up to `DIGITS` bits of mantissa: q-values are then too large by less than one part
in 1,024 and never too small. Whether they are rounded depends on all tests together, not on blocks or their order.
Cost: 16 bytes a distinct value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.special import digamma

__all__ = ["PValues", "QValues"]

EXACT = 2**21
"""Distinct p-values that are kept as they are: the pairs of 2,000 columns."""
DIGITS = 10
"""Bits of mantissa that are kept of more: q-values are then off by less than one part in 1,024."""
DROPPED = np.uint64(52 - DIGITS)
"""Bits of mantissa that rounding drops."""


@dataclass(frozen=True, slots=True, eq=False)
class PValues:
    """A multiset of p-values: each distinct value and its number of tests.

    Examples
    --------
    >>> both = PValues.of(np.array([0.01, np.nan, 0.04])).merge(PValues.of(np.array([0.03])))
    >>> both.rates("benjamini_hochberg").of(np.array([0.04, 0.01, np.nan])).round(3).tolist()
    [0.04, 0.03, nan]
    """

    values: np.ndarray
    """Distinct p-values, shape (values,), ascending."""
    counts: np.ndarray
    """Tests of each, shape (values,), int64."""

    @classmethod
    def of(cls, p_values: np.ndarray) -> Self:
        """Return the p-values of a block, shape (tests,); NaN was not tested."""
        return cls(*_rounded_if_many(*np.unique(p_values[~np.isnan(p_values)], return_counts=True)))

    def merge(self, other: Self) -> Self:
        """Return the p-values of both operands."""
        values, index = np.unique(np.concatenate([self.values, other.values]), return_inverse=True)
        counts = np.bincount(index, np.concatenate([self.counts, other.counts]), len(values)).astype(np.int64)
        return type(self)(*_rounded_if_many(values, counts))

    def rates(self, procedure: str) -> QValues:
        """Return the q-value of every p-value.

        Parameters
        ----------
        procedure
            benjamini_hochberg, or benjamini_yekutieli, which holds under any dependence.
        """
        tests = int(self.counts.sum())
        penalty = 1.0 if procedure == "benjamini_hochberg" else float(digamma(tests + 1) + np.euler_gamma)
        raw = self.values * tests * penalty / np.cumsum(self.counts)
        return QValues(self.values, np.minimum(np.minimum.accumulate(raw[::-1])[::-1], 1.0))


@dataclass(frozen=True, slots=True, eq=False)
class QValues:
    """The q-value of every p-value of a multiset."""

    p_values: np.ndarray
    """Distinct p-values, shape (values,), ascending."""
    q_values: np.ndarray
    """Their q-values, shape (values,)."""

    def of(self, p_values: np.ndarray) -> np.ndarray:
        """Return the q-values of some p-values, NaN where they are NaN; all others are among those merged."""
        if not len(self.p_values):
            return np.full(len(p_values), np.nan)
        at = np.minimum(np.searchsorted(self.p_values, p_values), len(self.p_values) - 1)
        return np.where(np.isnan(p_values), np.nan, self.q_values[at])


def _rounded_if_many(values: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return values and counts as they are, or rounded up if there are too many."""
    if len(values) <= EXACT:
        return values, counts
    rounded, index = np.unique(_rounded_up(values), return_inverse=True)
    return rounded, np.bincount(index, counts, len(rounded)).astype(np.int64)


def _rounded_up(values: np.ndarray) -> np.ndarray:
    """Return the next larger number of `DIGITS` bits of mantissa, itself where it has no more."""
    bits = np.ascontiguousarray(values).view(np.uint64)
    up = (bits + ((np.uint64(1) << DROPPED) - np.uint64(1))) >> DROPPED << DROPPED
    return np.minimum(up.view(np.float64), 1.0)
