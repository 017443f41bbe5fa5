"""Central moments to order four, extremes and counts of p numeric columns.

Source: Chan, Golub & LeVeque (1983) and Pebay (2008, SAND2008-6212, eq. 2.1):
centred sums about a value of the column, so a common offset costs no digits.
Weights take the place of counts in these sums; without weights every row weighs
1. Cost: O(p) state, one pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa

from featflow.columns.column import Column
from featflow.columns.values import divisor, finite_values, row_weights, values_less
from featflow.summaries.array_state import ArrayState
from featflow.summaries.protocol import Spec

__all__ = ["Moments", "MomentsSummarizer"]

PER_COLUMN = 12
"""Numbers kept a column."""


@dataclass(frozen=True, slots=True, eq=False)
class Moments(ArrayState):
    """Centred sums of the finite values of p columns.

    Examples
    --------
    >>> from featflow.columns.column import Column, Kind
    >>> spec = MomentsSummarizer((Column("x", "float64", Kind.NUMBER),))
    >>> batch = pa.record_batch({"x": [1.0, 2.0, 6.0, None]})
    >>> state = spec.summarize(batch.slice(0, 1)).merge(spec.summarize(batch.slice(1)))
    >>> int(state.n[0]), float(state.origin[0] + state.mean[0]), float(state.m2[0])
    (3, 3.0, 14.0)
    """

    weight_sum: float
    """Sum of the weights of all rows."""
    weight_square_sum: float
    """Sum of the squared weights of all rows."""
    missing: np.ndarray
    """Nulls, shape (p,), int64."""
    nonfinite: np.ndarray
    """NaN and infinities, shape (p,), int64."""
    n: np.ndarray
    """Finite values, shape (p,), int64."""
    weight: np.ndarray
    """Sum of the weights of the finite values, shape (p,)."""
    weight_square: np.ndarray
    """Sum of the squared weights of the finite values, shape (p,)."""
    origin: np.ndarray
    """A value of the column, 0 where the weight is 0, shape (p,): deviations from it keep digits at any offset."""
    mean: np.ndarray
    """Mean less the origin, shape (p,), in the column's unit."""
    m2: np.ndarray
    """Weighted sum of (x - mean)^2, shape (p,)."""
    m3: np.ndarray
    """Weighted sum of (x - mean)^3, shape (p,)."""
    m4: np.ndarray
    """Weighted sum of (x - mean)^4, shape (p,)."""
    low: np.ndarray
    """Smallest value, infinity where n is 0, shape (p,)."""
    high: np.ndarray
    """Largest value, minus infinity where n is 0, shape (p,)."""

    @np.errstate(over="ignore", invalid="ignore")  # what overflows becomes null in the tables
    def merge(self, other: Self) -> Self:
        """Return the moments of both operands' rows."""
        na, nb = self.weight, other.weight
        n = divisor(na + nb)
        shift = other.origin - self.origin
        delta = shift + (other.mean - self.mean)
        share = nb / n
        mean = self.mean + delta * share
        origin = np.where(na == 0, other.origin, self.origin)
        m2 = self.m2 + other.m2 + delta**2 * na * share
        m3 = self.m3 + other.m3 + delta**3 * na * share * (na - nb) / n
        m3 += 3.0 * delta * (na * other.m2 - nb * self.m2) / n
        m4 = self.m4 + other.m4 + delta**4 * na * share * (na**2 - na * nb + nb**2) / n**2
        m4 += 6.0 * delta**2 * (na**2 * other.m2 + nb**2 * self.m2) / n**2
        m4 += 4.0 * delta * (na * other.m3 - nb * self.m3) / n

        def chosen(ours: np.ndarray, theirs: np.ndarray, both: np.ndarray) -> np.ndarray:
            return np.where(na == 0, theirs, np.where(nb == 0, ours, both))

        return type(self)(
            self.rows + other.rows,
            self.weight_sum + other.weight_sum,
            self.weight_square_sum + other.weight_square_sum,
            self.missing + other.missing,
            self.nonfinite + other.nonfinite,
            self.n + other.n,
            na + nb,
            self.weight_square + other.weight_square,
            origin,
            chosen(self.mean, other.mean, mean),
            chosen(self.m2, other.m2, m2),
            chosen(self.m3, other.m3, m3),
            chosen(self.m4, other.m4, m4),
            np.minimum(self.low, other.low),
            np.maximum(self.high, other.high),
        )


@dataclass(frozen=True, slots=True)
class MomentsSummarizer(Spec[Moments]):
    """Spec of `Moments`."""

    name = "moments"
    state = Moments

    numbers: tuple[Column, ...]
    """Numeric columns."""
    weight: Column | None = None
    """Row weights."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """Numbers and the weight."""
        return self.numbers + ((self.weight,) if self.weight else ())

    def empty(self) -> Moments:
        """Return the moments of no rows."""
        p = len(self.numbers)
        counts, sums = np.zeros(p, np.int64), np.zeros(p)
        extremes = np.full(p, np.inf), np.full(p, -np.inf)
        return Moments(0, 0.0, 0.0, counts, counts, counts, sums, sums, sums, sums, sums, sums, sums, *extremes)

    @np.errstate(over="ignore")  # such weights are refused
    def summarize(self, batch: pa.RecordBatch) -> Moments:
        """Return the moments of a batch."""
        weights, rows = row_weights(batch, self.weight), batch.num_rows
        weight_sums = (
            (float(rows), float(rows)) if weights is None else (float(weights.sum()), float((weights**2).sum()))
        )
        columns = [_column_moments(batch.column(number.name), weights) for number in self.numbers]
        table = np.ascontiguousarray(np.array(columns, np.float64).reshape(-1, PER_COLUMN).T)
        return Moments(rows, *weight_sums, *table[:3].astype(np.int64), *table[3:])

    def nbytes(self) -> int:
        """Return the bytes of a state."""
        return 8 * (PER_COLUMN * len(self.numbers) + 2)


@np.errstate(over="ignore", invalid="ignore")  # what overflows becomes null in the tables
def _column_moments(array: pa.Array, weights: np.ndarray | None) -> tuple[float, ...]:
    values, finite = finite_values(array)
    present = values[finite]
    n = len(present)
    counts = array.null_count, len(array) - array.null_count - n, n
    extremes = (float(present.min()), float(present.max())) if n else (np.inf, -np.inf)
    if weights is not None:
        weights = weights[finite]
        present, weights = present[weights > 0], weights[weights > 0]
    if not len(present):
        return *counts, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, *extremes
    total, squares = (float(n), float(n)) if weights is None else (float(weights.sum()), float((weights**2).sum()))
    origin = float(present[0])
    x = values_less(present, np.ones(len(present), dtype=bool), origin)
    mean = float((x if weights is None else weights * x).sum()) / total
    centred = x - mean
    square = centred**2
    weighted = square if weights is None else weights * square
    sums = float(weighted.sum()), float((weighted * centred).sum()), float((weighted * square).sum())
    return *counts, total, squares, origin, mean, *sums, *extremes
