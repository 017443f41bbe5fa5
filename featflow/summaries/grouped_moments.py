"""Second moments of numbers within the levels of categories, for the correlation ratio.

Merging is Chan et al. (1983) in every cell, with sums of weights for counts where
rows have weights. Cost: three (levels x numbers) arrays, four with weights; two
additions a row, category and number, by sparse products: one-hot ones cost five times as much.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
from scipy.sparse import csc_array

from featflow.columns.batch_cache import pair_codes_of
from featflow.columns.codebook import CategoryCoding, NumberCoding, pair_cardinality
from featflow.columns.column import Column
from featflow.columns.encoding import centred_values
from featflow.columns.values import divisor, row_weights
from featflow.summaries.array_state import ArrayState
from featflow.summaries.protocol import Spec

__all__ = ["GroupedMoments", "GroupedMomentsSummarizer"]

PRODUCT_BYTES = 2 * 2**20
"""Bytes of the rows' factors and levels in one product: with its result they stay in a core's cache."""


@dataclass(frozen=True, slots=True, eq=False)
class GroupedMoments(ArrayState):
    """Moments of q numbers in each of the levels of all categories, one category's levels after another's.

    Examples
    --------
    >>> from featflow.columns.binning import category_coding, number_coding
    >>> from featflow.columns.sort_keys import sortable_keys
    >>> from featflow.columns.column import Column, Kind
    >>> x = category_coding(Column("x", "string", Kind.CATEGORY), ["a", "b"], [2, 1], 16)
    >>> y = number_coding(Column("y", "float64", Kind.NUMBER), sortable_keys(np.zeros(1)), np.array([1]), 0, (64, 16))
    >>> spec = GroupedMomentsSummarizer((x,), (y,))
    >>> batch = pa.record_batch({"x": pa.array(["a", "a", "b"]).dictionary_encode(), "y": [1.0, 3.0, None]})
    >>> state = spec.summarize(batch)
    >>> state.n[:, 0].tolist(), float(state.mean[1, 0]), float(state.m2[1, 0])
    ([0, 2, 0, 0], 2.0, 2.0)
    """

    n: np.ndarray
    """Rows of the level in which the number is finite, shape (levels, q), int64."""
    mean: np.ndarray
    """Mean of the number over them, less its centre, shape (levels, q), in its unit."""
    m2: np.ndarray
    """Weighted sum of squared deviations, shape (levels, q)."""
    weight: np.ndarray | None = None
    """Sum of these rows' weights, shape (levels, q); None where every row weighs 1."""

    @property
    def total(self) -> np.ndarray:
        """Sum of these rows' weights, shape (levels, q); ``n`` itself without weights."""
        return self.n if self.weight is None else self.weight

    @np.errstate(over="ignore", invalid="ignore")  # what overflows becomes null in the tables
    def merge(self, other: Self) -> Self:
        """Return the moments of both operands' rows."""
        n = self.n + other.n
        ours, theirs = self.total, other.total
        total = n if self.weight is None else ours + theirs
        share = theirs / divisor(total)
        delta = other.mean - self.mean
        mean = np.where(ours == 0, other.mean, np.where(theirs == 0, self.mean, self.mean + delta * share))
        m2 = self.m2 + other.m2 + np.where((ours == 0) | (theirs == 0), 0.0, delta**2 * ours * share)
        return type(self)(self.rows + other.rows, n, mean, m2, None if self.weight is None else total)


@dataclass(frozen=True, slots=True)
class GroupedMomentsSummarizer(Spec[GroupedMoments]):
    """Spec of `GroupedMoments`."""

    name = "grouped_moments"
    state = GroupedMoments

    categories: tuple[CategoryCoding, ...]
    """Codings whose pair levels group the rows."""
    numbers: tuple[NumberCoding, ...]
    """Codings of numbers, for their centres."""
    weight: Column | None = None
    """Row weights."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """Categories, numbers and the weight."""
        columns = tuple(c.column for c in self.categories) + tuple(number.column for number in self.numbers)
        return columns + ((self.weight,) if self.weight else ())

    def offsets(self) -> np.ndarray:
        """Return the first level of every category, and the number of all levels, shape (categories + 1,)."""
        return np.cumsum([0, *(pair_cardinality(coding) for coding in self.categories)])

    def empty(self) -> GroupedMoments:
        """Return the moments of no rows."""
        shape = (int(self.offsets()[-1]), len(self.numbers))
        zero = np.zeros(shape)
        return GroupedMoments(0, np.zeros(shape, np.int64), zero, zero, zero if self.weight else None)

    @np.errstate(over="ignore", invalid="ignore")  # what overflows becomes null in the tables
    def summarize(self, batch: pa.RecordBatch) -> GroupedMoments:
        """Return the moments of a batch."""
        offsets, rows, q = self.offsets(), batch.num_rows, len(self.numbers)
        levels = np.empty((rows, len(self.categories)), np.int32)
        for index, coding in enumerate(self.categories):
            levels[:, index] = offsets[index] + pair_codes_of(batch, coding)
        x, presence, presence_index = np.empty((q, rows)), [np.ones(rows)], np.zeros(q, np.int64)
        for index, number in enumerate(self.numbers):
            x[index], finite = centred_values(batch.column(number.column.name), number)
            if not finite.all():  # a complete number is finite in every row: its presence is the ones above
                presence_index[index] = len(presence)
                presence.append(finite.astype(np.float64))
        present, weights = np.stack(presence), row_weights(batch, self.weight)
        sums, n = np.zeros((int(offsets[-1]), 2 * q + len(presence))), np.zeros((int(offsets[-1]), len(presence)))
        piece_rows = max(1, PRODUCT_BYTES // (8 * (sums.shape[1] + 2 * len(self.categories))))
        for start in range(0, rows, piece_rows):
            part = slice(start, start + piece_rows)
            factors = np.concatenate([x[:, part], x[:, part] ** 2, present[:, part]]).T.copy()
            sums += _by_level(levels[part], None if weights is None else weights[part], offsets[-1]) @ factors
            if weights is not None:
                n += _by_level(levels[part], None, offsets[-1]) @ factors[:, 2 * q :]
        first, second, total = sums[:, :q], sums[:, q : 2 * q], sums[:, 2 * q + presence_index]
        n = total if weights is None else n[:, presence_index]
        mean = first / divisor(total)
        m2 = np.maximum(second - total * mean**2, 0.0)
        return GroupedMoments(rows, n.astype(np.int64), mean, m2, None if weights is None else total)

    def nbytes(self) -> int:
        """Return the bytes of a state."""
        return (4 if self.weight else 3) * 8 * int(self.offsets()[-1]) * len(self.numbers)


def _by_level(levels: np.ndarray, weights: np.ndarray | None, size: int) -> Any:
    """Return the matrix whose product with rows' factors sums them by level, shape (size, rows).

    Parameters
    ----------
    levels
        A level of every category, shape (rows, categories), int32.
    weights
        Weight of every row; None where all are 1.
    """
    rows, categories = levels.shape
    values = np.ones(levels.size) if weights is None else np.repeat(weights, categories)
    ends = np.arange(0, levels.size + 1, categories, dtype=np.int32)
    return csc_array((values, levels.ravel(), ends), shape=(int(size), rows))
