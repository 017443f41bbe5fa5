"""Centred second moments of two blocks of numeric columns, pairwise complete.

Every pair has its own rows: those in which both columns are finite. Merging is
Chan et al. (1983) extended to co-moments by Pebay (2008, SAND2008-6212, eq. 3.2),
and values are less the codebook's centre of their column, so a common offset
costs no digits. Where rows have weights, sums of them take the place of counts.
Two specs share the state: `CoMomentsSummarizer` of values gives Pearson's
correlation, `RankCoMomentsSummarizer` of codebook ranks gives Spearman's. Cost:
one p x q float64 matrix where no value is missing, six or, with weights, seven
where some are; products a batch as `featflow.summaries.moment_products` says. A spec
with groups of rows keeps as many for each group: what the jackknife needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Self

import numpy as np
import pyarrow as pa

from featflow.columns.codebook import NumberCoding
from featflow.columns.column import Column
from featflow.columns.encoding import centred_values, ranks
from featflow.columns.jackknife_groups import JackknifeGroups, group_codes
from featflow.columns.values import divisor, row_weights
from featflow.summaries.array_state import ArrayState
from featflow.summaries.moment_products import PairMoments, pair_moments
from featflow.summaries.number_block import Values, block_columns
from featflow.summaries.protocol import Spec

__all__ = ["CoMoments", "CoMomentsSummarizer", "RankCoMomentsSummarizer"]

_Codings = tuple[NumberCoding, ...]


@dataclass(frozen=True, slots=True, eq=False)
class CoMoments(ArrayState):
    """Second moments of p left and q right columns over the rows where both are finite.

    What is the same for every partner column is stored once: arrays broadcast to shape (p, q), see `full`.
    Moments by group have one more axis, the first.

    Examples
    --------
    >>> from featflow.columns.column import Column, Kind
    >>> from featflow.columns.binning import number_coding
    >>> from featflow.columns.sort_keys import sortable_keys
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

    n: np.ndarray
    """Rows in which both columns are finite, int64, shape (1, 1), (p, 1), (1, q) or (p, q)."""
    weight: np.ndarray | None
    """Sum of the weights of the pair's rows, in the shape of ``n``; None where every row weighs 1."""
    heaviest: float
    """Largest weight of a row."""
    left_mean: np.ndarray
    """Mean of the left column over these rows, less its centre, in its unit, shape (p, 1) or (p, q)."""
    right_mean: np.ndarray
    """Mean of the right column over these rows, less its centre, in its unit, shape (1, q) or (p, q)."""
    left_m2: np.ndarray
    """Weighted sum of squared deviations of the left column, shape (p, 1) or (p, q)."""
    right_m2: np.ndarray
    """Weighted sum of squared deviations of the right column, shape (1, q) or (p, q)."""
    c: np.ndarray
    """Weighted sum of products of deviations, shape (p, q)."""

    @property
    def total(self) -> np.ndarray:
        """Sum of the weights of the pair's rows, in the shape of ``n``; ``n`` itself without weights."""
        return self.n if self.weight is None else self.weight

    def full(self) -> Self:
        """Return the same moments, every array in shape (p, q); what depends on one column is repeated as a view."""
        arrays = {name: np.broadcast_to(array, self.c.shape) for name, array in self._arrays()}
        return type(self)(self.rows, arrays.pop("n"), arrays.pop("weight", None), self.heaviest, **arrays)

    def of_pairs(self, left: np.ndarray, right: np.ndarray) -> Self:
        """Return the moments by group of some pairs, shape (groups, pairs), from their columns, shapes (pairs,)."""
        arrays = {name: np.broadcast_to(array, self.c.shape)[:, left, right] for name, array in self._arrays()}
        return type(self)(self.rows, arrays.pop("n"), arrays.pop("weight", None), self.heaviest, **arrays)

    @np.errstate(over="ignore", invalid="ignore")
    def over_groups(self) -> Self:
        """Return the moments of the rows of all groups."""
        total = self.total.sum(axis=0)
        mean_x, mean_y = (
            (self.total * mean).sum(axis=0) / divisor(total) for mean in (self.left_mean, self.right_mean)
        )
        x, y = self.left_mean - mean_x, self.right_mean - mean_y
        return type(self)(
            self.rows,
            self.n.sum(axis=0),
            None if self.weight is None else total,
            self.heaviest,
            mean_x,
            mean_y,
            (self.left_m2 + self.total * x**2).sum(axis=0),
            (self.right_m2 + self.total * y**2).sum(axis=0),
            (self.c + self.total * x * y).sum(axis=0),
        )

    @np.errstate(over="ignore", invalid="ignore")  # what overflows becomes null in the tables
    def merge(self, other: Self) -> Self:
        """Return the moments of both operands' rows."""
        if not self.rows or not other.rows:
            return self if self.rows else other
        n = self.n + other.n
        total = n if self.weight is None else self.total + other.total
        share = other.total / divisor(total)
        weight = self.total * share
        left, right = other.left_mean - self.left_mean, other.right_mean - self.right_mean
        pull_left, pull_right = left * weight, right * weight
        return type(self)(
            self.rows + other.rows,
            n,
            None if self.weight is None else total,
            max(self.heaviest, other.heaviest),
            _add_in_place(left * share, self.left_mean),
            _add_in_place(right * share, self.right_mean),
            _add_in_place(pull_left * left, self.left_m2, other.left_m2),
            _add_in_place(pull_right * right, self.right_m2, other.right_m2),
            _add_in_place(pull_left * right, self.c, other.c),
        )

    def _arrays(self) -> Iterator[tuple[str, np.ndarray]]:
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return ((name, value) for name, value in values if isinstance(value, np.ndarray))


