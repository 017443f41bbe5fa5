"""Exact counts of a category's levels, to a limit; beyond it counts by hash bucket, and what tells its frequent levels.

Whether a column has more levels, or longer ones, than the limit is a property of its whole data,
and counts by bucket and bit add, so the state is exact under any order and any cut. Cost: the levels
themselves, at most ``limit`` a column, then 8 bytes a bucket and 2 MiB for the bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featflow.columns.batch_cache import group_levels, levels_of
from featflow.columns.column import Column
from featflow.columns.hashing import buckets_of, hash64
from featflow.summaries.heavy_hitters import HEAVY_BITS, HEAVY_GROUPS, PARTITIONS, group_counts, heavy_hitters
from featflow.summaries.protocol import Spec

__all__ = ["BUCKETS", "LevelCounts", "Levels", "LevelsSummarizer"]

BUCKETS = 65_536
"""Hash buckets of a column beyond the limit."""
GROUPS = (PARTITIONS, HEAVY_GROUPS, 1 + HEAVY_BITS)
"""Shape of `LevelCounts.groups` beyond the limit."""
LEVEL_BYTES = 24
"""Bytes of text that each allowed level may bring: long texts reach the limit with fewer levels."""


@dataclass(frozen=True, slots=True, eq=False)
class LevelCounts:
    """Counts of one column: by level, or by bucket and bit once there were too many levels."""

    missing: int
    """Nulls."""
    levels: pa.Array | None
    """Levels, ascending; None beyond the limit."""
    counts: np.ndarray
    """Rows of every level or bucket, int64."""
    groups: np.ndarray
    """Rows by group and bit (see `group_counts`), shape (2, HEAVY_GROUPS, 1 + HEAVY_BITS), int64; empty with levels."""

    @classmethod
    def of_levels(cls, missing: int, levels: pa.Array, counts: np.ndarray, limit: int) -> Self:
        """Return the counts of levels, which may repeat: by bucket and bit if they are beyond the limit."""
        if _beyond(levels, limit) and _beyond(levels.unique(), limit):
            return cls(missing, None, *_hashed(levels, counts))
        return cls(missing, *group_levels(levels, counts), np.empty((0, *GROUPS[1:]), np.int64))

    def merge(self, other: Self, limit: int) -> Self:
        """Return the counts of both operands, by bucket and bit if together they are beyond the limit."""
        missing = self.missing + other.missing
        if self.levels is not None and other.levels is not None:
            levels = pa.concat_arrays([self.levels, other.levels])
            return self.of_levels(missing, levels, np.concatenate([self.counts, other.counts]), limit)
        (counts, groups), (more_counts, more_groups) = self.hashed(), other.hashed()
        return type(self)(missing, None, counts + more_counts, groups + more_groups)

    def hashed(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows of every bucket, shape (BUCKETS,), and by group and bit, int64."""
        return (self.counts, self.groups) if self.levels is None else _hashed(self.levels, self.counts)

    def heavy(self) -> tuple[np.ndarray, np.ndarray]:
        """Return identities of frequent levels, ascending, and upper bounds of their rows (see `heavy_hitters`)."""
        return heavy_hitters(*self.hashed())


def _beyond(levels: pa.Array, limit: int) -> bool:
    """Whether there are more levels than the limit, or more text than so many may bring."""
    return len(levels) > limit or _text_bytes(levels) > LEVEL_BYTES * limit


def _hashed(levels: pa.Array, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    hashes = hash64(levels)
    buckets = np.bincount(buckets_of(hashes, BUCKETS), weights=counts, minlength=BUCKETS)
    return buckets.astype(np.int64), group_counts(hashes, counts)


def _text_bytes(levels: pa.Array) -> int:
    return int(pc.sum(pc.binary_length(levels)).as_py() or 0)


@dataclass(frozen=True, slots=True, eq=False)
class Levels:
    """Level counts of p columns.

    Examples
    --------
    >>> from featflow.columns.column import Column, Kind
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
                "groups": pa.array([column.groups.ravel() for column in self.columns], pa.large_list(pa.int64())),
            }
        )
        return table.replace_schema_metadata({"version": "2", "rows": str(self.rows), "limit": str(self.limit)})

    @classmethod
    def from_arrow(cls, table: pa.Table) -> Self:
        """Rebuild the state."""
        columns = []
        for index in range(table.num_rows):
            missing, levels = table.column("missing")[index].as_py(), table.column("levels")[index].values
            counts, groups = (table.column(name)[index].values.to_numpy() for name in ("counts", "groups"))
            columns.append(LevelCounts(missing, levels, counts, groups.reshape(-1, *GROUPS[1:])))
        metadata = table.schema.metadata
        return cls(int(metadata[b"rows"]), int(metadata[b"limit"]), tuple(columns))


@dataclass(frozen=True, slots=True)
class LevelsSummarizer(Spec[Levels]):
    """Spec of `Levels`."""

    name = "levels"
    state = Levels
    remedy = "lower codebook.levels, or exclude columns"

    columns: tuple[Column, ...]
    """Category and text columns."""
    limit: int
    """Levels counted exactly."""

    def empty(self) -> Levels:
        """Return the counts of no rows."""
        nothing = LevelCounts.of_levels(0, pa.array([], pa.string()), np.empty(0, np.int64), self.limit)
        return Levels(0, self.limit, (nothing,) * len(self.columns))

    def summarize(self, batch: pa.RecordBatch) -> Levels:
        """Return the counts of a batch."""
        columns = (
            LevelCounts.of_levels(batch.column(column.name).null_count, *levels_of(batch, column), self.limit)
            for column in self.columns
        )
        return Levels(batch.num_rows, self.limit, tuple(columns))

    def nbytes(self) -> int:
        """Return the bytes of a state: text, offsets and counts of the levels allowed, or the hashed counts."""
        exact, hashed = (LEVEL_BYTES + 4 + 8) * self.limit, 8 * (BUCKETS + math.prod(GROUPS))
        return len(self.columns) * max(exact, hashed)
