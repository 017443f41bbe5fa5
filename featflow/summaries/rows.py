"""Stored columns: rows of named fields, computed once a shard and kept for later passes, which read some fields.

Merging is concatenation, in the order of shards: states of small shards are merged so, to be read at once. Cost: the
bytes of the rows.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Self

import pyarrow as pa

from featflow.columns.column import Column, Transform, Worker
from featflow.summaries.protocol import Spec

__all__ = ["Rows", "RowsSpec", "StoredSummarizer"]


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Rows in their order.

    Examples
    --------
    >>> left, right = (Rows(len(values), pa.table({"x": values})) for values in ([1, 0], [2]))
    >>> left.merge(right).table["x"].to_pylist()
    [1, 0, 2]
    """

    rows: int
    """Rows seen."""
    table: pa.Table
    """The rows, a column a field; no columns where there are no rows."""

    def merge(self, other: Self) -> Self:
        """Return the rows of both operands."""
        tables = [state.table for state in (self, other) if state.rows] or [self.table]
        return type(self)(self.rows + other.rows, pa.concat_tables(tables))

    def to_arrow(self) -> pa.Table:
        """Return the rows themselves."""
        return self.table.combine_chunks().replace_schema_metadata({"version": "1"})

    @classmethod
    def from_arrow(cls, table: pa.Table) -> Self:
        """Rebuild the state, or a projection of it."""
        return cls(table.num_rows, table.replace_schema_metadata(None))


class RowsSpec(Spec[Rows]):
    """Base of specs of `Rows`; later passes read their states shard by shard."""

    __slots__ = ()

    state = Rows
    remedy = "lower dataset.shard_bytes, or write smaller row groups"
    by_shard = True

    shard_rows: int
    """Rows of the largest shard, for `nbytes`."""

    @property
    @abstractmethod
    def columns(self) -> tuple[Column, ...]:
        """Columns it reads."""

    @property
    @abstractmethod
    def fields(self) -> tuple[str, ...]:
        """Fields of its states."""

    @property
    @abstractmethod
    def row_bytes(self) -> int:
        """Bytes of a row, at most."""

    @abstractmethod
    def values(self, batch: pa.RecordBatch) -> list[pa.Array]:
        """Return a batch's values of each field."""

    def empty(self) -> Rows:
        """Return no rows."""
        return Rows(0, pa.table({}))

    def summarize(self, batch: pa.RecordBatch) -> Rows:
        """Return the rows of a batch."""
        return Rows(batch.num_rows, pa.table(dict(zip(self.fields, self.values(batch), strict=True))))

    def nbytes(self) -> int:
        """Return the bytes of the largest shard's rows."""
        return self.shard_rows * self.row_bytes


@dataclass(frozen=True, slots=True)
class StoredSummarizer(RowsSpec):
    """Spec of the stored columns of a transform."""

    name = "columns"

    transform: Transform
    """Transform that computes them; fields have the names of its outputs."""
    shard_rows: int = field(default=0, repr=False)
    """Rows of the largest shard, for `nbytes`."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """Inputs of the transform."""
        return self.transform.inputs

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the transform's outputs."""
        return tuple(column.name for column in self.transform.outputs)

    @property
    def row_bytes(self) -> int:
        """Bytes of a row of the transform's outputs."""
        return self.transform.row_bytes

    @property
    def worker(self) -> Worker:
        """Resources that the transform needs."""
        return self.transform.worker

    def values(self, batch: pa.RecordBatch) -> list[pa.Array]:
        """Return the transform's outputs."""
        return self.transform.apply(batch)

    def second_attempt(self) -> StoredSummarizer:
        """Return the spec of the transform's second attempt."""
        return StoredSummarizer(self.transform.second_attempt(), self.shard_rows)