def _add_in_place(term: np.ndarray, *others: np.ndarray) -> np.ndarray:
    """Return the sum of arrays that broadcast; in place where ``term``, which no caller keeps, has the shape."""
    for other in others:
        shape = np.broadcast_shapes(term.shape, other.shape)
        term = np.add(term, other, out=term if term.shape == shape else None)
    return term


@dataclass(frozen=True, slots=True)
class _BlockPair(Spec[CoMoments]):
    """Fields and methods that both specs share: two blocks of numbers."""

    state = CoMoments

    left: tuple[NumberCoding, ...]
    """Codings of the first block."""
    right: tuple[NumberCoding, ...]
    """Codings of the second block; the same for a diagonal block."""
    weight: Column | None = None
    """Row weights."""
    jackknife: JackknifeGroups | None = None
    """Groups of rows that are kept apart; None for none."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """Columns of both blocks, the weight, and what groups the rows."""
        extra = (*([self.weight] if self.weight else []), *(self.jackknife.columns if self.jackknife else ()))
        return tuple(dict.fromkeys([*(coding.column for coding in self.left + self.right), *extra]))

    def empty(self) -> CoMoments:
        """Return the moments of no rows."""
        groups = (self.jackknife.groups,) if self.jackknife else ()
        shapes = (len(self.left), 1), (1, len(self.right)), (1, 1)
        left, right, single = (np.zeros((*groups, *shape)) for shape in shapes)
        weight, heaviest = (single, 0.0) if self.weight else (None, 1.0)
        return CoMoments(0, single.astype(np.int64), weight, heaviest, left, right, left, right, left * right)

    def nbytes(self) -> int:
        """Return the bytes of a state."""
        groups = self.jackknife.groups if self.jackknife else 1
        return 8 * ((7 if self.weight else 6) * groups * len(self.left) * len(self.right) + 1)

    def _by_group(
        self, batch: pa.RecordBatch, weights: np.ndarray | None, values: Values, jackknife: JackknifeGroups
    ) -> PairMoments:
        """Return the moments of every group, shape (groups, p, q) each."""
        groups = group_codes(batch, jackknife)
        order = None if (groups[1:] >= groups[:-1]).all() else np.argsort(groups, kind="stable")
        if weights is not None and order is not None:
            weights = weights[order]
        by_group = {}
        for coding in self.left + self.right:
            x, present = values(batch.column(coding.column.name), coding)
            if not present.all():
                x = np.where(present, x, np.nan)
            by_group[coding.column.name] = pa.array(x if order is None else x[order])
        ordered, ends = pa.record_batch(by_group), np.cumsum(np.bincount(groups, minlength=jackknife.groups)).tolist()
        left, right = (tuple(replace(coding, centre=0.0) for coding in side) for side in (self.left, self.right))
        right = left if self.right == self.left else right
        moments = {name: np.zeros((jackknife.groups, len(left), len(right))) for name in PairMoments.__slots__}
        for group, (start, end) in enumerate(pairwise([0, *ends])):
            if end > start:
                rows = ordered.slice(start, end - start)
                group_moments = _block_moments(
                    rows, left, right, None if weights is None else weights[start:end], centred_values
                )
                for name, array in moments.items():
                    array[group] = getattr(group_moments, name)
        return PairMoments(**moments)

    def _summarize(self, batch: pa.RecordBatch, values: Values) -> CoMoments:
        if not batch.num_rows:
            return self.empty()
        weights, jackknife = row_weights(batch, self.weight), self.jackknife
        if jackknife:
            moments = self._by_group(batch, weights, values, jackknife)
        else:
            moments = _block_moments(batch, self.left, self.right, weights, values)
        return CoMoments(
            batch.num_rows,
            moments.n.astype(np.int64),
            None if weights is None else moments.total,
            1.0 if weights is None else float(weights.max()),
            *(moments.left_mean, moments.right_mean, moments.left_m2, moments.right_m2, moments.c),
        )


def _block_moments(
    batch: pa.RecordBatch, left: _Codings, right: _Codings, weights: np.ndarray | None, values: Values
) -> PairMoments:
    left_columns = block_columns(batch, left, values)
    return pair_moments(left_columns, left_columns if left == right else block_columns(batch, right, values), weights)


@dataclass(frozen=True, slots=True)
class CoMomentsSummarizer(_BlockPair):
    """Spec of `CoMoments` of values, less the centre of each column's coding."""

    name = "comoments"

    def summarize(self, batch: pa.RecordBatch) -> CoMoments:
        """Return the moments of a batch."""
        return self._summarize(batch, centred_values)


@dataclass(frozen=True, slots=True)
class RankCoMomentsSummarizer(_BlockPair):
    """Spec of `CoMoments` of ranks; ranks are shares of the codebook's values, between 0 and 1."""

    name = "rank_comoments"

    def summarize(self, batch: pa.RecordBatch) -> CoMoments:
        """Return the moments of a batch's ranks."""
        return self._summarize(batch, ranks)
