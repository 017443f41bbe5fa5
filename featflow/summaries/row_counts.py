"""Counts rows of columns that nothing else reads, so that files with unreadable values in them are found, too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import pyarrow as pa

from featflow.columns.column import Column
from featflow.summaries.array_state import ArrayState
from featflow.summaries.protocol import Spec

__all__ = ["RowCount", "RowCountSummarizer"]


@dataclass(frozen=True, slots=True, eq=False)
class RowCount(ArrayState):
    """How many rows there were.

    Examples
    --------
    >>> RowCount(2).merge(RowCount(3)).rows
    5
    """

    def merge(self, other: Self) -> Self:
        """Return the number of both operands' rows."""
        return type(self)(self.rows + other.rows)


@dataclass(frozen=True, slots=True)
class RowCountSummarizer(Spec[RowCount]):
    """Spec of `RowCount`."""

    name = "row_count"
    state = RowCount

    columns: tuple[Column, ...]
    """Columns that are read."""

    def empty(self) -> RowCount:
        """Return no rows."""
        return RowCount(0)

    def summarize(self, batch: pa.RecordBatch) -> RowCount:
        """Return the rows of a batch."""
        return RowCount(batch.num_rows)

    def nbytes(self) -> int:
        """Return the bytes of a state."""
        return 8
