"""Centred second moments of two blocks of numeric columns, pairwise complete.

Every pair has its own rows: those in which both columns are finite. Merging is
Chan et al. (1983) extended to co-moments by Pebay (2008, SAND2008-6212, eq. 3.2),
and values are less the codebook's centre of their column, so a common offset
costs no digits. Where rows have weights, sums of them take the place of counts.
Two specs share the state: `CoMomentsSummarizer` of values gives Pearson's
correlation, `RankCoMomentsSummarizer` of codebook ranks gives Spearman's. Cost:
one p x q float64 matrix where no value is missing, six or, with weights, seven
where some are; products a batch as `featflow.summaries.pair_products` says.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import pyarrow as pa

from featflow.binning import centred_values, divisor, ranks, row_weights
from featflow.columns import Column, NumberCoding
from featflow.summaries.block_columns import Values, block_columns
from featflow.summaries.pair_products import pair_moments

__all__ = ["CoMoments", "CoMomentsSummarizer", "RankCoMomentsSummarizer"]


@dataclass(frozen=True, slots=True, eq=False)
class CoMoments:
    """Second moments of p left and q right columns over the rows where both are finite.

    What is the same beside every partner may stand once: arrays broadcast to shape (p, q), `full` gives them so.

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
        wide = {name: np.broadcast_to(array, self.c.shape) for name, array in self._arrays()}
        return type(self)(self.rows, wide.pop("n"), wide.pop("weight", None), self.heaviest, **wide)

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
            _sum(left * share, self.left_mean),
            _sum(right * share, self.right_mean),
            _sum(pull_left * left, self.left_m2, other.left_m2),
            _sum(pull_right * right, self.right_m2, other.right_m2),
            _sum(pull_left * right, self.c, other.c),
        )

    def to_arrow(self) -> pa.Table:
        """Return one row, each array a list; shapes are in the metadata."""
        arrays = dict(self._arrays())
        metadata = {"version": "3", "rows": repr(self.rows), "heaviest": repr(self.heaviest)}
        metadata["shapes"] = json.dumps({name: array.shape for name, array in arrays.items()})
        lists = {n: pa.LargeListArray.from_arrays([0, array.size], array.ravel()) for n, array in arrays.items()}
        return pa.table(lists).replace_schema_metadata(metadata)

    @classmethod
    def from_arrow(cls, table: pa.Table) -> Self:
        """Rebuild the state."""
        metadata = table.schema.metadata
        shapes = json.loads(metadata[b"shapes"])
        arrays = {
            name: table.column(name).combine_chunks().flatten().to_numpy().reshape(shape)
            for name, shape in shapes.items()
        }
        kept = arrays.pop("n"), arrays.pop("weight", None), float(metadata[b"heaviest"])
        return cls(int(metadata[b"rows"]), *kept, **arrays)

    def _arrays(self) -> Iterator[tuple[str, np.ndarray]]:
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return ((name, value) for name, value in values if isinstance(value, np.ndarray))


def _sum(fresh: np.ndarray, *others: np.ndarray) -> np.ndarray:
    """Return the sum of arrays that broadcast; in place where ``fresh``, which is nobody else's, has the shape."""
    for other in others:
        wide = np.broadcast_shapes(fresh.shape, other.shape)
        fresh = np.add(fresh, other, out=fresh if fresh.shape == wide else None)
    return fresh


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
        left, right = np.zeros((len(self.left), 1)), np.zeros((1, len(self.right)))
        weight, heaviest = (np.zeros((1, 1)), 0.0) if self.weight else (None, 1.0)
        return CoMoments(0, np.zeros((1, 1), np.int64), weight, heaviest, left, right, left, right, left * right)

    def nbytes(self) -> int:
        """Return the bytes of a state."""
        return 8 * ((7 if self.weight else 6) * len(self.left) * len(self.right) + 1)

    def _summarize(self, batch: pa.RecordBatch, values: Values) -> CoMoments:
        if not batch.num_rows:
            return self.empty()
        left = block_columns(batch, self.left, values)
        right = left if self.right == self.left else block_columns(batch, self.right, values)
        weights = row_weights(batch, self.weight)
        found = pair_moments(left, right, weights)
        return CoMoments(
            batch.num_rows,
            found.n.astype(np.int64),
            None if weights is None else found.total,
            1.0 if weights is None else float(weights.max()),
            *(found.left_mean, found.right_mean, found.left_m2, found.right_m2, found.c),
        )


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
