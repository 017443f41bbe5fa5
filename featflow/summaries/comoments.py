"""Centred second moments of two blocks of numeric columns, pairwise complete.

Every pair has its own rows: those in which both columns are finite. Merging is
Chan et al. (1983) extended to co-moments by Pebay (2008, SAND2008-6212, eq. 3.2),
and values are less the codebook's centre of their column, so a common offset
costs no digits. Where rows have weights, sums of them take the place of counts.
Two specs share the state: `CoMomentsSummarizer` of values gives Pearson's
correlation, `RankCoMomentsSummarizer` of codebook ranks gives Spearman's. Cost:
six p x q float64 matrices, seven with weights; as many products a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import pyarrow as pa
import torch

from featflow.binning import centred_values, divisor, ranks, row_weights
from featflow.columns import Column, NumberCoding

__all__ = ["CoMoments", "CoMomentsSummarizer", "RankCoMomentsSummarizer"]

CANCELS_FROM = 100.0
"""Squared mean over variance from which a difference of sums loses more than two digits."""
AGAIN_AT_ONCE = 16
"""Pairs of one column that are computed again together: what bounds their memory."""


@dataclass(frozen=True, slots=True, eq=False)
class CoMoments:
    """Second moments of p left and q right columns over the rows where both are finite.

    Examples
    --------
    >>> from featflow.columns import Column, Kind
    >>> from featflow.binning import number_coding, sortable_keys
    >>> x, y = (
    ...     number_coding(Column(n, "float64", Kind.NUMBER), sortable_keys(np.array([v])), np.array([1]), 0, (64, 16))
    ...     for n, v in (("x", 1e8), ("y", 0.0))
    ... )
    >>> spec = CoMomentsSummarizer((x, y), (x, y))
    >>> batch = pa.record_batch({"x": [1e8, 1e8 + 2.0, None], "y": [3.0, 1.0, 7.0]})
    >>> state = spec.summarize(batch.slice(0, 1)).merge(spec.summarize(batch.slice(1)))
    >>> state.rows, int(state.n[0, 1]), float(state.c[0, 1])
    (3, 2, -2.0)
    """

    rows: int
    """Rows seen."""
    n: np.ndarray
    """Rows in which both columns are finite, shape (p, q), int64."""
    weight: np.ndarray | None
    """Sum of the weights of the pair's rows, shape (p, q); None where every row weighs 1."""
    heaviest: float
    """Largest weight of a row."""
    left_mean: np.ndarray
    """Mean of the left column over these rows, less its centre, shape (p, q), in its unit."""
    right_mean: np.ndarray
    """Mean of the right column over these rows, less its centre, shape (p, q), in its unit."""
    left_m2: np.ndarray
    """Weighted sum of squared deviations of the left column, shape (p, q)."""
    right_m2: np.ndarray
    """Weighted sum of squared deviations of the right column, shape (p, q)."""
    c: np.ndarray
    """Weighted sum of products of deviations, shape (p, q)."""

    @property
    def total(self) -> np.ndarray:
        """Sum of the weights of the pair's rows, shape (p, q); ``n`` itself without weights."""
        return self.n if self.weight is None else self.weight

    @np.errstate(over="ignore", invalid="ignore")  # what overflows becomes null in the tables
    def merge(self, other: Self) -> Self:
        """Return the moments of both operands' rows."""
        n = self.n + other.n
        total = n if self.weight is None else self.total + other.total
        kept = None if self.weight is None else total, max(self.heaviest, other.heaviest)
        share = other.total / divisor(total)
        weight = self.total * share
        left, right = other.left_mean - self.left_mean, other.right_mean - self.right_mean
        merged = (
            (self.left_mean, other.left_mean, self.left_mean + left * share),
            (self.right_mean, other.right_mean, self.right_mean + right * share),
            (self.left_m2, other.left_m2, self.left_m2 + other.left_m2 + left**2 * weight),
            (self.right_m2, other.right_m2, self.right_m2 + other.right_m2 + right**2 * weight),
            (self.c, other.c, self.c + other.c + left * right * weight),
        )
        chosen = (np.where(self.total == 0, b, np.where(other.total == 0, a, both)) for a, b, both in merged)
        return type(self)(self.rows + other.rows, n, *kept, *chosen)

    def to_arrow(self) -> pa.Table:
        """Return one row a pair, left column by left column."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        metadata = {name: repr(values.pop(name)) for name in ("rows", "heaviest")}
        arrays = {name: value.ravel() for name, value in values.items() if value is not None}
        return pa.table(arrays).replace_schema_metadata({"version": "2", "left": str(len(self.n))} | metadata)

    @classmethod
    def from_arrow(cls, table: pa.Table) -> Self:
        """Rebuild the state."""
        metadata = table.schema.metadata
        p = int(metadata[b"left"])
        shape = (p, table.num_rows // p if p else 0)
        arrays = {name: table.column(name).to_numpy().reshape(shape) for name in table.column_names}
        kept = arrays.pop("n"), arrays.pop("weight", None), float(metadata[b"heaviest"])
        return cls(int(metadata[b"rows"]), *kept, *arrays.values())


Columnar = Iterator[tuple[np.ndarray, np.ndarray]]
"""Values (0 where absent) and presence of one column after another, each shape (rows,)."""
Values = Callable[[pa.Array, NumberCoding], tuple[np.ndarray, np.ndarray]]
"""What takes values and presence from a column."""
Side = tuple[torch.Tensor, torch.Tensor]
"""Values (0 where absent) and presence (0 or 1) of a block, both shape (width, rows), float64."""


def _block(columns: Columnar, rows: int, width: int) -> Side:
    values, present = torch.zeros((width, rows), dtype=torch.float64), torch.zeros((width, rows), dtype=torch.float64)
    for index, (x, finite) in enumerate(columns):
        values[index] = torch.from_numpy(x)
        present[index] = torch.from_numpy(finite.astype(np.float64))
    return values, present


def _comoments(left: Side, right: Side, weights: torch.Tensor | None) -> CoMoments:
    (x, in_x), (y, in_y) = left, right
    weighted_x, weighted_in_x = _times(x, weights), _times(in_x, weights)
    total = weighted_in_x @ in_y.T
    safe = torch.where(total > 0, total, 1.0)
    mean_x, mean_y = (weighted_x @ in_y.T) / safe, (weighted_in_x @ y.T) / safe
    m2_x = ((weighted_x * x) @ in_y.T - total * mean_x**2).clamp(min=0.0)
    m2_y = (weighted_in_x @ (y * y).T - total * mean_y**2).clamp(min=0.0)
    c = weighted_x @ y.T - total * mean_x * mean_y
    # Where a pair's rows lie far from a centre the differences above cancel: those pairs again, about their means.
    cancelled = (total * mean_x**2 > CANCELS_FROM * m2_x) | (total * mean_y**2 > CANCELS_FROM * m2_y)
    for i in torch.nonzero(cancelled.any(dim=1)).ravel().tolist():
        for some in torch.split(torch.nonzero(cancelled[i]).ravel(), AGAIN_AT_ONCE):
            both, weight = in_x[i] * in_y[some], safe[i, some, None]
            dx, dy = (x[i] - mean_x[i, some, None]) * both, (y[some] - mean_y[i, some, None]) * both
            off_x, off_y = (_times(d, weights).sum(dim=1, keepdim=True) / weight for d in (dx, dy))
            dx, dy = (dx - off_x) * both, (dy - off_y) * both
            mean_x[i, some] += off_x.ravel()
            mean_y[i, some] += off_y.ravel()
            weighted = _times(dx, weights)
            m2_x[i, some], m2_y[i, some] = (weighted * dx).sum(dim=1), (_times(dy, weights) * dy).sum(dim=1)
            c[i, some] = (weighted * dy).sum(dim=1)
    n = total if weights is None else in_x @ in_y.T
    sums = (array.numpy() for array in (mean_x, mean_y, m2_x, m2_y, c))
    kept = (None, 1.0) if weights is None else (total.numpy(), float(weights.max()) if len(weights) else 0.0)
    return CoMoments(x.shape[1], n.to(torch.int64).numpy(), *kept, *sums)


def _times(values: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
    return values if weights is None else values * weights


@dataclass(frozen=True, slots=True)
class _BlockPair:
    """What both specs have: two blocks of numbers."""

    left: tuple[NumberCoding, ...]
    """Codings of the first block."""
    right: tuple[NumberCoding, ...]
    """Codings of the second block; the same for a diagonal block."""
    weight: Column | None = None
    """Row weights."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """Columns of both blocks, and the weight."""
        columns = dict.fromkeys(coding.column for coding in self.left + self.right)
        return tuple(columns) + ((self.weight,) if self.weight else ())

    def empty(self) -> CoMoments:
        """Return the moments of no rows."""
        shape = (len(self.left), len(self.right))
        zero = np.zeros(shape)
        weight, heaviest = (zero, 0.0) if self.weight else (None, 1.0)
        return CoMoments(0, np.zeros(shape, np.int64), weight, heaviest, zero, zero, zero, zero, zero)

    def nbytes(self) -> int:
        """Return the bytes of a state."""
        return 8 * ((7 if self.weight else 6) * len(self.left) * len(self.right) + 1)

    def _summarize(self, batch: pa.RecordBatch, values: Values) -> CoMoments:
        left, right = (
            _block((values(batch.column(c.column.name), c) for c in side), batch.num_rows, len(side))
            for side in (self.left, self.right if self.right != self.left else ())
        )
        weights = row_weights(batch, self.weight)
        tensor = None if weights is None else torch.from_numpy(weights)
        return _comoments(left, left if self.right == self.left else right, tensor)


@dataclass(frozen=True, slots=True)
class CoMomentsSummarizer(_BlockPair):
    """Spec of `CoMoments` of values, less the centre of each column's coding."""

    @property
    def name(self) -> str:
        """Folder of its states."""
        return "comoments"

    def summarize(self, batch: pa.RecordBatch) -> CoMoments:
        """Return the moments of a batch."""
        return self._summarize(batch, centred_values)


@dataclass(frozen=True, slots=True)
class RankCoMomentsSummarizer(_BlockPair):
    """Spec of `CoMoments` of ranks; ranks are shares of the codebook's values, between 0 and 1."""

    @property
    def name(self) -> str:
        """Folder of its states."""
        return "rank_comoments"

    def summarize(self, batch: pa.RecordBatch) -> CoMoments:
        """Return the moments of a batch's ranks."""
        return self._summarize(batch, ranks)
