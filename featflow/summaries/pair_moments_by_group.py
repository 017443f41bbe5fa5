"""Second moments of the pairs of numbers that a table keeps, by group of rows, for the jackknife.

The state is `CoMoments`, its rows the groups and its columns the pairs. Values are
less the codebook's centre, as in `CoMomentsSummarizer`; sums within a group are
taken about it, so a group that lies k standard deviations away loses 2 log10(k)
digits, which error bars can spare. Cost: a sum a pair, two more for each of its
columns that misses values, and one of rows where both do.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa

from featflow.columns.codebook import NumberCoding
from featflow.columns.column import Column
from featflow.columns.encoding import centred_values, ranks
from featflow.columns.jackknife_groups import JackknifeGroups, group_codes
from featflow.columns.values import divisor, row_weights
from featflow.summaries.comoments import CoMoments
from featflow.summaries.number_block import Values
from featflow.summaries.protocol import Spec

__all__ = ["PairMomentsByGroupSummarizer", "PairRankMomentsByGroupSummarizer"]


@dataclass(frozen=True, slots=True)
class _SortedColumn:
    """A column of a batch, rows sorted by group."""

    x: np.ndarray
    """Values, 0 where absent."""
    weighted: np.ndarray
    """Values times weights."""
    present: np.ndarray | None
    """Presence (0 or 1), float64; None where no value is missing."""


@dataclass(frozen=True, slots=True)
class _PairSpec(Spec[CoMoments]):
    """Fields and methods that both specs share: pairs and groups."""

    state = CoMoments

    pairs: tuple[tuple[NumberCoding, NumberCoding], ...]
    """Codings of the pairs."""
    jackknife: JackknifeGroups
    """Groups of rows."""
    weight: Column | None = None
    """Row weights."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """Columns of the pairs, what groups the rows, and the weight."""
        columns = dict.fromkeys(coding.column for pair in self.pairs for coding in pair)
        return tuple(columns | dict.fromkeys((*self.jackknife.columns, *([self.weight] if self.weight else []))))

    def empty(self) -> CoMoments:
        """Return the moments of no rows."""
        shape = (self.jackknife.groups, len(self.pairs))
        zero = np.zeros(shape)
        weight, heaviest = (zero, 0.0) if self.weight else (None, 1.0)
        return CoMoments(0, np.zeros(shape, np.int64), weight, heaviest, zero, zero, zero, zero, zero)

    def nbytes(self) -> int:
        """Return the bytes of a state."""
        return 8 * ((7 if self.weight else 6) * self.jackknife.groups * len(self.pairs) + 1)

    @np.errstate(over="ignore", invalid="ignore")  # what overflows becomes null in the tables
    def _summarize(self, batch: pa.RecordBatch, values: Values) -> CoMoments:
        if not batch.num_rows:
            return self.empty()
        groups, weights = group_codes(batch, self.jackknife), row_weights(batch, self.weight)
        order = np.argsort(groups, kind="stable")
        rows = np.bincount(groups, minlength=self.jackknife.groups)
        with_rows = np.flatnonzero(rows)
        starts = (np.cumsum(rows) - rows)[with_rows]
        weights = None if weights is None else weights[order]

        def sums(x: np.ndarray) -> np.ndarray:
            by_group = np.zeros(self.jackknife.groups)
            by_group[with_rows] = np.add.reduceat(x, starts)
            return by_group

        product = np.empty(batch.num_rows)

        def partner_sums(column: _SortedColumn, present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            weighted = sums(np.multiply(column.weighted, present, out=product))
            return weighted, sums(np.multiply(product, column.x, out=product))

        @cache
        def column_sums(name: str) -> tuple[np.ndarray, ...]:
            column = sorted_columns[name]
            present = np.ones(batch.num_rows) if column.present is None else column.present
            total = present if weights is None else np.multiply(present, weights, out=product)
            return sums(present), sums(total), *partner_sums(column, np.ones(1))

        sorted_columns = {}
        for coding in {coding.column.name: coding for pair in self.pairs for coding in pair}.values():
            x, present = (array[order] for array in values(batch.column(coding.column.name), coding))
            weighted = x if weights is None else x * weights
            presence = None if present.all() else present.astype(np.float64)
            sorted_columns[coding.column.name] = _SortedColumn(x, weighted, presence)
        parts = []
        for names in ((left.column.name, right.column.name) for left, right in self.pairs):
            left, right = (sorted_columns[name] for name in names)
            x, xx = column_sums(names[0])[2:] if right.present is None else partner_sums(left, right.present)
            y, yy = column_sums(names[1])[2:] if left.present is None else partner_sums(right, left.present)
            if left.present is None or right.present is None:
                n, total = column_sums(names[1 if left.present is None else 0])[:2]
            else:
                n = total = sums(np.multiply(left.present, right.present, out=product))
                total = n if weights is None else sums(np.multiply(product, weights, out=product))
            parts.append((n, total, x, y, xx, yy, sums(np.multiply(left.weighted, right.x, out=product))))
        n, total, x, y, xx, yy, xy = (np.stack(part, axis=1) for part in zip(*parts, strict=True))
        x, y = x / divisor(total), y / divisor(total)
        xx, yy = np.maximum(xx - total * x**2, 0.0), np.maximum(yy - total * y**2, 0.0)
        weight, heaviest = (None, 1.0) if weights is None else (total, float(weights.max()))
        return CoMoments(batch.num_rows, n.astype(np.int64), weight, heaviest, x, y, xx, yy, xy - total * x * y)


@dataclass(frozen=True, slots=True)
class PairMomentsByGroupSummarizer(_PairSpec):
    """Spec of `CoMoments` of values, by group and pair.

    Examples
    --------
    >>> from featflow.columns.binning import number_coding
    >>> from featflow.columns.sort_keys import sortable_keys
    >>> from featflow.columns.column import Kind
    >>> x, y, g = (Column(n, "float64", Kind.NUMBER) for n in "xyg")
    >>> codings = tuple(number_coding(c, sortable_keys(np.zeros(1)), np.array([1]), 0, (64, 16)) for c in (x, y))
    >>> spec = PairMomentsByGroupSummarizer((codings,), JackknifeGroups("unit", (g,), 2))
    >>> batch = pa.record_batch({"x": [1.0, 3.0, 5.0], "y": [2.0, 0.0, 7.0], "g": [0.0, 0.0, 1.0]})
    >>> spec.summarize(batch).c.tolist()
    [[-2.0], [0.0]]
    """

    name = "pair_moments_by_group"

    def summarize(self, batch: pa.RecordBatch) -> CoMoments:
        """Return the moments of a batch."""
        return self._summarize(batch, centred_values)


@dataclass(frozen=True, slots=True)
class PairRankMomentsByGroupSummarizer(_PairSpec):
    """Spec of `CoMoments` of ranks, by group and pair."""

    name = "pair_rank_moments_by_group"

    def summarize(self, batch: pa.RecordBatch) -> CoMoments:
        """Return the moments of a batch's ranks."""
        return self._summarize(batch, ranks)
