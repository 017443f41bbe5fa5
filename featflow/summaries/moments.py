"""Central moments to order four, extremes and counts of p numeric columns.

Source: Chan, Golub & LeVeque (1983) and Pebay (2008, SAND2008-6212, eq. 2.1):
centred sums about a value of the column, so a common offset costs no digits.
Cost: O(p) state, one pass.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import pyarrow as pa

from featflow.binning import finite_values, values_less
from featflow.columns import Column

__all__ = ["Moments", "MomentsSummarizer"]


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Centred sums of the finite values of p columns.

    Examples
    --------
    >>> from featflow.columns import Column, Kind
    >>> spec = MomentsSummarizer((Column("x", "float64", Kind.NUMBER),))
    >>> batch = pa.record_batch({"x": [1.0, 2.0, 6.0, None]})
    >>> state = spec.summarize(batch.slice(0, 1)).merge(spec.summarize(batch.slice(1)))
    >>> int(state.n[0]), float(state.origin[0] + state.mean[0]), float(state.m2[0])
    (3, 3.0, 14.0)
    """

    rows: int
    """Rows seen."""
    missing: np.ndarray
    """Nulls, shape (p,), int64."""
    nonfinite: np.ndarray
    """NaN and infinities, shape (p,), int64."""
    n: np.ndarray
    """Finite values, shape (p,), int64."""
    origin: np.ndarray
    """A value of the column, 0 where n is 0, shape (p,): deviations from it keep their digits at any offset."""
    mean: np.ndarray
    """Mean less the origin, shape (p,), in the column's unit."""
    m2: np.ndarray
    """Sum of (x - mean)^2, shape (p,)."""
    m3: np.ndarray
    """Sum of (x - mean)^3, shape (p,)."""
    m4: np.ndarray
    """Sum of (x - mean)^4, shape (p,)."""
    low: np.ndarray
    """Smallest value, infinity where n is 0, shape (p,)."""
    high: np.ndarray
    """Largest value, minus infinity where n is 0, shape (p,)."""

    @np.errstate(over="ignore", invalid="ignore")  # what overflows becomes null in the tables
    def merge(self, other: Self) -> Self:
        """Return the moments of both operands' rows."""
        na, nb = self.n.astype(np.float64), other.n.astype(np.float64)
        n = np.maximum(na + nb, 1.0)
        shift = other.origin - self.origin
        delta = shift + (other.mean - self.mean)
        share = nb / n
        mean = self.mean + delta * share
        origin = np.where(self.n == 0, other.origin, self.origin)
        m2 = self.m2 + other.m2 + delta**2 * na * share
        m3 = self.m3 + other.m3 + delta**3 * na * share * (na - nb) / n
        m3 += 3.0 * delta * (na * other.m2 - nb * self.m2) / n
        m4 = self.m4 + other.m4 + delta**4 * na * share * (na**2 - na * nb + nb**2) / n**2
        m4 += 6.0 * delta**2 * (na**2 * other.m2 + nb**2 * self.m2) / n**2
        m4 += 4.0 * delta * (na * other.m3 - nb * self.m3) / n

        def chosen(ours: np.ndarray, theirs: np.ndarray, both: np.ndarray) -> np.ndarray:
            return np.where(self.n == 0, theirs, np.where(other.n == 0, ours, both))

        return type(self)(
            self.rows + other.rows,
            self.missing + other.missing,
            self.nonfinite + other.nonfinite,
            self.n + other.n,
            origin,
            chosen(self.mean, other.mean, mean),
            chosen(self.m2, other.m2, m2),
            chosen(self.m3, other.m3, m3),
            chosen(self.m4, other.m4, m4),
            np.minimum(self.low, other.low),
            np.maximum(self.high, other.high),
        )

    def to_arrow(self) -> pa.Table:
        """Return one row a column, the number of rows as metadata."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "rows"}
        return pa.table(arrays).replace_schema_metadata({"version": "1", "rows": str(self.rows)})

    @classmethod
    def from_arrow(cls, table: pa.Table) -> Self:
        """Rebuild the state."""
        rows = int(table.schema.metadata[b"rows"])
        return cls(rows, *(table.column(name).to_numpy() for name in table.column_names))


@dataclass(frozen=True, slots=True)
class MomentsSummarizer:
    """Spec of `Moments`."""

    columns: tuple[Column, ...]
    """Numeric columns."""

    @property
    def name(self) -> str:
        """Folder of its states."""
        return "moments"

    def empty(self) -> Moments:
        """Return the moments of no rows."""
        p = len(self.columns)
        counts, sums = np.zeros(p, np.int64), np.zeros(p)
        return Moments(0, counts, counts, counts, sums, sums, sums, sums, sums, np.full(p, np.inf), np.full(p, -np.inf))

    def summarize(self, batch: pa.RecordBatch) -> Moments:
        """Return the moments of a batch."""
        rows = [_moments(batch.column(column.name)) for column in self.columns]
        missing, nonfinite, n, *rest = (np.array(values) for values in zip(*rows, strict=True))
        return Moments(batch.num_rows, missing, nonfinite, n, *(values.astype(np.float64) for values in rest))

    def nbytes(self) -> int:
        """Return the bytes of a state."""
        return 10 * 8 * len(self.columns)


@np.errstate(over="ignore", invalid="ignore")  # what overflows becomes null in the tables
def _moments(array: pa.Array) -> tuple[float, ...]:
    values, finite = finite_values(array)
    missing, n = array.null_count, int(finite.sum())
    if not n:
        return missing, len(array) - missing, 0, 0.0, 0.0, 0.0, 0.0, 0.0, np.inf, -np.inf
    kept = values[finite]
    origin = float(kept[0])
    x = values_less(kept, np.ones(n, dtype=bool), origin)
    mean = float(x.mean())
    centred = x - mean
    square = centred**2
    sums = float(square.sum()), float((square * centred).sum()), float((square * square).sum())
    return missing, len(array) - missing - n, n, origin, mean, *sums, float(kept.min()), float(kept.max())
