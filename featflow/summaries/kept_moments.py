"""Second moments of the pairs of numbers that a table keeps, by group of rows: what the jackknife needs of them.

The state is `CoMoments`, its rows the groups and its columns the pairs. Values are
less the codebook's centre, as in `CoMomentsSummarizer`; sums within a group are
taken about it, so a group that lies k standard deviations away loses 2 log10(k)
digits, which error bars can spare. Cost: a sum a pair, two more for each of its
columns that miss values, and one of rows where both do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from featflow.binning import centred_values, divisor, ranks, row_weights
from featflow.columns import Column, Grouping, NumberCoding
from featflow.grouping import group_codes
from featflow.summaries.block_columns import Columns, Values, block_columns, times
from featflow.summaries.comoments import CoMoments

__all__ = ["KeptMomentsSummarizer", "KeptRankMomentsSummarizer"]

PIECE_ROWS, PIECE_BYTES = 8_192, 2**25
"""Rows of a piece, for which what a pair needs stays near the processor; bytes of a piece of many columns."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """What both specs have: pairs and groups."""

    pairs: tuple[tuple[NumberCoding, NumberCoding], ...]
    """Codings of the pairs."""
    grouping: Grouping
    """Groups of rows."""
    weight: Column | None = None
    """Row weights."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """All that is read."""
        columns = dict.fromkeys(coding.column for pair in self.pairs for coding in pair)
        return tuple(columns | dict.fromkeys((*self.grouping.columns, *([self.weight] if self.weight else []))))

    def empty(self) -> CoMoments:
        """Return the moments of no rows."""
        shape = (self.grouping.groups, len(self.pairs))
        zero = np.zeros(shape)
        weight, heaviest = (zero, 0.0) if self.weight else (None, 1.0)
        return CoMoments(0, np.zeros(shape, np.int64), weight, heaviest, zero, zero, zero, zero, zero)

    def nbytes(self) -> int:
        """Return the bytes of a state."""
        return 8 * ((7 if self.weight else 6) * self.grouping.groups * len(self.pairs) + 1)

    @np.errstate(over="ignore", invalid="ignore")  # what overflows becomes null in the tables
    def _summarize(self, batch: pa.RecordBatch, values: Values) -> CoMoments:
        if not batch.num_rows or not self.pairs:
            return self.empty()
        codings = tuple({coding.column.name: coding for pair in self.pairs for coding in pair}.values())
        index = {coding.column.name: i for i, coding in enumerate(codings)}
        left, right = np.array([[index[coding.column.name] for coding in pair] for pair in self.pairs]).T
        sums = _GroupSums(block_columns(batch, codings, values), left, right, self.grouping.groups)
        groups, weights = group_codes(batch, self.grouping), row_weights(batch, self.weight)
        length = min(PIECE_BYTES // (8 * len(codings)) + 1, PIECE_ROWS)
        for start in range(0, batch.num_rows, length):
            rows = slice(start, start + length)
            sums.add(start, groups[rows], None if weights is None else weights[rows])
        n, total, x, y, xx, yy, xy = (array.T for array in sums.of_pairs())
        total = n if weights is None else total
        x, y = x / divisor(total), y / divisor(total)
        xx, yy = np.maximum(xx - total * x**2, 0.0), np.maximum(yy - total * y**2, 0.0)
        weight, heaviest = (None, 1.0) if weights is None else (total, float(weights.max()))
        return CoMoments(batch.num_rows, n.astype(np.int64), weight, heaviest, x, y, xx, yy, xy - total * x * y)


class _GroupSums:
    """Running sums by group."""

    def __init__(self, columns: Columns, left: np.ndarray, right: np.ndarray, groups: int) -> None:
        self.columns, self.left, self.right = columns, left, right
        self.place = np.full(len(columns.arrays), -1)
        self.place[columns.incomplete] = np.arange(len(columns.incomplete))
        self.own = np.zeros((4, len(columns.arrays), groups))
        """Of each column: rows in which it is finite, their weights, values and squares."""
        self.sums = np.zeros((7, len(left), groups))
        """Of each pair: what `of_pairs` returns, 0 where it is a sum of one column."""

    def add(self, start: int, groups: np.ndarray, weights: np.ndarray | None) -> None:
        order = np.argsort(groups, kind="stable")
        found, starts = np.unique(groups[order], return_index=True)
        weights = None if weights is None else weights[order]
        piece = self.columns.piece(start, len(groups), np.zeros(len(self.columns.arrays))).taken(order)
        heavy = piece.weighted(weights)
        x, present, squares = piece.x, piece.present, times(heavy.x, piece.x)
        ones = np.ones(len(groups))
        for into, every, some in ((0, ones, present), (1, ones if weights is None else weights, heavy.present)):
            counts = np.repeat(np.add.reduceat(every, starts)[None], len(x), axis=0)
            counts[self.columns.incomplete] = np.add.reduceat(some, starts, axis=1)
            self.own[into][:, found] += counts
        for into, array in ((2, heavy.x), (3, squares)):
            self.own[into][:, found] += np.add.reduceat(array, starts, axis=1)
        runs, product = np.zeros((7, len(self.left), len(starts))), np.empty(len(groups))
        pairs = zip(self.left, self.right, self.place[self.left], self.place[self.right], strict=True)
        for pair, (a, b, in_a, in_b) in enumerate(pairs):
            terms = [(6, heavy.x[a], x[b])]
            if in_b >= 0:
                terms += [(2, heavy.x[a], present[in_b]), (4, squares[a], present[in_b])]
            if in_a >= 0:
                terms += [(3, heavy.x[b], present[in_a]), (5, squares[b], present[in_a])]
            if in_a >= 0 and in_b >= 0:
                terms += [(0, present[in_a], present[in_b])]
                terms += [] if weights is None else [(1, heavy.present[in_a], present[in_b])]
            for into, factor, other in terms:
                np.multiply(factor, other, out=product)
                np.add.reduceat(product, starts, out=runs[into, pair])
        self.sums[:, :, found] += runs

    def of_pairs(self) -> np.ndarray:
        """Return rows, weights and sums of x, y, x^2, y^2, x y, shape (7, pairs, groups)."""
        complete_left, complete_right = self.place[self.left] < 0, self.place[self.right] < 0
        for columns, alone, into in (
            (self.right, complete_left, ((0, 0), (1, 1), (3, 2), (5, 3))),
            (self.left, complete_right, ((0, 0), (1, 1), (2, 2), (4, 3))),
        ):
            for sums, own in into:
                self.sums[sums, alone] = self.own[own][columns[alone]]
        return self.sums


@dataclass(frozen=True, slots=True)
class KeptMomentsSummarizer(_Kept):
    """Spec of `CoMoments` of values, by group and pair.

    Examples
    --------
    >>> from featflow.binning import number_coding, sortable_keys
    >>> from featflow.columns import Kind
    >>> x, y, g = (Column(n, "float64", Kind.NUMBER) for n in "xyg")
    >>> codings = tuple(number_coding(c, sortable_keys(np.zeros(1)), np.array([1]), 0, (64, 16)) for c in (x, y))
    >>> spec = KeptMomentsSummarizer((codings,), Grouping("unit", (g,), 2))
    >>> batch = pa.record_batch({"x": [1.0, 3.0, 5.0], "y": [2.0, 0.0, 7.0], "g": [0.0, 0.0, 1.0]})
    >>> spec.summarize(batch).c.tolist()
    [[-2.0], [0.0]]
    """

    @property
    def name(self) -> str:
        """Folder of its states."""
        return "kept_moments"

    def summarize(self, batch: pa.RecordBatch) -> CoMoments:
        """Return the moments of a batch."""
        return self._summarize(batch, centred_values)


@dataclass(frozen=True, slots=True)
class KeptRankMomentsSummarizer(_Kept):
    """Spec of `CoMoments` of ranks, by group and pair."""

    @property
    def name(self) -> str:
        """Folder of its states."""
        return "kept_rank_moments"

    def summarize(self, batch: pa.RecordBatch) -> CoMoments:
        """Return the moments of a batch's ranks."""
        return self._summarize(batch, ranks)
