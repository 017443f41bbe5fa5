"""The pair codes of a shard's rows: what all-pairs counts are made from.

All-pairs counts outweigh the data of a shard, its codes do not: one byte a cell.
A row's weight is kept beside them. The state is a multiset of coded rows. Merging joins the multisets, and nothing
computed from it depends on the order of rows. Those of shards are joined only where all together are small.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
import pyarrow as pa

from featflow.columns.batch_cache import classes_of, pair_codes_of
from featflow.columns.codebook import Coding
from featflow.columns.column import Column
from featflow.columns.jackknife_groups import Grouping, group_codes
from featflow.columns.values import row_weights
from featflow.summaries.protocol import Spec

__all__ = ["GROUP_FIELD", "WEIGHT_FIELD", "Codes", "CodesSummarizer", "column_field", "target_field"]

GROUP_FIELD = "group"
"""Field that holds the rows' groups."""
WEIGHT_FIELD = "weight"
"""Field that holds the rows' weights."""


def column_field(name: str) -> str:
    """Return the field that holds a column's pair codes."""
    return f"column:{name}"


def target_field(name: str) -> str:
    """Return the field that holds a target's classes, beside the column's own pair codes."""
    return f"target:{name}"


@dataclass(frozen=True, slots=True, eq=False)
class Codes:
    """Coded rows.

    Examples
    --------
    >>> left = Codes(2, ("x",), np.array([[1, 0]], np.uint8))
    >>> left.merge(Codes(1, ("x",), np.array([[2]], np.uint8))).codes.tolist()
    [[1, 0, 2]]
    """

    rows: int
    """Rows seen."""
    names: tuple[str, ...]
    """`column_field` of every column, then `target_field` of every target."""
    codes: np.ndarray
    """Codes, shape (names, rows), uint8; 0 is missing."""
    weight: np.ndarray | None = None
    """Weights, shape (rows,), float64; None where they are not kept."""

    def merge(self, other: Self) -> Self:
        """Return the rows of both operands."""
        codes = np.concatenate([self.codes, other.codes], axis=1)
        both = None if self.weight is None or other.weight is None else np.concatenate([self.weight, other.weight])
        return type(self)(self.rows + other.rows, self.names, codes, both)

    def to_arrow(self) -> pa.Table:
        """Return one row a row."""
        fields = dict(zip(self.names, self.codes, strict=True))
        weights = {} if self.weight is None else {WEIGHT_FIELD: self.weight}
        return pa.table(fields | weights).replace_schema_metadata({"version": "1", "rows": str(self.rows)})

    @classmethod
    def from_arrow(cls, table: pa.Table) -> Self:
        """Rebuild the state, or a projection of it."""
        arrays = {name: table.column(name).to_numpy() for name in table.column_names}
        weight = arrays.pop(WEIGHT_FIELD, None)
        return cls(table.num_rows, tuple(arrays), _stacked(list(arrays.values()), table.num_rows), weight)


def _stacked(rows: list[np.ndarray], width: int) -> np.ndarray:
    return np.stack(rows) if rows else np.empty((0, width), np.uint8)


@dataclass(frozen=True, slots=True)
class CodesSummarizer(Spec[Codes]):
    """Spec of `Codes`."""

    name = "codes"
    state = Codes
    remedy = "lower dataset.shard_bytes, or write smaller row groups"
    by_shard = True

    codings: tuple[Coding, ...]
    """Codings of columns that take part in pairs."""
    targets: tuple[Coding, ...]
    """Codings of targets whose classes are kept."""
    shard_rows: int = field(default=0, repr=False)
    """Rows of the largest shard, for `nbytes`."""
    weight: Column | None = None
    """Row weights, where they are to be kept."""
    grouping: Grouping | None = None
    """Groups of rows, where they are to be kept; at most 256."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """All of the columns."""
        columns = dict.fromkeys(coding.column for coding in self.codings + self.targets)
        columns |= dict.fromkeys(self.grouping.columns if self.grouping else ())
        return tuple(columns) + ((self.weight,) if self.weight else ())

    @property
    def fields(self) -> tuple[str, ...]:
        """Fields of its states."""
        return self._names() + ((WEIGHT_FIELD,) if self.weight else ())

    def _names(self) -> tuple[str, ...]:
        columns = tuple(column_field(coding.column.name) for coding in self.codings)
        targets = tuple(target_field(target.column.name) for target in self.targets)
        return columns + targets + ((GROUP_FIELD,) if self.grouping else ())

    def empty(self) -> Codes:
        """Return no rows."""
        names = self._names()
        return Codes(0, names, np.empty((len(names), 0), np.uint8), np.empty(0) if self.weight else None)

    def summarize(self, batch: pa.RecordBatch) -> Codes:
        """Return the codes of a batch."""
        rows = [pair_codes_of(batch, coding) for coding in self.codings]
        rows += [classes_of(batch, target) for target in self.targets]
        rows += [group_codes(batch, self.grouping).astype(np.uint8)] if self.grouping else []
        return Codes(batch.num_rows, self._names(), _stacked(rows, batch.num_rows), row_weights(batch, self.weight))

    @property
    def row_bytes(self) -> int:
        """Bytes of a row: one a code, eight a weight."""
        return len(self._names()) + (8 if self.weight else 0)

    def nbytes(self) -> int:
        """Return the bytes of the largest shard's codes."""
        return self.shard_rows * self.row_bytes
