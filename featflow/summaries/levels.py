"""Exact counts of a category's levels, to a limit; counts by hash bucket beyond it.

Whether a column has more levels, or longer ones, than the limit is a property of its whole data,
and bucket counts add, so the state is exact under any order and any cut. Cost:
the levels themselves, at most ``limit`` a column, then 8 bytes a bucket.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featflow.binning import bucket
from featflow.columns import Column

__all__ = ["BUCKETS", "LevelCounts", "Levels", "LevelsSummarizer"]

BUCKETS = 65_536
"""Hash buckets of a column beyond the limit."""
LEVEL_BYTES = 24
"""Bytes of text that each allowed level may bring: long texts reach the limit with fewer levels."""


@dataclass(frozen=True, slots=True, eq=False)
class LevelCounts:
    """Counts of one column: by level, or by bucket once there were too many levels."""

    missing: int
    """Nulls."""
    levels: pa.Array | None
    """Levels, ascending; None beyond the limit."""
    counts: np.ndarray
    """Rows of every level or bucket, int64."""

    def merge(self, other: Self, limit: int) -> Self:
        """Return the counts of both operands, by bucket if they have more than ``limit`` levels."""
        missing = self.missing + other.missing
        if self.levels is None or other.levels is None:
            return type(self)(missing, None, self.hashed() + other.hashed())
        levels = pa.concat_arrays([self.levels, other.levels])
        return type(self)(missing, *_group(levels, np.concatenate([self.counts, other.counts]))).limited(limit)

    def limited(self, limit: int) -> Self:
        """Return the counts by bucket if there are more than ``limit`` levels, or more text than that many allow."""
        if self.levels is None or (len(self.levels) <= limit and _text_bytes(self.levels) <= LEVEL_BYTES * limit):
            return self
        return type(self)(self.missing, None, self.hashed())

    def hashed(self) -> np.ndarray:
        """Return the rows of every bucket, shape (BUCKETS,), int64."""
        if self.levels is None:
            return self.counts
        buckets = bucket(self.levels, BUCKETS)
        return np.bincount(buckets, weights=self.counts, minlength=BUCKETS).astype(np.int64)


def _text_bytes(levels: pa.Array) -> int:
    return int(pc.sum(pc.binary_length(levels)).as_py() or 0)


def _group(levels: pa.Array, counts: np.ndarray) -> tuple[pa.Array, np.ndarray]:
    """Sum the counts of equal levels; levels ascending."""
    grouped = pa.table({"level": levels, "count": counts}).group_by("level").aggregate([("count", "sum")])
    grouped = grouped.sort_by("level").combine_chunks()
    level = grouped.column("level")
    return (level.chunk(0) if level.num_chunks else pa.array([], pa.string())), grouped.column("count_sum").to_numpy()


@dataclass(frozen=True, slots=True, eq=False)
class Levels:
    """Level counts of p columns.

    Examples
    --------
    >>> from featflow.columns import Column, Kind
    >>> spec = LevelsSummarizer((Column("x", "string", Kind.CATEGORY),), limit=16)
    >>> batch = pa.record_batch({"x": pa.array(["b", "a", None, "b"]).dictionary_encode()})
    >>> state = spec.summarize(batch).merge(spec.empty()).columns[0]
    >>> state.levels.to_pylist(), state.counts.tolist(), state.missing
    (['a', 'b'], [1, 2], 1)
    """

    rows: int
    """Rows seen."""
    limit: int
    """Levels counted exactly."""
    columns: tuple[LevelCounts, ...]
    """One a column."""

    def merge(self, other: Self) -> Self:
        """Return the counts of both operands' rows."""
        pairs = zip(self.columns, other.columns, strict=True)
        merged = tuple(ours.merge(theirs, self.limit) for ours, theirs in pairs)
        return type(self)(self.rows + other.rows, self.limit, merged)

    def to_arrow(self) -> pa.Table:
        """Return one row a column."""
        levels = [None if column.levels is None else column.levels.to_pylist() for column in self.columns]
        table = pa.table(
            {
                "missing": pa.array([column.missing for column in self.columns], pa.int64()),
                "levels": pa.array(levels, pa.large_list(pa.string())),
                "counts": pa.array([column.counts for column in self.columns], pa.large_list(pa.int64())),
            }
        )
        return table.replace_schema_metadata({"version": "1", "rows": str(self.rows), "limit": str(self.limit)})

    @classmethod
    def from_arrow(cls, table: pa.Table) -> Self:
        """Rebuild the state."""
        columns = []
        for index in range(table.num_rows):
            levels = table.column("levels")[index]
            counts = table.column("counts")[index].values.to_numpy()
            columns.append(
                LevelCounts(table.column("missing")[index].as_py(), levels.values if levels.is_valid else None, counts)
            )
        metadata = table.schema.metadata
        return cls(int(metadata[b"rows"]), int(metadata[b"limit"]), tuple(columns))


@dataclass(frozen=True, slots=True)
class LevelsSummarizer:
    """Spec of `Levels`."""

    columns: tuple[Column, ...]
    """Category and text columns."""
    limit: int
    """Levels counted exactly."""

    @property
    def name(self) -> str:
        """Folder of its states."""
        return "levels"

    def empty(self) -> Levels:
        """Return the counts of no rows."""
        nothing = LevelCounts(0, pa.array([], pa.string()), np.empty(0, np.int64))
        return Levels(0, self.limit, (nothing,) * len(self.columns))

    def summarize(self, batch: pa.RecordBatch) -> Levels:
        """Return the counts of a batch."""
        return Levels(
            batch.num_rows, self.limit, tuple(self._counts(batch.column(column.name)) for column in self.columns)
        )

    def _counts(self, array: pa.DictionaryArray) -> LevelCounts:
        counts = np.bincount(array.indices.drop_null().to_numpy(), minlength=len(array.dictionary))
        used = np.flatnonzero(counts)
        levels = array.dictionary.take(pa.array(used))
        return LevelCounts(array.null_count, *_group(levels, counts[used])).limited(self.limit)

    def nbytes(self) -> int:
        """Return the bytes of a state: text, offsets and counts of as many levels as are allowed, or the buckets."""
        return len(self.columns) * max((LEVEL_BYTES + 4 + 8) * self.limit, 8 * BUCKETS)
