"""Joint counts of all pairs of two blocks of columns, alone or by a target's class.

Counted by `featflow.summaries.joint_counts`. Where rows have weights, sums of them take the place of counts, and beside
them stands how many rows there were.
Cost: 8 bytes x classes x (levels of left) x (levels of right).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa

from featflow.columns.codebook import Coding, pair_cardinality, target_classes
from featflow.columns.column import Column
from featflow.summaries.array_state import ArrayState
from featflow.summaries.codes import WEIGHT_FIELD, column_field, target_field
from featflow.summaries.joint_counts import CodedColumns, CodedRows, pair_tables
from featflow.summaries.protocol import Spec

__all__ = ["PairCounts", "PairCountsSummarizer", "RowCounts"]


@dataclass(frozen=True, slots=True, eq=False)
class RowCounts:
    """The rows behind sums of weights."""

    present: np.ndarray
    """Rows in which both columns are present, shape (left columns, right columns), int64."""
    classes: tuple[np.ndarray, ...]
    """Rows of every class, one array of shape (classes,), int64, for each of `PairCounts.counts`."""
    weight_sum: float
    """Sum of the weights of all rows."""
    weight_square_sum: float
    """Sum of the squared weights of all rows."""

    def merge(self, other: Self) -> Self:
        """Return the counts of both operands' rows."""
        classes = tuple(ours + theirs for ours, theirs in zip(self.classes, other.classes, strict=True))
        sums = self.weight_sum + other.weight_sum, self.weight_square_sum + other.weight_square_sum
        return type(self)(self.present + other.present, classes, *sums)


@dataclass(frozen=True, slots=True, eq=False)
class PairCounts(ArrayState):
    """Joint counts of every left level with every right level, by class of each target."""

    counts: tuple[np.ndarray, ...]
    """One array a target, or one in all if there is none: shape (classes, left levels, right levels), int64; with
    weights sums of them, float64."""
    weighted: RowCounts | None = None
    """The rows behind sums of weights; None where every row weighs 1 and counts are rows."""

    def merge(self, other: Self) -> Self:
        """Return the counts of both operands' rows."""
        counts = tuple(ours + theirs for ours, theirs in zip(self.counts, other.counts, strict=True))
        weighted = self.weighted.merge(other.weighted) if self.weighted and other.weighted else None
        return type(self)(self.rows + other.rows, counts, weighted)


@dataclass(frozen=True, slots=True)
class PairCountsSummarizer(Spec[PairCounts]):
    """Spec of `PairCounts`; its batches hold codes (see `featflow.summaries.codes`), not values.

    Examples
    --------
    >>> from featflow.columns.binning import category_coding
    >>> from featflow.columns.column import Column, Kind
    >>> x, y = (category_coding(Column(n, "string", Kind.CATEGORY), ["a", "b"], [2, 1], 16) for n in "xy")
    >>> spec = PairCountsSummarizer((x,), (y,), ())
    >>> codes = {"column:x": [1, 1, 2], "column:y": [1, 2, 1]}
    >>> batch = pa.record_batch({name: pa.array(values, pa.uint8()) for name, values in codes.items()})
    >>> spec.summarize(batch).counts[0][0, 1:3, 1:3].tolist()
    [[1, 1], [1, 0]]
    """

    name = "pair_counts"
    state = PairCounts
    remedy = "lower codebook.pair_bins"
    of_stored = True

    left: tuple[Coding, ...]
    """Codings of the first block."""
    right: tuple[Coding, ...]
    """Codings of the second block; the same for a diagonal block."""
    targets: tuple[Coding, ...]
    """Codings of the targets."""
    weight: Column | None = None
    """Row weights."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """Columns of both blocks, the targets and the weight."""
        columns = dict.fromkeys(coding.column for coding in self.left + self.right + self.targets)
        return tuple(columns) + ((self.weight,) if self.weight else ())

    @property
    def fields(self) -> list[str]:
        """Fields of the codes that it reads."""
        names = dict.fromkeys(column_field(coding.column.name) for coding in self.left + self.right)
        targets = (target_field(target.column.name) for target in self.targets)
        return [*names, *targets, *([WEIGHT_FIELD] if self.weight else [])]

    def classes(self) -> list[int]:
        """Return the number of classes of every target, "missing" included; [1] without targets."""
        return [int(target_classes(target).max()) + 1 for target in self.targets] or [1]

    def empty(self) -> PairCounts:
        """Return the counts of no rows."""
        shape = (_level_count(self.left), _level_count(self.right))
        if self.weight is None:
            return PairCounts(0, tuple(np.zeros((classes, *shape), np.int64) for classes in self.classes()))
        present = np.zeros((len(self.left), len(self.right)), np.int64)
        no_rows = RowCounts(present, tuple(np.zeros(classes, np.int64) for classes in self.classes()), 0.0, 0.0)
        return PairCounts(0, tuple(np.zeros((classes, *shape)) for classes in self.classes()), no_rows)

    def summarize(self, batch: pa.RecordBatch) -> PairCounts:
        """Return the counts of a batch of codes."""
        left = _coded_block(batch, self.left)
        right = None if self.left == self.right else _coded_block(batch, self.right)
        targets = [_coded_target(batch, target, k) for target, k in zip(self.targets, self.classes(), strict=False)]
        weights = np.array(batch.column(WEIGHT_FIELD)) if self.weight else None
        coded = [CodedRows(left, right, target, weights) for target in targets] or [
            CodedRows(left, right, None, weights)
        ]
        counts = tuple(map(pair_tables, coded))
        if weights is None:
            return PairCounts(batch.num_rows, counts)
        presence = CodedRows(_presence_codes(left), right and _presence_codes(right))
        classes = tuple(np.bincount(target.codes[0], minlength=target.levels[0]) for target in targets)
        present = pair_tables(presence)[0, 1::2, 1::2].copy()
        sums = float(weights.sum()), float((weights**2).sum())
        return PairCounts(batch.num_rows, counts, RowCounts(present, classes or (np.array([batch.num_rows]),), *sums))

    def nbytes(self) -> int:
        """Return the bytes of a state."""
        rows = len(self.left) * len(self.right) + sum(self.classes()) + 2 if self.weight else 0
        return 8 * (sum(self.classes()) * _level_count(self.left) * _level_count(self.right) + rows)


def _level_count(codings: tuple[Coding, ...]) -> int:
    return sum(pair_cardinality(coding) for coding in codings)


def _coded_block(batch: pa.RecordBatch, codings: tuple[Coding, ...]) -> CodedColumns:
    codes = [batch.column(column_field(coding.column.name)).to_numpy() for coding in codings]
    return CodedColumns(np.stack(codes), tuple(map(pair_cardinality, codings)))


def _coded_target(batch: pa.RecordBatch, target: Coding, classes: int) -> CodedColumns:
    return CodedColumns(batch.column(target_field(target.column.name)).to_numpy()[None], (classes,))


def _presence_codes(columns: CodedColumns) -> CodedColumns:
    return CodedColumns((columns.codes > 0).astype(np.uint8), (2,) * len(columns.levels))
