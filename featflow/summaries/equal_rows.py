"""Rows in which two columns hold the same value, missing equal to missing.

Computed for pairs of columns whose pass-1 counts are equal: if all rows agree,
one column is a duplicate of the other. Cost: one comparison a pair and row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featflow.columns.column import Column
from featflow.summaries.array_state import ArrayState
from featflow.summaries.protocol import Spec

__all__ = ["EqualRows", "EqualRowsSummarizer"]


@dataclass(frozen=True, slots=True, eq=False)
class EqualRows(ArrayState):
    """Equal rows of every pair.

    Examples
    --------
    >>> from featflow.columns.column import Column, Kind
    >>> x, y = (Column(name, "int64", Kind.NUMBER) for name in "xy")
    >>> spec = EqualRowsSummarizer(((x, y),))
    >>> spec.summarize(pa.record_batch({"x": [1, None, 3], "y": [1, None, 4]})).equal.tolist()
    [2]
    """

    equal: np.ndarray
    """Rows in which the pair agrees, shape (pairs,), int64."""

    def merge(self, other: Self) -> Self:
        """Return the counts of both operands' rows."""
        return type(self)(self.rows + other.rows, self.equal + other.equal)


@dataclass(frozen=True, slots=True)
class EqualRowsSummarizer(Spec[EqualRows]):
    """Spec of `EqualRows`."""

    name = "equal_rows"
    state = EqualRows

    pairs: tuple[tuple[Column, Column], ...]
    """Pairs of columns of one canonical type."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """Columns of all pairs."""
        return tuple(dict.fromkeys(column for pair in self.pairs for column in pair))

    def empty(self) -> EqualRows:
        """Return the counts of no rows."""
        return EqualRows(0, np.zeros(len(self.pairs), np.int64))

    def summarize(self, batch: pa.RecordBatch) -> EqualRows:
        """Return the counts of a batch."""
        equal = [_equal_count(batch.column(left.name), batch.column(right.name)) for left, right in self.pairs]
        return EqualRows(batch.num_rows, np.array(equal, np.int64))

    def nbytes(self) -> int:
        """Return the bytes of a state."""
        return 8 * len(self.pairs)


def _equal_count(left: pa.Array, right: pa.Array) -> int:
    if pa.types.is_dictionary(left.type):
        left, right = left.dictionary_decode(), right.dictionary_decode()
    same = pc.fill_null(pc.equal(left, right), fill_value=False)
    both = pc.and_(pc.is_null(left, nan_is_null=True), pc.is_null(right, nan_is_null=True))
    return int(pc.sum(pc.or_(same, both)).as_py() or 0)
